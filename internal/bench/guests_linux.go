package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
)

// labGuests tells for the lab's three guests how much of their start is the
// kernel's own waiting.
func (b *bench) labGuests(ctx context.Context) error {
	const n = 3
	var total, kernel, ours []float64
	if err := b.times(ctx, "lab, its guests", time.Minute, func(ctx context.Context) error {
		return b.inSite(ctx, n, func(s *site) error {
			c, err := s.crowd(ctx, n, (*site).serveOurs)
			if err != nil {
				return err
			}
			last := c.last()
			total = append(total, last.total.Seconds())
			kernel = append(kernel, last.kernel().Seconds())
			ours = append(ours, millis(last.answer))
			return nil
		})
	}); err != nil {
		return err
	}
	return b.emit(
		row{Group: benchLab, What: "last of three guests, link up to address", Unit: unitSeconds, Samples: total},
		row{Group: benchLab, What: "of it the kernel's delays and duplicate address detection", Unit: unitSeconds, Samples: kernel},
		row{Group: benchLab, What: "of it from its solicitation to a default route", Unit: unitMillis, Samples: ours},
	)
}

// crowd is how a number of guests fared.
type crowd struct {
	arrivals []arrival
	whole    time.Duration // first guest's start to last guest's address
	cpu      time.Duration // of the serving process, meanwhile
	rss      float64       // of the serving process at the end, in MB
	grown    float64       // of it since before the first guest
}

// last is the guest that took longest.
func (c crowd) last() arrival {
	var last arrival
	for _, a := range c.arrivals {
		if a.total > last.total {
			last = a
		}
	}
	return last
}

// each picks a figure of every guest, in ms.
func (c crowd) each(pick func(arrival) time.Duration) (list []float64) {
	for _, a := range c.arrivals {
		list = append(list, millis(pick(a)))
	}
	return list
}

// serveOurs sets the server up and serves with fullhost.
func (s *site) serveOurs(ctx context.Context) ([]int, error) {
	if err := s.finish(ctx); err != nil {
		return nil, err
	}
	p, err := s.serve(ctx)
	if err != nil {
		return nil, err
	}
	return []int{p.pid()}, nil
}

// serveRadvd sets the server up the article's way, where radvd advertises.
func (s *site) serveRadvd(ctx context.Context) ([]int, error) {
	if err := lab.Article(ctx, s.Lab); err != nil {
		return nil, err
	}
	// After the naive move the host's IPv6 is dead until its addresses have
	// passed duplicate address detection, which is no fault of radvd's.
	if err := sleep(ctx, moveWindow); err != nil {
		return nil, err
	}
	return findProcesses("radvd")
}

// crowd serves, and attaches guests at once.
func (s *site) crowd(ctx context.Context, n int, serve func(*site, context.Context) ([]int, error)) (crowd, error) {
	pids, err := serve(s, ctx)
	if err != nil {
		return crowd{}, err
	}
	rest, err := resident(pids)
	if err != nil {
		return crowd{}, err
	}
	before, err := cpuClock(pids...)
	if err != nil {
		return crowd{}, err
	}
	start := time.Now()
	_, arrivals, err := s.addGuests(ctx, n)
	if err != nil {
		return crowd{}, err
	}
	after, err := cpuClock(pids...)
	if err != nil {
		return crowd{}, err
	}
	rss, err := resident(pids)
	if err != nil {
		return crowd{}, err
	}
	c := crowd{arrivals: arrivals, cpu: after - before, rss: rss, grown: rss - rest}
	for _, a := range arrivals {
		c.whole = max(c.whole, a.end.Sub(start))
	}
	return c, nil
}

// resident is what processes hold in RAM together, in MB.
func resident(pids []int) (sum float64, err error) {
	for _, pid := range pids {
		m, err := readMemory(pid)
		if err != nil {
			return 0, err
		}
		sum += m.rss
	}
	return sum, nil
}

// figures of several crowds of one size.
type crowdFigures struct {
	whole, cpu, rss, grown []float64

	local, answer, global []float64 // every guest of every run
}

func (f *crowdFigures) add(c crowd) {
	f.whole = append(f.whole, c.whole.Seconds())
	f.cpu = append(f.cpu, millis(c.cpu))
	f.rss, f.grown = append(f.rss, c.rss), append(f.grown, c.grown)
	f.local = append(f.local, c.each(func(a arrival) time.Duration { return a.local })...)
	f.answer = append(f.answer, c.each(func(a arrival) time.Duration { return a.answer })...)
	f.global = append(f.global, c.each(func(a arrival) time.Duration { return a.global })...)
}

// guests measures how many guests at once come to their addresses, beside
// radvd in the article's set-up.
func (b *bench) guests(ctx context.Context) error {
	for _, n := range b.attached() {
		bound := time.Minute + time.Duration(n)*time.Second
		var ours, radvd crowdFigures
		measure := func(what string, f *crowdFigures, serve func(*site, context.Context) ([]int, error)) error {
			return b.times(ctx, "guests, "+guestsText(n)+", "+what, bound, func(ctx context.Context) error {
				return b.inSite(ctx, n, func(s *site) error {
					c, err := s.crowd(ctx, n, serve)
					if err == nil {
						f.add(c)
					}
					return err
				})
			})
		}
		if err := measure("fullhost run", &ours, (*site).serveOurs); err != nil {
			return err
		}
		beside := func([]float64) *peer { return nil }
		err := measure("radvd", &radvd, (*site).serveRadvd)
		var missing *lab.MissingProgramError
		switch {
		case errors.As(err, &missing):
			if err := b.note("guests: no comparison with radvd: %v", missing); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			beside = func(samples []float64) *peer { return &peer{"radvd", samples} }
		}
		what := guestsText(n) + " at once: "
		if err := b.emit(
			row{Group: benchGuests, What: what + "first start to last address", Unit: unitSeconds, Samples: ours.whole, Beside: beside(radvd.whole)},
			row{Group: benchGuests, What: what + "CPU time of the serving process", Unit: unitMillis, Samples: ours.cpu, Beside: beside(radvd.cpu)},
			row{Group: benchGuests, What: what + "resident (VmRSS) of the serving process, at the end", Unit: unitMB, Samples: ours.rss, Beside: beside(radvd.rss)},
			row{Group: benchGuests, What: what + "of it since before the first guest", Unit: unitMB, Samples: ours.grown, Beside: beside(radvd.grown)},
			row{Group: benchGuests, What: what + "a guest's link up to link-local address (the kernel)", Unit: unitMillis, Samples: ours.local, Beside: beside(radvd.local)},
			row{Group: benchGuests, What: what + "from there to default route (the advertiser)", Unit: unitMillis, Samples: ours.answer, Beside: beside(radvd.answer)},
			row{Group: benchGuests, What: what + "default route to global address (the kernel)", Unit: unitMillis, Samples: ours.global, Beside: beside(radvd.global)},
		); err != nil {
			return fmt.Errorf("guests: %w", err)
		}
	}
	return nil
}
