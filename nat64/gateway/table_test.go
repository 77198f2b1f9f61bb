package gateway

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func guestN(n uint64) netip.Addr {
	b := netip.MustParseAddr("2001:db8:1:3::").As16()
	binary.BigEndian.PutUint64(b[8:], n)
	return netip.AddrFrom16(b)
}

// The preferred slot is part of what survives an upgrade: these values must
// never change.
func TestPreferredIsStable(t *testing.T) {
	for _, tt := range []struct {
		guest, want string
	}{
		{"2001:db8:1:3:5054:ff:fe12:3456", "10.64.204.77"},
		{"2001:db8:1:3:5054:ff:fe12:3457", "10.64.213.24"},
		{"2001:db8:1:3::10", "10.64.38.62"},
	} {
		got, ok := newTable(DefaultPool(), nil).assign(netip.MustParseAddr(tt.guest), 0, false)
		if !ok || got.String() != tt.want {
			t.Errorf("%s: %s, want %s", tt.guest, got, tt.want)
		}
	}
}

func TestTable(t *testing.T) {
	pool := netip.MustParsePrefix("10.9.8.0/28")
	var forgotten []netip.Addr
	tab := newTable(pool, func(a netip.Addr) { forgotten = append(forgotten, a) })
	if tab.own() != netip.MustParseAddr("10.9.8.1") || tab.slots != 13 {
		t.Fatalf("own %s, %d slots", tab.own(), tab.slots)
	}
	tab.now.Store(1000)
	taken := map[netip.Addr]netip.Addr{}
	for n := range uint64(13) {
		a, ok := tab.assign(guestN(n), 0, n == 0)
		if !ok || !pool.Contains(a) || a == tab.own() || a == pool.Addr() || a == netip.MustParseAddr("10.9.8.15") {
			t.Fatalf("guest %d: %s %v", n, a, ok)
		}
		if other, dup := taken[a]; dup {
			t.Fatalf("%s given to guest %d and %s", a, n, other)
		}
		taken[a] = guestN(n)
		if g, ok := tab.lookup6(a); !ok || g != guestN(n) {
			t.Fatalf("%s leads to %s %v", a, g, ok)
		}
		if again, _ := tab.assign(guestN(n), 0, false); again != a {
			t.Fatalf("guest %d has %s and %s", n, a, again)
		}
	}
	// Full, and all in use.
	tab.now.Store(1000 + 599)
	if _, ok := tab.assign(guestN(100), 0, false); ok {
		t.Error("a mapping in use was given away")
	}
	for n := range uint64(13) {
		if n != 0 && n != 5 {
			tab.lookup4(guestN(n))
		}
	}
	tab.now.Store(1000 + 600)
	// Guests 0 and 5 are idle; 0 keeps its address for good.
	was, _ := tab.guests[guestN(5)]
	a, ok := tab.assign(guestN(100), 0, false)
	if !ok || a != was.Pool || !slices.Equal(forgotten, []netip.Addr{a}) {
		t.Errorf("got %s %v, forgot %v, want %s", a, ok, forgotten, was.Pool)
	}
	if _, ok := tab.lookup4(guestN(5)); ok {
		t.Error("two guests for one address")
	}
	if g, _ := tab.lookup6(a); g != guestN(100) {
		t.Errorf("%s leads to %s", a, g)
	}
	tab.now.Store(1000 + 601)
	for n := range uint64(13) {
		if n != 0 {
			tab.lookup4(guestN(n))
		}
	}
	if _, ok := tab.assign(guestN(5), 0, false); ok {
		t.Error("the pinned guest's address was given away")
	}
	if tab.count() != 13 {
		t.Errorf("%d mappings", tab.count())
	}
	for _, s := range []string{"10.9.8.0", "10.9.8.1", "10.9.8.15", "10.9.7.255", "0.0.0.0"} {
		if g, ok := tab.lookup6(netip.MustParseAddr(s)); ok {
			t.Errorf("%s leads to %s", s, g)
		}
	}
}

// One mapping changes hands in a second, however many newcomers there are.
func TestReuseIsSlow(t *testing.T) {
	tab := newTable(netip.MustParsePrefix("10.9.8.0/24"), nil)
	for n := range uint64(253) {
		tab.assign(guestN(n), 0, false)
	}
	for now := int64(10000); now < 10010; now++ {
		tab.now.Store(now)
		got := 0
		for n := range uint64(1000) {
			if _, ok := tab.assign(guestN(uint64(now)*1000+n), 0, false); ok {
				got++
			}
		}
		if got != 1 {
			t.Errorf("%d newcomers in one second", got)
		}
	}
}

// Most guests get the same address whatever the order in which they speak.
func TestMappingsSurviveRestart(t *testing.T) {
	first, second := newTable(DefaultPool(), nil), newTable(DefaultPool(), nil)
	order := rand.New(rand.NewPCG(7, 8)).Perm(1000)
	for n := range uint64(1000) {
		first.assign(guestN(n), 0, false)
	}
	moved := 0
	for _, n := range order {
		a, _ := second.assign(guestN(uint64(n)), 0, false)
		if b, _ := first.lookup4(guestN(uint64(n))); a != b {
			moved++
		}
	}
	if moved > 20 {
		t.Errorf("%d of 1000 guests got another address", moved)
	}
}

func TestBlocks(t *testing.T) {
	cfg := Config{Denied: []netip.Prefix{netip.MustParsePrefix("198.51.0.0/16"), netip.MustParsePrefix("8.8.4.4/32"), netip.MustParsePrefix("10.1.0.0/16")}}.withDefaults()
	for _, allow := range []bool{false, true} {
		cfg.AllowPrivate = allow
		b := newBlocks(cfg.deniedBlocks())
		for _, tt := range []struct {
			addr   string
			denied bool
		}{
			{"0.0.0.0", true}, {"0.255.255.255", true}, {"1.0.0.0", false}, {"8.8.4.3", false}, {"8.8.4.4", true}, {"8.8.4.5", false},
			{"10.0.0.1", !allow}, {"10.1.255.255", true}, {"10.64.0.9", true}, {"10.65.0.0", !allow}, {"172.16.0.1", !allow}, {"192.168.1.1", !allow},
			{"100.64.0.1", !allow}, {"127.0.0.1", true}, {"169.254.169.254", true}, {"198.50.255.255", false}, {"198.51.0.1", true},
			{"198.51.100.1", true}, {"198.52.0.0", false}, {"203.0.114.1", false}, {"224.0.0.1", true}, {"255.255.255.255", true},
		} {
			if got := b.contain(netip.MustParseAddr(tt.addr)); got != tt.denied {
				t.Errorf("allow private %v: %s denied %v", allow, tt.addr, got)
			}
		}
	}
}

func TestLimiter(t *testing.T) {
	var l limiter
	n := 0
	for range 1000 {
		if l.allow(guestN(1), 0, 5) {
			n++
		}
	}
	if n != perSecond {
		t.Errorf("%d errors in one second", n)
	}
	if !l.allow(guestN(1), 0, 6) {
		t.Error("none in the next")
	}
}
