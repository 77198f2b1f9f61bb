package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/wire"
)

// labCheck is one line of the table to be.
type labCheck struct {
	name string
	// run measures; the text is shown whether ok or not.
	run func(ctx context.Context) (ok bool, measured string)
}

// checks runs all checks, several at a time, and returns them in their order.
// Those of the provider's port come last, when all traffic has been.
func (r *labRun) checks(ctx context.Context) table {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	groups := [][]labCheck{
		r.moveChecks(),
		r.hostChecks(),
		r.guestChecks(),
		r.trafficChecks(),
		r.refusalChecks(),
		r.frontDoorChecks(),
		r.segmentChecks(),
	}
	all := slices.Concat(groups...)
	results := make([]check, len(all))
	places := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			ok, measured := c.run(ctx)
			results[i] = check{Name: c.name, OK: ok, Measured: measured}
		})
	}
	wg.Wait()
	t := table{Checks: results}
	for _, c := range r.portChecks() {
		ok, measured := c.run(ctx)
		t.Checks = append(t.Checks, check{Name: c.name, OK: ok, Measured: measured})
	}
	return t
}

// moveChecks tell what the move did to what was under way. A stall within
// what the machine's own noise gives is no failure: the control window beside
// it shows that noise.
func (r *labRun) moveChecks() []labCheck {
	const (
		// toleratedStall is a little more than TCP's first retransmission (200 ms), which
		// a single lost segment would cost.
		toleratedStall = 250 * time.Millisecond
		// toleratedLoss in probes of 1 ms.
		toleratedLoss = 10
	)
	var list []labCheck
	for _, family := range families() {
		list = append(list,
			labCheck{"TCP session over " + family + " outlives the move", func(ctx context.Context) (bool, string) {
				alive, note := true, "still open"
				report := r.sessions[family].Report()
				if family == "IPv6" {
					// The server may have given its old address up since.
					report, note = r.retired, "open until confirm"
					alive = report.Alive
				} else if err := r.sessions[family].WaitEcho(ctx); err != nil {
					alive, note = false, "dead: "+err.Error()
				}
				if !alive && report.Error != "" {
					note = "dead: " + report.Error
				}
				move, control := report.Window(windowMove).Stall, report.Window(windowControl).Stall
				return alive && move <= control+toleratedStall,
					fmt.Sprintf("%s; longest stall %.1f ms, without a move %.1f ms", note, ms(move), ms(control))
			}},
			labCheck{"pings at 1 kHz over " + family + " during the move", func(context.Context) (bool, string) {
				report := r.pings[family].Report()
				move, control := report.Window(windowMove), report.Window(windowControl)
				return move.Sent > 0 && move.Lost <= control.Lost+toleratedLoss,
					fmt.Sprintf("%d of %d lost, without a move %d of %d", move.Lost, move.Sent, control.Lost, control.Sent)
			}})
	}
	return list
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// portChecks are the judge's counters over the whole run.
func (r *labRun) portChecks() []labCheck {
	report := r.lab.Judge().Report()
	watched := r.lab.Watched()
	names := map[wire.Kind]string{
		wire.ForeignSource:       "frames with a foreign source MAC",
		wire.ForeignInside:       "foreign MACs inside payloads",
		wire.ForeignDestination:  "frames to a foreign MAC",
		wire.RouterAdvertisement: "router advertisements",
		wire.Redirect:            "redirects",
		wire.GuestMulticast:      "guests' multicast",
		wire.GuestUnicast:        "guests' bridged unicast",
		wire.GuestSolicited:      "solicitations that name guests",
		wire.GuestAdvertised:     "advertisements that name guests",
		wire.Opaque:              "frames the judge can't look into",
	}
	list := []labCheck{{"provider's port: all frames seen", func(context.Context) (bool, string) {
		return watched.Lost == 0 && watched.Frames > 0, watched.String()
	}}}
	for _, kind := range wire.Kinds() {
		list = append(list, labCheck{"provider's port: " + names[kind], func(context.Context) (bool, string) {
			n := report.Counts[kind]
			measured := fmt.Sprintf("%d of %d frames", n, report.Frames)
			if i := slices.IndexFunc(report.Findings, func(f wire.Finding) bool { return f.Kind == kind }); i >= 0 {
				measured += "; first: " + report.Findings[i].Text
			}
			return n == 0, measured
		}})
	}
	return append(list, labCheck{"provider's port security", func(context.Context) (bool, string) {
		n, err := r.lab.Dropped()
		if err != nil {
			return false, err.Error()
		}
		return n == 0, fmt.Sprintf("%d frames dropped", n)
	}})
}

// tally counts what held for each guest and keeps the first that did not.
type tally struct {
	mu      sync.Mutex
	ok, all int
	first   string
}

func (t *tally) note(who string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all++
	if err == nil {
		t.ok++
	} else if t.first == "" {
		t.first = who + ": " + err.Error()
	}
}

func (t *tally) result(what string) (bool, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := fmt.Sprintf("%d of %d %s", t.ok, t.all, what)
	if t.first != "" {
		s += "; " + t.first
	}
	return t.all > 0 && t.ok == t.all, strings.TrimSpace(s)
}

// forGuests runs fn for guests side by side and counts.
func (r *labRun) forGuests(guests []*lab.Guest, what string, fn func(*lab.Guest) error) (bool, string) {
	var (
		t  tally
		wg sync.WaitGroup
	)
	for _, g := range guests {
		wg.Go(func() { t.note(g.Name(), fn(g)) })
	}
	wg.Wait()
	return t.result(what)
}

// some returns all guests, or where there are many a few spread over them:
// traffic checks measure the way, not the number.
func (r *labRun) some() []*lab.Guest {
	const few = 8
	all := r.lab.Guests()
	if len(all) <= few {
		return all
	}
	var picked []*lab.Guest
	for i := range few {
		picked = append(picked, all[i*(len(all)-1)/(few-1)])
	}
	return picked
}
