package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/probe"
)

// The load of the memory figures.
const (
	loadFetches = 200
	loadQueries = 2000
	loadAtOnce  = 16
)

// memory measures what fullhost run holds in RAM.
func (b *bench) memory(ctx context.Context) error {
	const guests = 3
	states := []string{"idle", "with three guests", fmt.Sprintf("after %d fetches by NAT64 and %d DNS queries", loadFetches, loadQueries)}
	rss, pss := make([][]float64, len(states)), make([][]float64, len(states))
	var ready, idle, cpu []float64
	if err := b.times(ctx, "memory", 2*time.Minute, func(ctx context.Context) error {
		return b.inSite(ctx, guests, func(s *site) error {
			if err := s.finish(ctx); err != nil {
				return err
			}
			p, err := s.serve(ctx)
			if err != nil {
				return err
			}
			read := func(state int) error {
				m, err := readMemory(p.pid())
				rss[state], pss[state] = append(rss[state], m.rss), append(pss[state], m.pss)
				return err
			}
			// Everything that starts with it has started by then.
			if err := sleep(ctx, time.Second); err != nil {
				return err
			}
			if err := read(0); err != nil {
				return err
			}
			rest, err := p.cpuDuring(func() error { return sleep(ctx, time.Second) })
			if err != nil {
				return err
			}
			list, _, err := s.addGuests(ctx, guests)
			if err != nil {
				return err
			}
			if err := read(1); err != nil {
				return err
			}
			load, err := p.cpuDuring(func() error { return s.strain(ctx, list[0]) })
			if err != nil {
				return err
			}
			ready, idle, cpu = append(ready, millis(p.took)), append(idle, millis(rest)), append(cpu, millis(load))
			return read(2)
		})
	}); err != nil {
		return err
	}
	rows := []row{{Group: benchMemory, What: "fullhost run, start to ready", Unit: unitMillis, Samples: ready}}
	for i, state := range states {
		rows = append(rows,
			row{Group: benchMemory, What: "resident (VmRSS), " + state, Unit: unitMB, Samples: rss[i], Under: 40},
			row{Group: benchMemory, What: "proportional (PSS), " + state, Unit: unitMB, Samples: pss[i]},
		)
	}
	return b.emit(append(rows,
		row{Group: benchMemory, What: "CPU time in a second of nothing", Unit: unitMillis, Samples: idle},
		row{Group: benchMemory, What: "CPU time of that load", Unit: unitMillis, Samples: cpu},
	)...)
}

// cpuDuring returns the CPU time that the serving process used while fn ran.
func (s serving) cpuDuring(fn func() error) (time.Duration, error) {
	before, err := cpuClock(s.pid())
	if err != nil {
		return 0, err
	}
	if err := fn(); err != nil {
		return 0, err
	}
	after, err := cpuClock(s.pid())
	return after - before, err
}

// strain loads the server from a guest: fetches of 64:ff9b:: addresses, and
// queries of which half are for a name that is known by then and half for names
// that nobody asked for before.
func (s *site) strain(ctx context.Context, g *lab.Guest) error {
	servers := g.RDNSS()
	if len(servers) == 0 {
		return errors.New("the guest was told no name server")
	}
	resolver := &probe.Resolver{Server: netip.AddrPortFrom(servers[0], 53), Types: []uint16{probe.TypeAAAA}}
	url := "http://" + lab.NameV4Only + lab.PathSmall
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(loadAtOnce)
	for range loadFetches {
		group.Go(func() error {
			got, err := probe.Fetch(ctx, g.NS(), url, probe.FetchOptions{Resolver: resolver})
			if err != nil {
				return fmt.Errorf("fetch through NAT64: %w", err)
			}
			if got.Status != 200 || !got.Remote.Addr().Is6() {
				return fmt.Errorf("fetch through NAT64: status %d from %v", got.Status, got.Remote)
			}
			return nil
		})
	}
	var (
		mu      sync.Mutex
		refused int
	)
	for i := range loadQueries {
		group.Go(func() error {
			name := lab.NameV4Only
			if i%2 == 1 {
				name = fmt.Sprintf("none%d.%s", i, lab.ZoneName)
			}
			a, err := probe.Query(ctx, g.NS(), resolver.Server, name, probe.TypeAAAA, false)
			if err != nil {
				return fmt.Errorf("ask for %s: %w", name, err)
			}
			if a.RCode != probe.NoError && a.RCode != probe.NXDomain {
				mu.Lock()
				defer mu.Unlock()
				refused++
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if refused > 0 {
		return fmt.Errorf("%d of %d DNS queries had no proper answer", refused, loadQueries)
	}
	return nil
}
