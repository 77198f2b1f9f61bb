package main

import (
	"context"
	"fmt"
	"time"
)

// applyWindow is how long probes are counted around fullhost apply, which is
// longer than it and what stall it might cause.
const applyWindow = 1500 * time.Millisecond

// apply measures fullhost apply with each number of guests in the file.
func (b *bench) apply(ctx context.Context) error {
	var first *peer
	for _, n := range b.sizes {
		var took, confirmed []float64
		hs := newHarms()
		if err := b.times(ctx, "apply, "+guestsText(n), time.Minute, func(ctx context.Context) error {
			return b.inSite(ctx, n, func(s *site) error {
				var a applying
				if err := hs.during(ctx, s, applyWindow, func(ctx context.Context) (err error) {
					a, err = s.apply(ctx)
					return err
				}); err != nil {
					return err
				}
				o, err := s.confirm(ctx, a)
				if err != nil {
					return err
				}
				took, confirmed = append(took, millis(a.took)), append(confirmed, millis(o.wall))
				return nil
			})
		}); err != nil {
			return err
		}
		what := "fullhost apply, " + guestsText(n)
		rows := []row{
			{Group: benchApply, What: what + ": start to applied", Unit: unitMillis, Samples: took, Beside: first},
			{Group: benchApply, What: what + ": fullhost confirm", Unit: unitMillis, Samples: confirmed},
		}
		if first == nil {
			first = &peer{guestsText(n), took}
		}
		for _, f := range families() {
			rows = append(rows, hs[f].rows(benchApply, what, f)...)
		}
		if err := b.emit(rows...); err != nil {
			return err
		}
		if err := b.noteDead(what, hs); err != nil {
			return err
		}
	}
	return nil
}

// noteDead tells of sessions that did not survive.
func (b *bench) noteDead(what string, hs harms) error {
	for _, f := range families() {
		if hs[f].died == 0 {
			continue
		}
		if err := b.note("%s: %d of %d TCP sessions over %s were dead at the end of the window", what, hs[f].died, len(hs[f].stall), f); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
