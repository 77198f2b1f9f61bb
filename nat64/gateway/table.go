package gateway

import (
	"encoding/binary"
	"iter"
	"maps"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// reuseAfter is how long a mapping must have been idle to be given away when
// the pool is full: longer than the kernel's timers for everything but
// established TCP (conntrack's 180 s for a UDP stream).
const reuseAfter = 10 * time.Minute

// mapping joins a guest's address to one of the pool's.
type mapping struct {
	Mapping
	// last is when a packet used it, in seconds of the table's clock.
	last   atomic.Int64
	pinned bool
	// origin is whom the mapping is charged to.
	origin origin
	// kept mappings are written down, as they don't follow from the guest's
	// address alone: see remember.go.
	kept bool
}

// table holds the mappings. Its methods may be called from several goroutines.
type table struct {
	pool  netip.Prefix
	base  uint32 // the pool's first address
	slots uint32 // how many guests it has room for
	// now is the time in seconds, set from outside: packets are many, clocks
	// slow.
	now atomic.Int64
	// onReuse is called, with the table locked, before a pool address changes
	// hands.
	onReuse func(pool netip.Addr)

	mu     sync.RWMutex
	second second // nil without one
	guests map[netip.Addr]*mapping
	owners map[uint32]*mapping // by slot
	// searched is the second in which the idlest of all was last looked for.
	searched int64
	shares   map[origin]*share
	quota    int // mappings of one origin; 0 for no limit
	refused  uint64
	// changed has a value while a kept mapping is not written down.
	changed chan struct{}
}

// The pool's first address is the network's, the second the gateway's own, the
// last the broadcast.
const (
	ownAddr   = 1
	firstSlot = 2
	reserved  = 3
)

func newTable(pool netip.Prefix, onReuse func(netip.Addr)) *table {
	b := pool.Addr().As4()
	return &table{
		pool:    pool,
		base:    binary.BigEndian.Uint32(b[:]),
		slots:   uint32(1)<<(32-pool.Bits()) - reserved,
		onReuse: onReuse,
		guests:  make(map[netip.Addr]*mapping),
		owners:  make(map[uint32]*mapping),
		shares:  make(map[origin]*share),
		changed: make(chan struct{}, 1),
	}
}

func (t *table) addr(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], t.base+n)
	return netip.AddrFrom4(b)
}

// own is the gateway's own address in the pool: the source of ICMP errors that
// have no better one.
func (t *table) own() netip.Addr { return t.addr(ownAddr) }

// lookup4 returns the pool address of a guest that has one.
func (t *table) lookup4(guest netip.Addr) (netip.Addr, bool) {
	t.mu.RLock()
	m := t.guests[guest]
	t.mu.RUnlock()
	if m == nil {
		return netip.Addr{}, false
	}
	t.touch(m)
	return m.Pool, true
}

// lookup6 returns the guest behind a pool address.
func (t *table) lookup6(pool netip.Addr) (netip.Addr, bool) {
	b := pool.As4()
	t.mu.RLock()
	m := t.owners[binary.BigEndian.Uint32(b[:])-t.base-firstSlot]
	t.mu.RUnlock()
	if m == nil {
		return netip.Addr{}, false
	}
	t.touch(m)
	return m.Guest, true
}

func (t *table) touch(m *mapping) {
	// Written once a second at most, so that queues don't fight for the line.
	if now := t.now.Load(); m.last.Load() != now {
		m.last.Store(now)
	}
}

