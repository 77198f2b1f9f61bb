package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sixhost/sixhost/nat64/gateway/fastpath"
)

// ErrNoFastPath is matched by the reasons why packets take the portable path
// although the fast one was asked for, see [Stats.FastPathError].
var ErrNoFastPath = errors.New("NAT64 goes by the portable path")

// DefaultPins returns the folder for Config.Pins on a host of the usual make,
// where systemd mounts the BPF file system.
func DefaultPins() string { return "/sys/fs/bpf/sixhost/nat64" }

// Fast is the fast path as a plan makes it: programs on the device and on the
// guests' link, pinned in Scope.Pins.
type Fast struct {
	fastpath.Settings
	// Attached says that they are where they belong.
	Attached bool `json:"attached"`
}

func (f *Fast) equal(g *Fast) bool {
	if f == nil || g == nil {
		return f == g
	}
	return f.Attached == g.Attached && f.Version == g.Version && f.Prefix == g.Prefix && f.MTU6 == g.MTU6 && slices.Equal(f.Denied, g.Denied)
}

// fast returns the fast path that c describes, nil where there can be none. c
// has its defaults.
func (c Config) fast(there State) *Fast {
	if c.Pins == "" || there.NoFast != "" {
		return nil
	}
	return &Fast{Attached: true, Settings: fastpath.Settings{
		Version: fastpath.Version(), Prefix: c.Prefix, Denied: c.deniedBlocks(), MTU6: there.mtu6(),
	}}
}

// validPins: a folder by its whole path.
func validPins(dir string) bool {
	return dir == "" || path.IsAbs(dir) && path.Clean(dir) == dir && dir != "/"
}

// follower is the table's second translator: it tells the programs of the
// mappings. They decide nothing.
type follower struct {
	programs *fastpath.Table
	aside    *aside
	// before are their counts when this process came.
	before fastpath.Counts
	log    *slog.Logger
	// full is set once they had no room for a mapping, which goes by the
	// portable path then.
	full atomic.Bool
}

var _ second = (*follower)(nil)

func newFollower(programs *fastpath.Table, aside *aside, log *slog.Logger) (*follower, error) {
	before, err := programs.Counts()
	if err != nil {
		return nil, err
	}
	return &follower{programs: programs, aside: aside, before: before, log: log}, nil
}

func (f *follower) mapped(m Mapping) {
	if f.aside.contains(m.Guest) {
		return
	}
	if err := f.programs.Put(m.Guest, m.Pool); err != nil && !f.full.Swap(true) {
		f.log.Warn("a guest stays on the portable path, and so may others", "error", err)
	}
}

func (f *follower) unmapped(m Mapping) {
	if err := f.programs.Delete(m.Guest, m.Pool); err != nil {
		f.log.Error("the fast path knows a mapping that has ended", "error", err)
	}
}

func (f *follower) charged(m Mapping, to origin) {
	if err := f.programs.Charge(m.Guest, uint32(to)); err != nil {
		f.log.Debug("a restart will not know whose a mapping is", "error", err)
	}
}

func (f *follower) lastUsed(m Mapping) int64 {
	if t := f.programs.LastUsed(m.Guest, m.Pool); !t.IsZero() {
		return t.Unix()
	}
	return 0
}

func (f *follower) addTo(s *Stats) {
	s.Path = PathFast
	s.addFast(f.counts())
}

// counts are those since this process came.
func (f *follower) counts() (c fastpath.Counts) {
	now, err := f.programs.Counts()
	if err != nil {
		f.log.Warn("the fast path's counts are missing", "error", err)
		return c
	}
	for o := range fastpath.Outcomes {
		c.To4[o] = since(now.To4[o], f.before.To4[o])
		c.To6[o] = since(now.To6[o], f.before.To6[o])
	}
	return c
}

func since(now, before fastpath.Count) fastpath.Count {
	return fastpath.Count{Packets: now.Packets - before.Packets, Octets: now.Octets - before.Octets}
}

func (s *Stats) addFast(c fastpath.Counts) {
	for o := range fastpath.Outcomes {
		s.Fast.To4[o].Packets += c.To4[o].Packets
		s.Fast.To4[o].Octets += c.To4[o].Octets
		s.Fast.To6[o].Packets += c.To6[o].Packets
		s.Fast.To6[o].Octets += c.To6[o].Octets
	}
	to4, to6 := s.Fast.To4[fastpath.Translated], s.Fast.To6[fastpath.Translated]
	s.To4.FastPackets, s.To4.FastOctets = to4.Packets, to4.Octets
	s.To6.FastPackets, s.To6.FastOctets = to6.Packets, to6.Octets
}

