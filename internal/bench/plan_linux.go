package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// plan measures fullhost plan on an untouched server and on a finished host.
func (b *bench) plan(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(b.runs*len(b.sizes))*5*time.Second)
	defer cancel()
	return b.inSite(ctx, b.sizes[0], func(s *site) error {
		// What any program made of the same parts takes to start and say something;
		// the very first start reads it from disk and does not count.
		var floor []float64
		for i := range b.runs + 1 {
			o, err := s.run(ctx, "-h")
			if err != nil {
				return err
			}
			if i > 0 {
				floor = append(floor, millis(o.wall))
			}
		}
		if err := b.planStates(ctx, s, "untouched server", floor); err != nil {
			return err
		}
		if err := s.write(b.sizes[0]); err != nil {
			return err
		}
		if err := s.finish(ctx); err != nil {
			return err
		}
		return b.planStates(ctx, s, "finished host", floor)
	})
}

// planStates measures with each number of guests in the file.
func (b *bench) planStates(ctx context.Context, s *site, state string, floor []float64) error {
	for _, n := range b.sizes {
		if err := s.write(n); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "plan: %s, %s\n", state, guestsText(n))
		var wall, cpu []float64
		for range b.runs {
			o, err := s.run(ctx, "plan", "-f", s.config)
			if err != nil {
				return err
			}
			if nothing := strings.Contains(o.said, "Nothing to do"); nothing != (state == "finished host") {
				return fmt.Errorf("fullhost plan on the %s says:\n%s", state, o.said)
			}
			wall = append(wall, millis(o.wall))
			cpu = append(cpu, millis(o.cpu))
		}
		what := fmt.Sprintf("fullhost plan, %s, %s", state, guestsText(n))
		if err := b.emit(
			row{Group: benchPlan, What: what, Unit: unitMillis, Samples: wall, Under: 100, Beside: &peer{"fullhost -h", floor}},
			row{Group: benchPlan, What: what + ": CPU time", Unit: unitMillis, Samples: cpu},
		); err != nil {
			return err
		}
	}
	return nil
}
