package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Phase says when a step runs.
type Phase uint8

const (
	// Apply steps bring the host into service and can be taken back.
	Apply Phase = iota
	// Confirm steps run only once somebody has confirmed that the host is
	// still reachable.
	Confirm
)

// String returns "apply" or "confirm".
func (p Phase) String() string {
	switch p {
	case Apply:
		return "apply"
	case Confirm:
		return "confirm"
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// MarshalText implements encoding.TextMarshaler with the words of String.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Step is one change to the host: a sentence and a function.
type Step struct {
	// Phase says when the step runs.
	Phase Phase
	// Part names the package that planned the step, "bridge" for example.
	Part string
	// Text is the step as an imperative sentence without a full stop:
	// "put 203.0.113.10/32 on br0".
	Text string
	// Do makes the change. It names links and resolves indexes when it runs,
	// because an earlier step may have created them, and works in the calling
	// thread's network namespace.
	Do func(ctx context.Context) error
}

// Plan is an ordered list of steps from one state to another. The zero value
// is the empty plan: the host is as wanted.
type Plan struct {
	// Steps in the order they run, those of the Apply phase and those of the
	// Confirm phase each among themselves.
	Steps []Step
	// Notes are sentences the operator should read before running the plan.
	Notes []string
}

// Join concatenates plans, first to last.
func Join(plans ...Plan) Plan {
	var all Plan
	for _, p := range plans {
		all.Steps = append(all.Steps, p.Steps...)
		all.Notes = append(all.Notes, p.Notes...)
	}
	return all
}

// Phase returns the steps of one phase, with the notes.
func (p Plan) Phase(ph Phase) Plan {
	steps := slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Phase != ph })
	return Plan{Steps: steps, Notes: p.Notes}
}

// Empty reports whether the plan has no steps. Notes don't count.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Run runs the steps of one phase in order and stops at the first that fails,
// with a [*StepError]. It looks at ctx before each step. before, if not nil,
// is called ahead of every step with its number (from 1) and how many there
// are.
//
// Run doesn't take anything back: that is a plan to the captured state, which
// plan/rollback sees to.
func (p Plan) Run(ctx context.Context, ph Phase, before func(number, of int, s Step)) error {
	steps := p.Phase(ph).Steps
	for i, s := range steps {
		if err := ctx.Err(); err != nil {
			return &StepError{Number: i + 1, Of: len(steps), Step: s, Err: err}
		}
		if before != nil {
			before(i+1, len(steps), s)
		}
		if err := s.Do(ctx); err != nil {
			return &StepError{Number: i + 1, Of: len(steps), Step: s, Err: err}
		}
	}
	return nil
}

// WriteText prints the plan for a reader: the steps of each phase, numbered,
// then the notes. An empty plan prints one sentence.
func (p Plan) WriteText(w io.Writer) error {
	if p.Empty() {
		if _, err := fmt.Fprintln(w, "Nothing to do: the host is as wanted."); err != nil {
			return err
		}
	}
	for _, ph := range []Phase{Apply, Confirm} {
		steps := p.Phase(ph).Steps
		if len(steps) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s:\n", ph); err != nil {
			return err
		}
		for i, s := range steps {
			if _, err := fmt.Fprintf(w, "%4d. %-11s %s\n", i+1, s.Part, s.Text); err != nil {
				return err
			}
		}
	}
	for _, n := range p.Notes {
		if _, err := fmt.Fprintf(w, "note: %s\n", n); err != nil {
			return err
		}
	}
	return nil
}

// StepError is the failure of one step while a plan ran.
type StepError struct {
	// Number of the step in its phase, from 1, and how many the phase has.
	Number, Of int
	// Step that failed.
	Step Step
	// Err is what its function returned, or the context's error.
	Err error
}

// Error names the step by number, part and sentence.
func (e *StepError) Error() string {
	return fmt.Sprintf("step %d of %d (%s: %s): %v", e.Number, e.Of, e.Step.Part, e.Step.Text, e.Err)
}

