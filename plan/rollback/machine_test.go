package rollback

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMachine(t *testing.T) {
	type step struct {
		e    event
		want action
		err  error
	}
	for name, tc := range map[string]struct {
		steps   []step
		phase   Phase
		outcome Outcome
	}{
		"confirmed": {
			steps: []step{{evConfirm, doNothing, ErrNotApplied}, {evApplied, doCountdown, nil}, {evConfirm, doDisarm, nil}},
			phase: Waiting,
		},
		"countdown survives the applying process": {
			steps: []step{{evApplied, doCountdown, nil}, {evApplied, doNothing, nil}, {evGone, doNothing, nil}, {evTimer, doRestore, nil}, {evConfirm, doNothing, ErrRestoring}, {evRestored, doFinish, nil}},
			phase: Restoring, outcome: TimedOut,
		},
		"killed while applying": {
			steps: []step{{evGone, doRestore, nil}, {evRestored, doFinish, nil}},
			phase: Restoring, outcome: Abandoned,
		},
		"undone by the applying process": {
			steps: []step{{evStopped, doNothing, nil}, {evUndo, doRestore, nil}, {evGone, doNothing, nil}, {evRestored, doFinish, nil}},
			phase: Restoring, outcome: Undone,
		},
		"undone by another while applying, which stops": {
			steps: []step{{evUndo, doSettle, nil}, {evApplied, doRestore, ErrRestoring}, {evTimer, doNothing, nil}, {evRestored, doFinish, nil}},
			phase: Restoring, outcome: Undone,
		},
		"hanging step ends after restoring": {
			steps: []step{{evTimer, doSettle, nil}, {evTimer, doRestore, nil}, {evRestored, doNothing, nil}, {evUndo, doNothing, nil}, {evTimer, doNothing, nil}, {evStopped, doRestore, nil}, {evRestored, doFinish, nil}},
			phase: Restoring, outcome: ApplyTimedOut,
		},
		"hanging step ends while restoring": {
			steps: []step{{evTerminate, doSettle, nil}, {evTimer, doRestore, nil}, {evGone, doNothing, nil}, {evRestored, doRestore, nil}, {evRestored, doFinish, nil}},
			phase: Restoring, outcome: Terminated,
		},
		"second attempt": {
			steps: []step{{evApplied, doCountdown, nil}, {evUndo, doRestore, nil}, {evRestoreFailed, doPause, nil}, {evTerminate, doNothing, nil}, {evTimer, doRestore, nil}, {evRestored, doFinish, nil}},
			phase: Restoring, outcome: Undone,
		},
		"a stop during the pause does not hurry": {
			steps: []step{{evUndo, doSettle, nil}, {evTimer, doRestore, nil}, {evRestoreFailed, doPause, nil}, {evStopped, doNothing, nil}, {evTimer, doRestore, nil}, {evRestored, doFinish, nil}},
			phase: Restoring, outcome: Undone,
		},
		"all attempts fail": {
			steps: []step{{evGone, doRestore, nil}, {evRestoreFailed, doPause, nil}, {evTimer, doRestore, nil}, {evRestoreFailed, doPause, nil}, {evTimer, doRestore, nil}, {evRestoreFailed, doFail, nil}},
			phase: Failed, outcome: Abandoned,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(3)
			for i, s := range tc.steps {
				if got, err := m.on(s.e); got != s.want || !errors.Is(err, s.err) {
					t.Fatalf("step %d, event %d: action %d, %v; want %d, %v", i, s.e, got, err, s.want, s.err)
				}
			}
			if diff := cmp.Diff([]any{tc.phase, tc.outcome}, []any{m.phase, m.outcome}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever happens in whatever order: the change is confirmed only by a
// confirm while waiting, and taken back only after an attempt that succeeded
// with no step running beside or after it.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{byte(evApplied), byte(evConfirm)})
	f.Add([]byte{byte(evUndo), byte(evTimer), byte(evGone), byte(evRestored), byte(evRestored)})
	f.Add([]byte{byte(evTimer), byte(evTimer), byte(evRestored), byte(evApplied), byte(evRestored)})
	f.Fuzz(func(t *testing.T, events []byte) {
		m := newMachine(3)
		running, ended, clean := false, false, false
		for _, b := range events {
			e := event(b) % (evRestoreFailed + 1)
			if !running && (e == evRestored || e == evRestoreFailed) {
				continue
			}
			before := *m
			do, err := m.on(e)
			if ended = ended || e == evStopped || e == evGone || e == evApplied; err != nil && do == doDisarm {
				t.Fatalf("refused and disarmed: %v", err)
			}
			switch e {
			case evRestored, evRestoreFailed:
				running = false
			}
			switch do {
			case doDisarm:
				if e != evConfirm || before.phase != Waiting {
					t.Fatalf("disarmed by event %d in phase %s", e, before.phase)
				}
				return
			case doRestore:
				if running {
					t.Fatal("two attempts at once")
				}
				running, clean = true, ended
			case doFinish:
				if e != evRestored || !clean {
					t.Fatalf("finished after event %d, clean %t", e, clean)
				}
				return
			case doFail:
				return
			}
			if m.phase == Restoring && !running && !m.settling && !m.again && do != doPause && before.phase != Restoring {
				t.Fatalf("stuck after event %d: %+v", e, *m)
			}
		}
	})
}
