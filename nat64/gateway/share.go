package gateway

// origin is where a guest's packets come in: the number of the bridge's port,
// as the rules stamp it on them. 0 is unknown, as for guests that are not on a
// bridge, or were there before a restart.
type origin uint16

// share is what one origin has of the pool.
type share struct {
	mappings int
	// tokens are left of what may be made new, as of second.
	tokens int
	second int64
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
	if t.quota == 0 || s.mappings < t.quota {
		return true
	}
	m := t.idlest(func(m *mapping) bool { return m.origin == from })
	if m == nil || !t.idle(m) {
		return false
	}
	t.end(m)
	return true
}

func (t *table) share(o origin) *share {
	s := t.shares[o]
	if s == nil {
		s = &share{tokens: newAtOnce, second: t.now.Load()}
		t.shares[o] = s
	}
	return s
}

func (t *table) charge(m *mapping, to origin) {
	m.origin = to
	if to != 0 {
		t.share(to).mappings++
	}
}

func (t *table) uncharge(m *mapping) {
	if s := t.shares[m.origin]; s != nil && m.origin != 0 {
		s.mappings--
	}
	m.origin = 0
}

// greediest returns a mapping, used least lately, of the origin that has most,
// if that is more than a fair share of the pool and the newcomer's is less;
// else nil.
func (t *table) greediest(newcomer origin) *mapping {
	if newcomer == 0 || len(t.shares) < 2 {
		return nil
	}
	fair := int(t.slots) / len(t.shares)
	var most origin
	for o, s := range t.shares {
		if most == 0 || s.mappings > t.shares[most].mappings || s.mappings == t.shares[most].mappings && o < most {
			most = o
		}
	}
	if most == newcomer || t.shares[most].mappings <= fair || t.share(newcomer).mappings >= fair {
		return nil
	}
	return t.idlest(func(m *mapping) bool { return m.origin == most })
}