// Unwrap returns what the step's function returned.
func (e *StepError) Unwrap() error { return e.Err }

// Refusal says that a wish can't be served as it stands, found out before
// anything was changed. Programs print it and exit with status 2. Match it
// with errors.As, and the reason behind it with errors.Is.
type Refusal struct {
	// Subject is the field or interface the sentence is about: "uplink wlp3s0",
	// "prefix".
	Subject string
	// Reason completes the sentence "Subject: Reason", and says what to do
	// instead where that is known.
	Reason string
	// Err is an optional sentinel to match with errors.Is; it is not printed.
	Err error
}

// Error returns "Subject: Reason".
func (r *Refusal) Error() string {
	if r.Subject == "" {
		return r.Reason
	}
	return r.Subject + ": " + r.Reason
}

// Unwrap returns the sentinel, if any.
func (r *Refusal) Unwrap() error { return r.Err }

// Captured is one part's state as it was before a change, ready for a file.
type Captured struct {
	// Part names the package, as in [Step].
	Part string `json:"part"`
	// State is the part's state value as JSON.
	State json.RawMessage `json:"state"`
}

// Capture marshals a state.
func Capture(part string, state any) (Captured, error) {
	raw, err := json.Marshal(state)
	if err != nil {
		return Captured{}, fmt.Errorf("marshal captured state of %s: %w", part, err)
	}
	return Captured{Part: part, State: raw}, nil
}

// ErrUnknownPart means that no restorer was handed in for a captured part.
var ErrUnknownPart = errors.New("no restorer for this part")

// Restorer plans the way back to a captured state of one part.
type Restorer struct {
	// Part names the package, as in [Step].
	Part string
	// Plan captures what is there now and plans from it to the captured state.
	Plan func(ctx context.Context, captured json.RawMessage) (Plan, error)
}

// RestorerOf builds a [Restorer] from a package's own verbs. recapture reads
// the state that is there now, in the scope of an earlier one.
func RestorerOf[S any](part string, recapture func(ctx context.Context, like S) (S, error), planTo func(from, to S) (Plan, error)) Restorer {
	return Restorer{Part: part, Plan: func(ctx context.Context, captured json.RawMessage) (Plan, error) {
		var to S
		if err := json.Unmarshal(captured, &to); err != nil {
			return Plan{}, fmt.Errorf("unmarshal captured state of %s: %w", part, err)
		}
		from, err := recapture(ctx, to)
		if err != nil {
			return Plan{}, fmt.Errorf("capture present state of %s: %w", part, err)
		}
		p, err := planTo(from, to)
		if err != nil {
			return Plan{}, fmt.Errorf("plan the way back of %s: %w", part, err)
		}
		return p, nil
	}}
}

// Restore plans and runs the way back for every captured part, last captured
// first, and goes on where one fails: half a way back beats none. The errors
// are joined. All phases of a way back run at once.
func Restore(ctx context.Context, captured []Captured, restorers []Restorer) error {
	var errs []error
	for _, c := range slices.Backward(captured) {
		i := slices.IndexFunc(restorers, func(r Restorer) bool { return r.Part == c.Part })
		if i < 0 {
			errs = append(errs, fmt.Errorf("restore %s: %w", c.Part, ErrUnknownPart))
			continue
		}
		p, err := restorers[i].Plan(ctx, c.State)
		if err != nil {
			errs = append(errs, fmt.Errorf("restore %s: %w", c.Part, err))
			continue
		}
		for _, ph := range []Phase{Apply, Confirm} {
			for n, s := range p.Phase(ph).Steps {
				if err := s.Do(ctx); err != nil {
					errs = append(errs, fmt.Errorf("restore %s: %w", c.Part, &StepError{Number: n + 1, Of: len(p.Phase(ph).Steps), Step: s, Err: err}))
				}
			}
		}
	}
	return errors.Join(errs...)
}
