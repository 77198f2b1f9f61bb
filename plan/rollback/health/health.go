package health

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Check is one thing that must hold.
type Check struct {
	// Name completes the sentence "... holds": "gateway fe80::1 answers".
	Name string
	// Run returns nil if it holds. It ends with ctx, and works in the calling
	// thread's network namespace.
	Run func(ctx context.Context) error
}

// Result is what came of a check: Err is nil if it held.
type Result struct {
	Name string
	Err  error
}

// Report has a result for every check, in their order.
type Report []Result

// attempt is how long one run of a check may take. A neighbour answers within
// milliseconds and a resolver that has to ask others within a second.
const attempt = time.Second

// pause is kept between two runs of the checks that do not hold yet.
const pause = 100 * time.Millisecond

// Run runs the checks, one after the other in the calling goroutine, and those
// that do not hold again and again until they do or patience is over. When ctx
// ends, what does not hold by then has its error.
func Run(ctx context.Context, checks []Check, patience time.Duration) Report {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	report := make(Report, len(checks))
	left := make([]int, len(checks))
	for i, c := range checks {
		report[i].Name = c.Name
		left[i] = i
	}
	for {
		var still []int
		for _, i := range left {
			err := once(ctx, checks[i])
			if err == nil || report[i].Err == nil || ctx.Err() == nil {
				// What a run said that had its time is better than "deadline exceeded".
				report[i].Err = err
			}
			if err != nil {
				still = append(still, i)
			}
		}
		if left = still; len(left) == 0 {
			return report
		}
		select {
		case <-ctx.Done():
			return report
		case <-time.After(pause):
		}
	}
}

// once runs a check. One that panics must not end a program that is in the
// middle of a change.
func once(ctx context.Context, c Check) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the check panicked: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	return c.Run(ctx)
}

// Broken returns the results of after that say of a check that held before that
// it does no longer. Checks are told by name; one that is missing in after
// counts as broken.
func (r Report) Broken(after Report) Report {
	var broken Report
	for _, b := range r {
		if b.Err != nil {
			continue
		}
		now := Result{Name: b.Name, Err: errors.New("was not run again")}
		for _, a := range after {
			if a.Name == b.Name {
				now = a
			}
		}
		if now.Err != nil {
			broken = append(broken, now)
		}
	}
	return broken
}
