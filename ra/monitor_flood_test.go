package ra

import (
	"net/netip"
	"testing"
	"time"
)

// Somebody who invents routers, and has them come and go, is told of enough, and
// pushes no router out that may advertise.
func TestInventedRouters(t *testing.T) {
	allowed := []netip.Addr{netip.MustParseAddr("fe80::1")}
	var w watched
	w.observe(from(t, "fe80::1", 0, Config{}), allowed, nil)
	counts := make(map[string]int)
	count := func(events []Event) {
		for _, e := range events {
			switch e.(type) {
			case *RogueRouter:
				counts["rogue"]++
			case *RouterGone:
				counts["gone"]++
			default:
				counts["other"]++
			}
		}
	}
	comes, goes := from(t, "fe80::2", 0, Config{}), from(t, "fe80::2", 0, Config{RouterLifetime: Zero})
	for i := range 2_000 {
		who := netip.AddrFrom16([16]byte{0xfe, 0x80, 13: 1, 14: byte(i >> 8), 15: byte(i)})
		for _, r := range []Received{comes, goes, comes} {
			r.From, r.At = who, clockStart().Add(time.Second+time.Duration(i)*time.Millisecond)
			count(w.observe(r, allowed, nil))
		}
		count(w.expire(clockStart().Add(time.Second + time.Duration(i)*time.Millisecond)))
	}
	if n := counts["rogue"] + counts["gone"]; counts["rogue"] == 0 || n > mostRogues {
		t.Errorf("%v", counts)
	}
	if got := names(w.observe(from(t, "fe80::1", time.Minute, Config{RouterLifetime: Zero}), allowed, nil)); got != "RouterGone fe80::1" {
		t.Errorf("a router that may advertise goes: told %q", got)
	}
	// By its address anybody can have it come and go.
	n := 0
	for i := range 500 {
		at := time.Minute + time.Duration(i)*time.Millisecond
		for _, c := range []Config{{}, {RouterLifetime: Zero}} {
			for _, e := range w.observe(from(t, "fe80::1", at, c), allowed, nil) {
				if _, ok := e.(*RouterGone); ok {
					n++
				}
			}
		}
	}
	if n > mostRogues {
		t.Errorf("told %d times that it has gone", n)
	}
	// After that time there is room again.
	if got := names(w.observe(from(t, "fe80::bad", 2*time.Hour, Config{}), allowed, nil)); got != "RogueRouter fe80::bad" {
		t.Errorf("later: told %q", got)
	}
}
