package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
)

// bench is the inner half: it measures inside the lab's namespaces and sends
// rows to the outer half.
type bench struct {
	options
	out *json.Encoder
}

// inner is the half that Enter started.
func inner() int {
	in, ctx, err := lab.Init(context.Background())
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		return 2
	}
	defer in.Close()
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		return 2
	}
	b := &bench{options: o, out: json.NewEncoder(os.Stdout)}
	status := 0
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{benchLab, b.labGuests},
		{benchPlan, b.plan},
		{benchApply, b.apply},
		{benchMemory, b.memory},
		{benchGuests, b.guests},
		{benchMove, b.move},
		{benchRA, b.ra},
		{benchRAPorts, b.raAllPorts},
		{benchEdge, b.edge},
		{benchAttack, b.attack},
	} {
		if !o.wants(part.name) || ctx.Err() != nil {
			continue
		}
		if err := part.run(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", part.name, err)
			status = 1
		}
	}
	return status
}

// emit sends rows; those that nothing was measured for are left out.
func (b *bench) emit(rows ...row) error {
	for _, f := range rows {
		if len(f.Samples) == 0 {
			continue
		}
		if err := b.out.Encode(message{Row: &f}); err != nil {
			return fmt.Errorf("send a figure: %w", err)
		}
	}
	return nil
}

func (b *bench) note(format string, args ...any) error {
	if err := b.out.Encode(message{Note: fmt.Sprintf(format, args...)}); err != nil {
		return fmt.Errorf("send a note: %w", err)
	}
	return nil
}

// times runs something as often as the options say, each time with a bound.
func (b *bench) times(ctx context.Context, what string, bound time.Duration, run func(context.Context) error) error {
	for i := range b.runs {
		fmt.Fprintf(os.Stderr, "%s: run %d of %d\n", what, i+1, b.runs)
		if err := func() error {
			ctx, cancel := context.WithTimeout(ctx, bound)
			defer cancel()
			return run(ctx)
		}(); err != nil {
			return fmt.Errorf("%s, run %d: %w", what, i+1, err)
		}
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
