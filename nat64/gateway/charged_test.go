package gateway

import (
	"net/netip"
	"testing"
)

// What nobody is known for is given to newcomers when the pool is full, as what
// one port has too much of is; what is to stay, isn't.
func TestUnknownOnesGiveWay(t *testing.T) {
	tab := newTable(netip.MustParsePrefix("10.9.8.0/26"), nil) // 61 addresses
	tab.now.Store(1000)
	for n := range uint64(10) {
		tab.assign(guestN(n), 0, true)
	}
	for n := uint64(10); n < 61; n++ {
		slot, _ := tab.place(guestN(n), 0)
		if !tab.adopt(Mapping{guestN(n), tab.addr(slot + firstSlot)}, 1000, 0) {
			t.Fatal("not adopted")
		}
	}
	got := 0
	for now := int64(2000); now < 2600; now++ {
		tab.now.Store(now)
		for n := range uint64(61) {
			tab.lookup4(guestN(n)) // all in use
		}
		if _, ok := tab.assign(guestN(uint64(now)), 3, false); ok {
			got++
		}
	}
	if fair := 61 / 2; got < 51-fair || got > fair {
		t.Errorf("the newcomer got %d", got)
	}
	for n := range uint64(10) {
		if _, ok := tab.lookup4(guestN(n)); !ok {
			t.Errorf("guest %d, who was to stay, is gone", n)
		}
	}
	// Who speaks is on his own account from then on.
	before := len(tab.share(0).own)
	for n := uint64(10); n < 61; n++ {
		if _, ok := tab.lookup4(guestN(n)); ok {
			tab.assign(guestN(n), 9, false)
			break
		}
	}
	if len(tab.share(0).own) != before-1 || len(tab.share(9).own) != 1 {
		t.Errorf("%d left without a port, %d of the one who spoke", len(tab.share(0).own), len(tab.share(9).own))
	}
}
