package gateway

import (
	"net/netip"
	"testing"
)

// The second translator knows no guest that a route of its own leads to, whatever
// came first: the route, the mapping, or the translator.
func TestAside(t *testing.T) {
	tab := newTable(netip.MustParsePrefix("10.9.8.0/24"), nil)
	g := &Gateway{table: tab}
	g.fast.aside = newAside()
	s := &spy{have: map[netip.Addr]netip.Addr{}}
	tab.attach(s)
	for n := range uint64(8) {
		tab.assign(guestN(n), 0, false)
	}
	host := func(n uint64, metric int) ownRoute {
		return ownRoute{netip.PrefixFrom(guestN(n), 128), mainTable, metric}
	}
	knows := func(n uint64) bool { _, ok := s.have[guestN(n)]; return ok }
	g.noteRoute(host(3, 1024), true)
	g.noteRoute(host(3, 10), true)
	if knows(3) || !knows(2) || len(s.have) != 7 {
		t.Errorf("with a route: %v", s.have)
	}
	g.noteRoute(host(3, 1024), false)
	if knows(3) {
		t.Error("told again, though another route is there")
	}
	g.noteRoute(host(3, 10), false)
	if !knows(3) {
		t.Error("not told again")
	}
	g.noteRoute(host(4, 10), false) // one that was never there
	whole := ownRoute{netip.PrefixFrom(guestN(0), 64).Masked(), mainTable, 10}
	g.noteRoute(whole, true)
	if len(s.have) != 0 {
		t.Errorf("with a route to all: %v", s.have)
	}
	g.noteRoute(whole, false)
	if len(s.have) != 8 {
		t.Errorf("without: %v", s.have)
	}
}
