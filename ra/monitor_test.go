package ra

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/slaac"
)

// TestInconsistencies has one change each; RFC 4861, section 6.2.7.
func TestInconsistencies(t *testing.T) {
	base := func() Config {
		c := oneOfEach()
		c.MTU = 1500
		c.ReachableTime, c.RetransTimer = 30*time.Second, time.Second
		return c
	}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"the same", func(*Config) {}, nil},
		// CoreRAD reports equal MTUs as different.
		{"the same MTU", func(c *Config) { c.MTU = 1500 }, nil},
		{"hop limit", func(c *Config) { c.HopLimit = 32 }, []string{"hop limit: 32, not 64"}},
		{"hop limit left open", func(c *Config) { c.HopLimit = -1 }, nil},
		{"managed", func(c *Config) { c.Managed = true }, []string{"managed flag (M): true, not false"}},
		{"other", func(c *Config) { c.Other = true }, []string{"other flag (O): true, not false"}},
		{"reachable time", func(c *Config) { c.ReachableTime = time.Second }, []string{"reachable time: 1s, not 30s"}},
		{"reachable time left open", func(c *Config) { c.ReachableTime = 0 }, nil},
		{"retransmission timer", func(c *Config) { c.RetransTimer = 2 * time.Second }, []string{"retransmission timer: 2s, not 1s"}},
		{"MTU", func(c *Config) { c.MTU = 1400 }, []string{"MTU: 1400, not 1500"}},
		{"no MTU", func(c *Config) { c.MTU = 0 }, nil},
		{"valid lifetime", func(c *Config) { c.Prefixes[1].Valid = 48 * time.Hour }, []string{"prefix 2001:db8:2::/64: valid lifetime: 172800 s, not 86400 s"}},
		{"preferred lifetime", func(c *Config) { c.Prefixes[0].Preferred = Zero }, []string{"prefix 2001:db8:1::/64: preferred lifetime: 0 s, not 2700 s"}},
		{"a lifetime that counts down", func(c *Config) { c.Prefixes[1].Valid = 24*time.Hour - 5*time.Second }, nil},
		{"another prefix", func(c *Config) { c.Prefixes = append(c.Prefixes, Prefix{Prefix: mustPrefix("2001:db8:77::/64")}) }, nil},
		{"fewer prefixes", func(c *Config) { c.Prefixes = nil }, nil},
		{"router lifetime is its own", func(c *Config) { c.RouterLifetime = Zero }, nil},
		{"a route taken back", func(c *Config) { c.Routes[0].Lifetime = Zero }, []string{"route 2001:db8:3::/48: lifetime: 0 s, not 1800 s"}},
		{"a route's preference is its own", func(c *Config) { c.Routes[0].Preference = Low }, nil},
		{"another NAT64 prefix", func(c *Config) { c.PREF64[0].Prefix = mustPrefix("2001:db8:64::/96") }, []string{"NAT64 prefix: 2001:db8:64::/96, not 64:ff9b::/96"}},
		{"the NAT64 prefix taken back", func(c *Config) { c.PREF64[0].Lifetime = Zero }, []string{"NAT64 prefix 64:ff9b::/96: lifetime: 0 s, not 1800 s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			theirs := base()
			tt.change(&theirs)
			ours, err := base().Messages(testLink(), State{}, clockStart())
			if err != nil {
				t.Fatal(err)
			}
			ms, err := theirs.Messages(testLink(), State{}, clockStart())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range Inconsistencies(ours[0], ms[0]) {
				got = append(got, fmt.Sprintf("%s: %s, not %s", d.Field, d.Theirs, d.Ours))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// from is an advertisement as a monitor receives it.
func from(t *testing.T, who string, at time.Duration, c Config) Received {
	t.Helper()
	c.Interface = "br0"
	ms, err := c.Messages(testLink(), State{}, clockStart().Add(at))
	if err != nil {
		t.Fatal(err)
	}
	return Received{At: clockStart().Add(at), Interface: "br0", From: netip.MustParseAddr(who), HopLimit: 255, Message: ms[0]}
}

func names(events []Event) string {
	var words []string
	for _, e := range events {
		words = append(words, fmt.Sprintf("%T %s", e, e.Source()))
	}
	return strings.ReplaceAll(strings.Join(words, ", "), "*ra.", "")
}

func TestWatched(t *testing.T) {
	allowed := []netip.Addr{netip.MustParseAddr("fe80::1")}
	own := oneOfEach()
	var w watched
	for i, tt := range []struct {
		r    Received
		want string
	}{
		{from(t, "fe80::1", 0, Config{}), ""},
		{from(t, "fe80::bad", time.Second, Config{}), "RogueRouter fe80::bad"},
		{from(t, "fe80::bad", 2*time.Second, Config{}), ""},
		{from(t, "fe80::bad", 3*time.Second, Config{PREF64: []PREF64{{Prefix: mustPrefix("2001:db8:64::/96")}}}), "RouterChanged fe80::bad, Inconsistency fe80::bad"},
		{from(t, "fe80::bad", 4*time.Second, Config{PREF64: []PREF64{{Prefix: mustPrefix("2001:db8:64::/96")}}}), ""},
		{from(t, "fe80::1", 5*time.Second, Config{HopLimit: 3}), "RouterChanged fe80::1, Inconsistency fe80::1"},
		{from(t, "fe80::1", 6*time.Second, Config{HopLimit: 3, RouterLifetime: Zero}), "RouterGone fe80::1"},
		{Received{At: clockStart().Add(7 * time.Second), From: netip.MustParseAddr("2001:db8::1"), Err: fmt.Errorf("%w: 2001:db8::1", ErrSource)}, "InvalidAdvertisement 2001:db8::1"},
		{Received{At: clockStart().Add(8 * time.Second), From: netip.MustParseAddr("2001:db8::1"), Err: fmt.Errorf("%w: 2001:db8::1", ErrSource)}, ""},
		{from(t, "fe80::bad", 2*time.Hour, Config{PREF64: []PREF64{{Prefix: mustPrefix("2001:db8:64::/96")}}}), "Inconsistency fe80::bad"},
	} {
		if got := names(w.observe(tt.r, allowed, &own)); got != tt.want {
			t.Errorf("%d: told %q, want %q", i, got, tt.want)
		}
	}
	if got := w.next(); !got.Equal(clockStart().Add(2*time.Hour + 1800*time.Second)) {
		t.Errorf("next is %s", got)
	}
	if got := names(w.expire(w.next())); got != "RouterGone fe80::bad" {
		t.Errorf("at its end told %q", got)
	}
	if got := names(w.observe(from(t, "fe80::bad", 4*time.Hour, Config{}), allowed, &own)); got != "RogueRouter fe80::bad" {
		t.Errorf("back again: %q", got)
	}
}

// Without an own configuration routers are held against each other.
func TestWatchedAmongOthers(t *testing.T) {
	var w watched
	allowed := []netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")}
	w.observe(from(t, "fe80::1", 0, Config{MTU: 1400}), allowed, nil)
	events := w.observe(from(t, "fe80::2", 0, Config{MTU: 1300}), allowed, nil)
	if names(events) != "Inconsistency fe80::2" || events[0].String() != "router fe80::2 advertises MTU 1300, where it is 1400" {
		t.Errorf("%v", events)
	}
}

// Addresses and contents are the attacker's to choose, memory isn't.
func TestWatchedIsBounded(t *testing.T) {
	var w watched
	own := oneOfEach()
	for i := range 20_000 {
		at := time.Duration(i) * time.Millisecond
		who := netip.AddrFrom16([16]byte{0xfe, 0x80, 14: byte(i >> 8), 15: byte(i)}).String()
		w.observe(from(t, who, at, Config{MTU: 1280 + i%200, HopLimit: 1 + i%200}), nil, &own)
		w.observe(Received{At: clockStart().Add(at), From: netip.MustParseAddr(who), Err: ErrMalformed}, nil, &own)
		if len(w.routers) > mostRouters || len(w.told) > mostTold {
			t.Fatalf("%d routers, %d events", len(w.routers), len(w.told))
		}
	}
}

func TestMonitorConfig(t *testing.T) {
	for field, c := range map[string]MonitorConfig{
		"Handle":     {Interface: "br0"},
		"Interface":  {Handle: func(Event) {}},
		"Routers[0]": {Interface: "br0", Handle: func(Event) {}, Routers: []netip.Addr{netip.MustParseAddr("2001:db8::1")}},
	} {
		if _, err := NewMonitor(c); err == nil || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func FuzzObserve(f *testing.F) {
	ms, err := fullConfig().Messages(testLink(), State{}, clockStart())
	if err != nil {
		f.Fatal(err)
	}
	frames, err := marshalAll(ms)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frames[0], frames[0])
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var w watched
		own := fullConfig()
		for i, raw := range [][]byte{a, b, a} {
			m, err := Parse(raw)
			r := Received{At: clockStart().Add(time.Duration(i) * time.Second), From: slaac.LinkLocal(slaac.MAC{2, byte(i % 2)}), Raw: raw, Message: m, Err: err}
			for _, e := range w.observe(r, nil, &own) {
				if e.String() == "" || e.Source() != r.From {
					t.Fatalf("event %#v", e)
				}
			}
			if err == nil && len(Inconsistencies(m, m)) != 0 {
				// An advertisement may contradict itself only by naming a prefix twice.
				t.Fatalf("differs from itself: %v", Inconsistencies(m, m))
			}
		}
	})
}

var _ = []Event{&RogueRouter{}, &RouterChanged{}, &RouterGone{}, &Inconsistency{}, &InvalidAdvertisement{}}
