package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// TestTroubleIsToldOnce: an error is logged when it comes, not again and again,
// whatever else goes wrong meanwhile, and again when it comes back.
func TestTroubleIsToldOnce(t *testing.T) {
	var said bytes.Buffer
	k := &keeper{log: slog.New(slog.NewTextHandler(&said, nil))}
	told := func(what string, err error) int {
		before := strings.Count(said.String(), "\n")
		k.trouble(what, err)
		return strings.Count(said.String(), "\n") - before
	}
	gone, busy := errors.New("no such device"), errors.New("device or resource busy")
	for i, step := range []struct {
		what string
		err  error
		want int
	}{
		{noWayBack, gone, 1}, {noWayBack, gone, 0},
		{halfWayBack, busy, 1}, {noWayBack, gone, 0}, {halfWayBack, busy, 0},
		{noWayBack, busy, 1}, {noWayBack, nil, 0}, {halfWayBack, busy, 0},
		{noWayBack, busy, 1},
	} {
		if n := told(step.what, step.err); n != step.want {
			t.Errorf("%d: %s, %v is told %d times, want %d", i, step.what, step.err, n, step.want)
		}
	}
}

// TestTroubleFromTwoSides: the edge's keeper tells of trouble from the goroutine that
// looks at ports and from the one that looks at rules.
func TestTroubleFromTwoSides(t *testing.T) {
	k := &keeper{log: slog.New(slog.DiscardHandler)}
	var wg sync.WaitGroup
	for _, what := range []string{"ports", "rules"} {
		wg.Go(func() {
			for i := range 100000 {
				var err error
				if i%2 == 0 {
					err = errors.New(what)
				}
				k.trouble(what, err)
			}
		})
	}
	wg.Wait()
}
