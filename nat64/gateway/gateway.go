package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sixhost/sixhost/nat64/gateway/fastpath"
)

// Gateway translates packets between the guests and IPv4.
type Gateway struct {
	log    *slog.Logger
	config Config
	table  *table
	mapper *mapper
	host   host
	fast   fastSide
	queues []*queue

	// closers end the queues; closed once.
	closers []closer
}

// closer is a queue's end of the device.
type closer interface {
	Close() error
	SetReadDeadline(t time.Time) error
}

// host is what the gateway has to ask and tell the kernel while it serves.
type host interface {
	// neighbours are the addresses seen on the guests' link.
	neighbours() ([]netip.Addr, error)
	// source is the host's address that guests in a prefix see.
	source(netip.Prefix) (netip.Addr, error)
	// ports are the names of the guests' ports.
	ports() (map[origin]string, error)
	// own4 are the host's IPv4 addresses.
	own4() ([]netip.Addr, error)
	// hearRoutes says which routes lead to guests apart from others, and
	// followRoutes what becomes of them, until ctx ends or it can't.
	hearRoutes(guests netip.Prefix, each func(ownRoute, bool)) error
	followRoutes(ctx context.Context, each func(ownRoute, bool)) error
	// forget ends the connections of a pool address.
	forget(pool netip.Addr) error
	// programs opens the fast path's if they are this gateway's, and disarm
	// keeps them from translating for it if they are not what it wants.
	programs(Config) (*fastpath.Table, error)
	disarm(Config) error
	Close() error
}

// start fills a new Gateway's table.
func (g *Gateway) start(now time.Time) {
	g.table.now.Store(now.Unix())
	g.restore()
	for _, a := range g.config.Known {
		g.table.assign(a, 0, true)
	}
	// Guests that were there before a restart may wait for data without sending
	// anything: they need their mapping before they speak.
	seen, err := g.host.neighbours()
	if err != nil {
		g.log.Warn("guests seen before are not known", "error", err)
	}
	slices.SortFunc(seen, netip.Addr.Compare)
	for _, a := range seen {
		if g.config.Guests.Contains(a) {
			g.table.assign(a, 0, false)
		}
	}
	g.findSource()
}

// restore makes the mappings kept by whoever served before. Without them the
// gateway serves all the same.
func (g *Gateway) restore() {
	file := g.config.mappingsFile()
	if file == "" {
		return
	}
	all, err := readMappings(file)
	if err != nil {
		g.log.Warn("mappings of before are not known", "error", err)
	}
	g.table.restore(all, func(m Mapping) bool { return g.config.Guests.Contains(m.Guest) && g.config.Pool.Contains(m.Pool) })
}

// keepMappings writes them down when they have changed: at once, and then once
// a second at most.
func (g *Gateway) keepMappings(ctx context.Context) {
	file := g.config.mappingsFile()
	write := func() {
		if file == "" {
			return
		}
		if err := writeMappings(file, g.table.keptMappings()); err != nil {
			g.log.Warn("mappings are not kept over a restart", "error", err)
		}
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			// What is not written yet.
			select {
			case <-g.table.changed:
				write()
			default:
			}
			return
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			continue
		case <-g.table.changed:
			write()
		}
		pause.Reset(time.Second)
	}
}

// findSource follows the host's own addresses.
func (g *Gateway) findSource() {
	if own, err := g.host.own4(); err != nil {
		g.log.Warn("the host's IPv4 addresses are not known, only the kernel refuses them", "error", err)
	} else {
		g.mapper.own4.Store(&own)
	}
	a, err := g.host.source(g.config.Guests)
	if err != nil {
		g.log.Debug("no address of the host's for ICMP errors", "error", err)
		return
	}
	g.mapper.setOwn6(a)
}

func (g *Gateway) forget(pool netip.Addr) {
	if err := g.host.forget(pool); err != nil {
		g.log.Warn("connections of a reused pool address not ended", "address", pool, "error", err)
	}
}

// Run translates until ctx ends, and then returns nil and lets go of the
// device, which stays. It can be called once.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(g.queues))
	for i, q := range g.queues {
		wg.Go(func() {
			defer cancel()
			if err := q.serve(); !errors.Is(err, os.ErrDeadlineExceeded) {
				errs[i] = fmt.Errorf("read from %s: %w", g.config.Device, err)
			}
		})
	}
	wg.Go(func() { g.keepTime(ctx) })
	wg.Go(func() { g.keepMappings(ctx) })
	wg.Go(func() {
		if err := g.host.followRoutes(ctx, g.noteRoute); err != nil {
			g.log.Warn("guests that get a route of their own stay on the fast path", "error", err)
		}
	})
	<-ctx.Done()
	for _, c := range g.closers {
		// A deadline in the past ends the read that is under way.
		if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			c.Close()
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// keepTime moves the table's clock, and follows the host's address now and then.
func (g *Gateway) keepTime(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			g.table.now.Store(now.Unix())
			g.refollow()
		}
		if n%10 == 0 {
			g.findSource()
		}
	}
}

// Close lets go of the device without Run.
func (g *Gateway) Close() error {
	var errs []error
	for _, c := range g.closers {
		if err := c.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, fmt.Errorf("close %s: %w", g.config.Device, err))
		}
	}
	errs = append(errs, g.fast.close())
	if err := g.host.Close(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Stats returns the counts so far. It may be called at any time.
func (g *Gateway) Stats() Stats {
	s := Stats{Path: PathPortable, FastPathError: g.fast.why(), Mappings: g.table.count(), Capacity: int(g.table.slots), Refused: g.table.refusals()}
	g.fast.mu.Lock()
	s.addFast(g.fast.past.Fast)
	g.fast.mu.Unlock()
	g.table.addSecond(&s)
	for _, q := range g.queues {
		q.counts.addTo(&s)
	}
	return s
}

// Use is one mapping in use.
type Use struct {
	Mapping
	// Port is the guest's port of the bridge, "" where it is not known.
	Port string
	// Used is when a packet last went by it, to the second.
	Used time.Time
}

// Mappings returns those in use, in the order of the guests' addresses.
func (g *Gateway) Mappings() []Use {
	names, err := g.host.ports()
	if err != nil {
		g.log.Debug("names of ports", "error", err)
	}
	t := g.table
	t.mu.RLock()
	out := make([]Use, 0, len(t.guests))
	for _, m := range t.guests {
		last := m.last.Load()
		if t.second != nil {
			last = max(last, t.second.lastUsed(m.Mapping))
		}
		out = append(out, Use{Mapping: m.Mapping, Port: names[m.origin], Used: time.Unix(last, 0)})
	}
	t.mu.RUnlock()
	slices.SortFunc(out, func(a, b Use) int { return a.Guest.Compare(b.Guest) })
	return out
}

// PerPort returns how many mappings each of the guests' ports has in use; those
// whose port is not known are under "".
func (g *Gateway) PerPort() map[string]int {
	names, err := g.host.ports()
	if err != nil {
		g.log.Debug("names of ports", "error", err)
	}
	t := g.table
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make(map[string]int)
	known := 0
	for o, s := range t.shares {
		if n := len(s.own); n > 0 {
			out[names[o]] += n
			known += n
		}
	}
	if rest := len(t.guests) - known; rest > 0 {
		out[""] += rest
	}
	return out
}

// Mapped returns the pool address of a guest that has one.
func (g *Gateway) Mapped(guest netip.Addr) (netip.Addr, bool) {
	g.table.mu.RLock()
	defer g.table.mu.RUnlock()
	if m := g.table.guests[guest]; m != nil {
		return m.Pool, true
	}
	return netip.Addr{}, false
}
