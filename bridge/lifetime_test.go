package bridge

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"
)

// TestLifetimesRunOn: what has a lifetime comes back with what would be left of
// it, and not at all where nothing would be.
func TestLifetimesRunOn(t *testing.T) {
	addr := func(p string, preferred, valid time.Duration) Addr {
		return Addr{Link: "enp2s0", Prefix: netip.MustParsePrefix(p), Preferred: preferred, Valid: valid}
	}
	route := func(p string, expires time.Duration) Route {
		return Route{Link: "enp2s0", Family: 6, Dst: netip.MustParsePrefix(p), Expires: expires}
	}
	captured := State{
		Uptime: time.Hour,
		Addrs: []Addr{
			addr("203.0.113.10/32", Forever, Forever),
			addr("203.0.113.11/32", 50*time.Second, 100*time.Second),
			addr("203.0.113.12/32", 10*time.Second, 100*time.Second),
			addr("203.0.113.13/32", 0, Forever),
			addr("203.0.113.14/32", 10*time.Second, 20*time.Second),
		},
		Routes: []Route{route("2001:db8:1::/48", 0), route("2001:db8:2::/48", 100*time.Second), route("2001:db8:3::/48", 20*time.Second), route("2001:db8:4::/48", 99360*time.Millisecond)},
	}
	// As the watchdog has it: from a file.
	raw, err := json.Marshal(captured)
	if err != nil {
		t.Fatal(err)
	}
	captured = State{}
	if err := json.Unmarshal(raw, &captured); err != nil {
		t.Fatal(err)
	}
	now := State{Uptime: time.Hour + 20*time.Second}
	want := map[string][2]time.Duration{
		"203.0.113.10/32": {Forever, Forever},
		"203.0.113.11/32": {30 * time.Second, 80 * time.Second},
		"203.0.113.12/32": {0, 80 * time.Second},
		"203.0.113.13/32": {0, Forever},
	}
	got := captured.wantedAddrs(now)
	for _, a := range got {
		if w, ok := want[a.Prefix.String()]; !ok || w != [2]time.Duration{a.Preferred, a.Valid} {
			t.Errorf("%s: %v, %v", a.Prefix, a.Preferred, a.Valid)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d addresses, want %d", len(got), len(want))
	}
	routes := captured.wantedRoutes(now)
	// The last had 99.36 s, and has 79.36 s left, which the kernel tells as 79: it can be
	// told 79 or 80 s, and tells 78 or 79 a moment later.
	if len(routes) != 3 || routes[0].Expires != 0 || routes[1].Expires != 80*time.Second || routes[2].Expires != 80*time.Second {
		t.Errorf("routes %+v", routes)
	}
	// What is wanted was not captured, and has no lifetimes that run.
	if e := (State{}).elapsed(now); e != 0 {
		t.Errorf("elapsed since never: %v", e)
	}
}
