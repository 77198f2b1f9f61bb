package gateway

import (
	"net/netip"
	"sync"
)

// aside are the guests that a route of their own leads to, with an MTU or by way
// of another guest. The programs of the fast path look for every guest as a
// neighbour on the guests' link, so they are not told of these.
type aside struct {
	mu     sync.RWMutex
	routes map[ownRoute]struct{}
}

// ownRoute is what tells a route to a part of the guests' prefix from others.
type ownRoute struct {
	dst           netip.Prefix
	table, metric int
}

func newAside() *aside { return &aside{routes: make(map[ownRoute]struct{})} }

// note says that there is such a route, or none any more, and reports whether
// that is new.
func (a *aside) note(r ownRoute, is bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, was := a.routes[r]; was == is {
		return false
	}
	if is {
		a.routes[r] = struct{}{}
	} else {
		delete(a.routes, r)
	}
	return true
}

func (a *aside) contains(guest netip.Addr) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for r := range a.routes {
		if r.dst.Contains(guest) {
			return true
		}
	}
	return false
}

// noteRoute keeps the second translator to what it may know.
func (g *Gateway) noteRoute(r ownRoute, is bool) {
	if g.fast.aside.note(r, is) {
		g.table.retell(r.dst, g.fast.aside)
	}
}

// retell tells the second translator of the guests in a prefix once more, or
// makes it forget them.
func (t *table) retell(in netip.Prefix, not *aside) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.second == nil {
		return
	}
	for _, m := range t.guests {
		switch {
		case !in.Contains(m.Guest):
		case not.contains(m.Guest):
			t.second.unmapped(m.Mapping)
		default:
			t.second.mapped(m.Mapping)
		}
	}
}
