package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/probe"
)

// Names of the windows in the probes' reports.
const (
	windowControl = "control"
	windowChange  = "change"
)

// families in the table's order.
func families() []string { return []string{"IPv4", "IPv6"} }

// harm is what a change of the server's network did to one family, and what
// the same time without a change did.
type harm struct {
	stall, controlStall []float64 // ms, longest of a TCP session
	lost, controlLost   []float64 // pings at 1 kHz
	died                int       // sessions
}

// rows shows it under the name of what was done.
func (h *harm) rows(group, what, family string) []row {
	const control = "no change"
	return []row{
		{Group: group, What: fmt.Sprintf("%s: longest stall of a TCP session, %s", what, family), Unit: unitMillis, Samples: h.stall, Beside: &peer{control, h.controlStall}},
		{Group: group, What: fmt.Sprintf("%s: pings lost at 1 kHz, %s", what, family), Unit: unitLost, Samples: h.lost, Beside: &peer{control, h.controlLost}},
	}
}

// beyond shows by how much each run's stall is longer than that of the same
// time without a change, which on a busy machine says more than either.
func (h *harm) beyond(group, what, family string) row {
	r := row{Group: group, What: fmt.Sprintf("%s: stall beyond that of no change, %s", what, family), Unit: unitMillis}
	for i := range h.stall {
		r.Samples = append(r.Samples, max(0, h.stall[i]-h.controlStall[i]))
	}
	return r
}

// harms collects both families' over several runs.
type harms map[string]*harm

func newHarms() harms { return harms{"IPv4": new(harm), "IPv6": new(harm)} }

// during counts through a window in which nothing happens and then through one
// in which change runs, from the provider to the server. The sessions end with
// it: the address they use may be given up next.
func (hs harms) during(ctx context.Context, s *site, window time.Duration, change func(context.Context) error) (err error) {
	from := s.Node(lab.Provider).NS()
	pings, sessions := make(map[string]*probe.Pinger), make(map[string]*probe.Session)
	defer func() {
		for _, p := range pings {
			p.Stop()
		}
		for _, t := range sessions {
			t.Stop()
		}
	}()
	for family, to := range map[string]netip.Addr{"IPv4": lab.ServerIPv4().Addr(), "IPv6": lab.ServerIPv6().Addr()} {
		if sessions[family], err = probe.StartSession(ctx, from, probe.SessionConfig{To: netip.AddrPortFrom(to, lab.ServiceTCP)}); err != nil {
			delete(sessions, family)
			return fmt.Errorf("open a TCP session to the server over %s: %w", family, err)
		}
		if pings[family], err = probe.StartPinger(ctx, from, probe.PingConfig{To: to}); err != nil {
			delete(pings, family)
			return fmt.Errorf("ping the server over %s: %w", family, err)
		}
		if err := pings[family].WaitAnswer(ctx); err != nil {
			return fmt.Errorf("ping the server over %s: %w", family, err)
		}
	}
	mark := func(name string) {
		for _, f := range families() {
			pings[f].Mark(name)
			sessions[f].Mark(name)
		}
	}
	mark(windowControl)
	if err := sleep(ctx, window); err != nil {
		return err
	}
	mark(windowChange)
	begun := time.Now()
	if err := change(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, max(0, window-time.Since(begun))); err != nil {
		return err
	}
	mark("")
	return hs.add(pings, sessions)
}

// add stops the probes and takes their figures over.
func (hs harms) add(pings map[string]*probe.Pinger, sessions map[string]*probe.Session) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for _, f := range families() {
		wg.Go(func() {
			ping, session := pings[f].Stop(), sessions[f].Stop()
			mu.Lock()
			defer mu.Unlock()
			h := hs[f]
			now, control := session.Window(windowChange), session.Window(windowControl)
			h.stall, h.controlStall = append(h.stall, millis(now.Stall)), append(h.controlStall, millis(control.Stall))
			lost, controlLost := ping.Window(windowChange), ping.Window(windowControl)
			h.lost, h.controlLost = append(h.lost, float64(lost.Lost)), append(h.controlLost, float64(controlLost.Lost))
			if !session.Alive {
				h.died++
			}
			if lost.Sent == 0 || controlLost.Sent == 0 {
				errs = append(errs, fmt.Errorf("no pings were sent over %s", f))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
