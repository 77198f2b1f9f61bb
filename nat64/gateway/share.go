package gateway

import "maps"

// origin is where a guest's packets come in: the number of the bridge's port,
// as the rules stamp it on them. 0 is unknown, as for guests that are not on a
// bridge, or were there before a restart.
type origin uint16

// share is what one origin has of the pool.
type share struct {
	own map[*mapping]struct{}
	// tokens are left of what may be made new, as of second.
	tokens int
	second int64
	// evicted is when a mapping in use was last ended on this origin's account.
	evicted int64
}

// Defaults of what one port may have, besides the addresses of Config.Known.
const (
	// DefaultPerPort is how many addresses: enough for a guest that runs
	// containers, and a sixty-fourth of the default pool.
	DefaultPerPort = 1024
	// newPerSecond and newAtOnce limit how fast it gets them.
	newPerSecond = 32
	newAtOnce    = 256
)

// mayHaveMore reports whether an origin may have another mapping, after its own
// idlest was ended if its share is used up.
func (t *table) mayHaveMore(from origin) bool {
	if from == 0 {
		return true
	}
	s := t.share(from)
	now := t.now.Load()
	s.tokens = int(min(newAtOnce, int64(s.tokens)+newPerSecond*(now-s.second)))
	s.second = now
	if s.tokens <= 0 {
		return false
	}
	s.tokens--
	if t.quota == 0 || len(s.own) < t.quota {
		return true
	}
	// Ending connections goes through the kernel's whole table.
	if now-s.evicted < evictEvery {
		return false
	}
	m := t.idlest(maps.Keys(s.own))
	if m == nil || !t.idle(m) {
		return false
	}
	s.evicted = now
	t.end(m)
	return true
}

// evictEvery is how many seconds lie between two mappings that are ended on one
// origin's account.
const evictEvery = 5

func (t *table) share(o origin) *share {
	s := t.shares[o]
	if s == nil {
		s = &share{own: make(map[*mapping]struct{}), tokens: newAtOnce, second: t.now.Load()}
		t.shares[o] = s
	}
	return s
}

// charge puts a mapping on an origin's account. What nobody is known for, of
// guests that were there before a restart and have said nothing since, is on one
// account too, of which the full pool takes back as of any other; what stays for
// good is on none then.
func (t *table) charge(m *mapping, to origin) {
	t.uncharge(m)
	m.origin = to
	if to != 0 && t.second != nil {
		t.second.charged(m.Mapping, to)
	}
	if to != 0 || !m.pinned {
		t.share(to).own[m] = struct{}{}
	}
}

func (t *table) uncharge(m *mapping) {
	if s := t.shares[m.origin]; s != nil {
		delete(s.own, m)
	}
}

// giveWay returns a mapping of the origin that has most, the one used least
// lately, if that origin has more than a fair share of the pool and the
// newcomer less; else nil.
func (t *table) giveWay(newcomer origin) *mapping {
	if newcomer == 0 {
		return nil
	}
	var most *share
	holders := 1 // the newcomer
	for o, s := range t.shares {
		if o == newcomer || len(s.own) == 0 {
			continue
		}
		holders++
		if most == nil || len(s.own) > len(most.own) {
			most = s
		}
	}
	s, now, fair := t.share(newcomer), t.now.Load(), int(t.slots)/holders
	if most == nil || len(most.own) <= fair || len(s.own) >= fair || now-s.evicted < evictEvery {
		return nil
	}
	s.evicted = now
	return t.idlest(maps.Keys(most.own))
}