// assign returns the pool address of a guest, and gives it one if it has none,
// which is charged to an origin. ok is false when the origin has its share, or
// the pool is full of mappings in use.
func (t *table) assign(guest netip.Addr, from origin, pin bool) (pool netip.Addr, ok bool) {
	t.mu.RLock()
	m := t.guests[guest]
	settled := m != nil && !pin && (m.origin != 0 || from == 0)
	t.mu.RUnlock()
	if settled {
		t.touch(m)
		return m.Pool, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := t.guests[guest]; m != nil {
		m.pinned = m.pinned || pin
		if m.origin == 0 {
			t.charge(m, from)
		}
		t.touch(m)
		return m.Pool, true
	}
	if !pin && !t.mayHaveMore(from) {
		t.refused++
		return netip.Addr{}, false
	}
	slot, ok := t.place(guest, from)
	if !ok {
		t.refused++
		return netip.Addr{}, false
	}
	m = t.put(guest, slot)
	m.pinned = pin
	t.charge(m, from)
	return m.Pool, true
}

// put makes a mapping at a free slot.
func (t *table) put(guest netip.Addr, slot uint32) *mapping {
	m := &mapping{Mapping: Mapping{guest, t.addr(slot + firstSlot)}}
	m.last.Store(t.now.Load())
	t.guests[guest], t.owners[slot] = m, m
	t.keep(m, slot)
	if t.second != nil {
		t.second.mapped(m.Mapping)
	}
	return m
}

// end takes a mapping out of the table.
func (t *table) end(m *mapping) {
	if t.second != nil {
		t.second.unmapped(m.Mapping)
	}
	if t.onReuse != nil {
		t.onReuse(m.Pool)
	}
	t.uncharge(m)
	delete(t.guests, m.Guest)
	delete(t.owners, t.slot(m.Pool))
	if m.kept {
		t.note()
	}
}

func (t *table) slot(pool netip.Addr) uint32 {
	b := pool.As4()
	return binary.BigEndian.Uint32(b[:]) - t.base - firstSlot
}

// place finds a slot: the one the guest's address names, the next free one, or
// the one idle for longest.
func (t *table) place(guest netip.Addr, from origin) (uint32, bool) {
	if uint32(len(t.owners)) < t.slots {
		want := preferred(guest, t.slots)
		for i := range t.slots {
			if slot := (want + i) % t.slots; t.owners[slot] == nil {
				return slot, true
			}
		}
	}
	m := t.giveWay(from)
	if m == nil {
		m = t.anyIdle()
	}
	if m == nil {
		return 0, false
	}
	t.end(m)
	return t.slot(m.Pool), true
}

// anyIdle returns the mapping that is idle for longest; nil if none is. The
// search goes through the whole table, and ending connections through the
// kernel's: once a second, or a guest that invents addresses could keep
// everybody waiting.
func (t *table) anyIdle() *mapping {
	now := t.now.Load()
	if t.searched == now {
		return nil
	}
	t.searched = now
	m := t.idlest(maps.Values(t.owners))
	if m == nil || !t.idle(m) {
		return nil
	}
	return m
}

// idle reports whether a mapping may be given away.
func (t *table) idle(m *mapping) bool {
	return t.now.Load()-m.last.Load() >= int64(reuseAfter/time.Second)
}

// idlest returns the mapping that was used least lately of those that may go;
// nil if there is none. Those that look idle are asked for at the second
// translator, a few of them.
func (t *table) idlest(all iter.Seq[*mapping]) *mapping {
	for range 8 {
		var oldest *mapping
		for m := range all {
			if !m.pinned && (oldest == nil || m.last.Load() < oldest.last.Load()) {
				oldest = m
			}
		}
		if oldest == nil || t.second == nil {
			return oldest
		}
		used := t.second.lastUsed(oldest.Mapping)
		if used <= oldest.last.Load() {
			return oldest
		}
		oldest.last.Store(used)
	}
	return nil
}

// count returns how many mappings there are.
func (t *table) count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.guests)
}

// refusals returns how often a guest got no mapping.
func (t *table) refusals() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.refused
}

// preferred is the slot a guest's address names, the same after every restart.
// Changing this function moves every guest, and ends its sessions at the next
// upgrade. Addresses that differ little, as those of one host's guests do, land
// apart (the mixing of SplitMix64).
func preferred(guest netip.Addr, slots uint32) uint32 {
	b := guest.As16()
	h := mix(binary.BigEndian.Uint64(b[:8])) ^ binary.BigEndian.Uint64(b[8:])
	hi, _ := bits.Mul64(mix(h), uint64(slots))
	return uint32(hi)
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
