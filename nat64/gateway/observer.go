package gateway

import "net/netip"

// Mapping joins a guest's IPv6 address to the address of the pool that stands
// for it.
type Mapping struct {
	Guest netip.Addr `json:"guest"`
	Pool  netip.Addr `json:"pool"`
}

// second is another translator on the same device, with a copy of the mappings
// that it can't change: the table here decides. Its methods are called with the
// table locked, so they must be quick and must not call back into the table;
// mapped, unmapped and charged by one goroutine at a time, the others by several.
type second interface {
	// mapped is told of a mapping before its first packet is translated, once
	// for each that is there when the second translator is attached.
	mapped(Mapping)
	// unmapped is told before a pool address changes hands. When it returns, no
	// packet is translated by that mapping any more.
	unmapped(Mapping)
	// charged is told whom a mapping is charged to, once that is known, so that
	// the next process knows.
	charged(Mapping, origin)
	// lastUsed returns the second of the Unix time at which the copy was last
	// used, 0 for never. It is asked for what looks idle to the table, as
	// packets on the other path don't come by here.
	lastUsed(Mapping) int64
	// addTo adds its counts, and says which path is on.
	addTo(*Stats)
}

// attach makes s the table's second translator, and tells it of all mappings
// that there are; nil detaches.
func (t *table) attach(s second) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.second = s
	if s == nil {
		return
	}
	for _, m := range t.guests {
		s.mapped(m.Mapping)
		if m.origin != 0 {
			s.charged(m.Mapping, m.origin)
		}
	}
}

// addSecond adds the second translator's counts. It is not let go of meanwhile.
func (t *table) addSecond(s *Stats) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.second != nil {
		t.second.addTo(s)
	}
}

func (t *table) attached() second {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.second
}
