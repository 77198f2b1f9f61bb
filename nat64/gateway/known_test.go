package gateway

import (
	"net/netip"
	"testing"
)

// A pool that is full and idle takes newcomers at the cost of those that are no
// longer known, and of none that is.
func TestSetKnown(t *testing.T) {
	pool := netip.MustParsePrefix("10.9.8.0/28") // 13 addresses
	g := &Gateway{
		config: Config{Guests: netip.MustParsePrefix("2001:db8:1:3::/64"), Pool: pool, Expose: []Expose{{Guest: guestN(0), Port: 80}}},
		table:  newTable(pool, nil),
	}
	g.table.now.Store(1000)
	g.table.assign(guestN(0), 0, true) // of what is exposed
	var list []netip.Addr
	for n := uint64(12); n > 0; n-- {
		list = append(list, guestN(n))
	}
	g.SetKnown(append(list, netip.MustParseAddr("2001:db8:99::1")))
	was := make(map[netip.Addr]netip.Addr)
	for _, a := range append(list, guestN(0)) {
		p, ok := g.Mapped(a)
		if !ok {
			t.Fatalf("%s has no mapping", a)
		}
		was[a] = p
	}
	if n := g.table.count(); n != 13 {
		t.Fatalf("%d mappings, want 13", n)
	}
	idle := func() { g.table.now.Add(3600) }
	idle()
	if _, ok := g.table.assign(guestN(99), 1, false); ok {
		t.Fatal("a stranger has the place of one that is known")
	}
	// Three go. The exposed one was never in the list, and stays.
	g.SetKnown(list[3:])
	if _, ok := g.table.assign(guestN(99), 1, false); ok {
		t.Fatal("one that was known a moment ago has lost its mapping at once")
	}
	idle()
	for n := uint64(100); n < 103; n++ {
		if _, ok := g.table.assign(guestN(n), 0, false); !ok {
			t.Fatalf("no place for guest %d", n)
		}
		g.table.now.Add(1) // one is looked for each second
	}
	for a, p := range was {
		now, ok := g.Mapped(a)
		if gone := a == list[0] || a == list[1] || a == list[2]; gone == ok || ok && now != p {
			t.Errorf("%s: %s, %v, was %s", a, now, ok, p)
		}
	}
}

// Which of two that collide has which pool address does not depend on the
// order of the list.
func TestSetKnownInAnyOrder(t *testing.T) {
	pool := netip.MustParsePrefix("10.9.8.0/28")
	mapped := func(order ...uint64) (out [6]netip.Addr) {
		g := &Gateway{config: Config{Guests: netip.MustParsePrefix("2001:db8:1:3::/64")}, table: newTable(pool, nil)}
		var list []netip.Addr
		for _, n := range order {
			list = append(list, guestN(n))
		}
		g.SetKnown(list)
		for n := range out {
			out[n], _ = g.Mapped(guestN(uint64(n)))
		}
		return out
	}
	if a, b := mapped(0, 1, 2, 3, 4, 5), mapped(3, 5, 1, 0, 4, 2); a != b {
		t.Errorf("%v, and in another order %v", a, b)
	}
}
