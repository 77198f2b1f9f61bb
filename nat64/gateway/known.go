package gateway

import (
	"net/netip"
	"slices"
)

// SetKnown replaces Config.Known while the gateway serves, as guests come and
// go: new ones have a mapping from now on, and it is theirs for good; those that
// are known no longer keep theirs until another needs it. The guests of
// Config.Expose stay known. Addresses outside of Config.Guests are left out.
//
// It may be called at any time.
func (g *Gateway) SetKnown(addrs []netip.Addr) {
	keep := make(map[netip.Addr]bool)
	for _, e := range g.config.Expose {
		keep[e.Guest] = true
	}
	// In one order, whatever the caller's: of two that want the same pool address
	// the same one has it after every restart.
	addrs = slices.Clone(addrs)
	slices.SortFunc(addrs, netip.Addr.Compare)
	for _, a := range addrs {
		if g.config.Guests.Contains(a) {
			keep[a] = true
			g.table.assign(a, 0, true)
		}
	}
	g.table.unpin(func(a netip.Addr) bool { return !keep[a] })
}

// unpin lets go of mappings that were to stay for good.
func (t *table) unpin(which func(guest netip.Addr) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for a, m := range t.guests {
		if m.pinned && which(a) {
			m.pinned = false
			// Its time to be idle begins now.
			m.last.Store(max(m.last.Load(), t.now.Load()))
		}
	}
}