// follow takes over the programs that a plan put in place: first their
// mappings, which established flows live by, then the telling of new ones. It
// returns why there is no fast path. The table is still without mappings.
func (g *Gateway) follow(programs *fastpath.Table) error {
	f, err := newFollower(programs, g.fast.aside, g.log)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoFastPath, err)
	}
	known, err := programs.Mappings()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoFastPath, err)
	}
	for guest, pool := range known {
		m := Mapping{guest, pool}
		last := f.lastUsed(m)
		if last == 0 {
			// Only the process before may have used it, which nobody remembers.
			last = time.Now().Unix()
		}
		if !g.config.Guests.Contains(guest) || !g.table.adopt(m, last, origin(programs.Charged(guest))) || f.aside.contains(guest) {
			f.unmapped(m)
		}
	}
	g.table.attach(f)
	return nil
}

// fastSide is a gateway's end of the fast path.
type fastSide struct {
	aside    *aside
	looking  sync.Mutex // held by who looks for changes
	mu       sync.Mutex
	programs *fastpath.Table // nil without one, and then err says why
	err      error
	// past is what programs counted that this process saw and that are gone.
	past Stats
	// Of who looks: doubts is how often in a row the programs were not as they
	// should be; refused, that there were some which counted for others.
	doubts  int
	refused bool
}

func (f *fastSide) set(programs *fastpath.Table, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.programs != nil {
		f.programs.Close()
	}
	f.programs, f.err = programs, err
}

func (f *fastSide) why() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fastSide) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.programs == nil {
		return nil
	}
	err := f.programs.Close()
	f.programs = nil
	return err
}

// refollow looks whether a plan has meanwhile removed the programs, or made them
// anew, in which case they have to be told of all mappings again, or whether
// something has made them useless: the guests' link was made anew, for example.
func (g *Gateway) refollow() {
	if g.config.Pins == "" {
		return
	}
	g.fast.looking.Lock()
	defer g.fast.looking.Unlock()
	g.fast.mu.Lock()
	have := g.fast.programs
	g.fast.mu.Unlock()
	there, err := g.host.programs(g.config)
	if err != nil {
		if have != nil && (g.gone() || g.fast.doubt()) {
			g.log.Warn("the fast path is gone", "error", err)
			g.retire(nil)
			g.standAside()
			g.fast.set(nil, err)
		}
		return
	}
	g.fast.doubts = 0
	if have != nil && have.Same(there) {
		there.Close()
		return
	}
	f, err := newFollower(there, g.fast.aside, g.log)
	if err == nil {
		// Whatever else they know is of a time when they were not followed.
		err = there.Keep(func(guest, pool netip.Addr) bool {
			a, ok := g.Mapped(guest)
			return ok && a == pool && !g.fast.aside.contains(guest)
		})
	}
	if err != nil {
		there.Close()
		g.log.Warn("a fast path can't be used", "error", err)
		return
	}
	if !g.fast.refused {
		f.before = fastpath.Counts{} // they are ours from the start
	}
	g.fast.refused = false
	g.retire(f)
	g.fast.set(there, nil)
	g.log.Info("the fast path is on")
}

// gone reports whether there are no programs any more.
func (g *Gateway) gone() bool {
	t, err := fastpath.Open(g.config.Pins)
	if err != nil {
		return true
	}
	t.Close()
	return false
}

// doubt is told that the programs are not as they should be, which they are for
// a moment while a plan changes them, and reports whether that lasts.
func (f *fastSide) doubt() bool {
	f.doubts++
	return f.doubts > 1
}

// standAside is for programs that are there and are refused: by the mappings
// that they know, guests' packets would go where nobody expects them.
func (g *Gateway) standAside() {
	g.fast.doubts = 0
	if g.gone() {
		return
	}
	g.fast.refused = true
	if err := g.host.disarm(g.config); err != nil {
		g.log.Error("programs of the fast path that can't be used translate packets", "error", err)
	}
}

// retire puts another follower, or none, in the place of the one there is, and
// keeps what that one's programs counted.
func (g *Gateway) retire(next *follower) {
	old, _ := g.table.attached().(*follower)
	if next == nil {
		g.table.attach(nil)
	} else {
		g.table.attach(next)
	}
	if old != nil {
		c := old.counts()
		g.fast.mu.Lock()
		g.fast.past.addFast(c)
		g.fast.mu.Unlock()
	}
}

// adopt takes a mapping as it is, on somebody's account. It refuses one whose
// place is not free.
func (t *table) adopt(m Mapping, last int64, from origin) bool {
	if !t.pool.Contains(m.Pool) {
		return false
	}
	slot := number(m.Pool) - t.base - firstSlot
	t.mu.Lock()
	defer t.mu.Unlock()
	if slot >= t.slots || t.owners[slot] != nil || t.guests[m.Guest] != nil {
		return false
	}
	put := t.put(m.Guest, slot)
	put.last.Store(last)
	t.charge(put, from)
	return true
}
