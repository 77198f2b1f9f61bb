package rollback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sixhost/sixhost/plan"
)

var (
	// ErrNoMain means that the program didn't call Main, so that it can't be its
	// own watchdog.
	ErrNoMain = errors.New("the program's main does not begin with rollback.Main")
	// ErrNoChange means that no change is open in this network namespace.
	ErrNoChange = errors.New("no change is open in this network namespace")
	// ErrNotApplied means that a change can't be confirmed yet, as its steps
	// still run.
	ErrNotApplied = errors.New("the change is not applied yet")
	// ErrRestoring means that it is too late: the change is being taken back.
	ErrRestoring = errors.New("the change is being taken back")
	// ErrUnfinished means that an earlier change was neither confirmed nor taken
	// back, and its watchdog is gone. Guard.Recover takes it back.
	ErrUnfinished = errors.New("an earlier change was neither confirmed nor taken back, and its watchdog is gone")
	// ErrRestoreFailed means that taking back failed, also in the last attempt.
	// The capture is kept for Guard.Recover.
	ErrRestoreFailed = errors.New("taking the change back failed")
	// ErrWatchdogLost means that the watchdog ended without an outcome: somebody
	// killed it. Guard.Recover takes the change back.
	ErrWatchdogLost = errors.New("the watchdog is gone")
)

// BusyError means that another change is open in this network namespace.
type BusyError struct {
	// PID is the process that began the change. It may have ended since.
	PID int
	// Watchdog is the process that guards it, 0 if that isn't known.
	Watchdog int
}

// Error names both processes.
func (e *BusyError) Error() string {
	return fmt.Sprintf("another change is open in this network namespace: begun by process %d, guarded by process %d", e.PID, e.Watchdog)
}

// Phase says how far a change is.
type Phase string

const (
	// Preparing: the watchdog is being started, nothing has changed yet.
	Preparing Phase = "preparing"
	// Applying: the steps run.
	Applying Phase = "applying"
	// Waiting: the steps are done, the countdown to undo runs.
	Waiting Phase = "waiting for confirm"
	// Restoring: the change is being taken back.
	Restoring Phase = "restoring"
	// Failed: taking back failed, also in the last attempt.
	Failed Phase = "failed"
)

// Outcome says how a change ended. Its text completes "the change ...".
type Outcome string

const (
	// Confirmed: the change stays.
	Confirmed Outcome = "was confirmed"
	// Undone: it was taken back because somebody asked for that.
	Undone Outcome = "was taken back on request"
	// TimedOut: it was taken back because nobody confirmed in time.
	TimedOut Outcome = "was taken back, as nobody confirmed it in time"
	// ApplyTimedOut: it was taken back because its steps took too long.
	ApplyTimedOut Outcome = "was taken back, as applying it took too long"
	// Abandoned: it was taken back because the process that began it ended
	// before the steps were done.
	Abandoned Outcome = "was taken back, as the applying process ended early"
	// Terminated: it was taken back because the watchdog got SIGTERM.
	Terminated Outcome = "was taken back, as the watchdog was terminated"
)

// Restored reports whether the host is as it was before the change.
func (o Outcome) Restored() bool { return o != "" && o != Confirmed }

// Options say where a change keeps its state and how long it may take. The
// zero value works.
type Options struct {
	// StateDir holds a folder for every network namespace. Default: /run/sixhost.
	// On a file system that survives a reboot it works as well: a capture of an
	// earlier boot is dropped, as the reboot has taken the change back.
	StateDir string
	// Timeout is the time from Applied to the undo. Default: 120 s.
	Timeout time.Duration
	// ApplyTimeout is the time from Begin to Applied that is allowed before the
	// apply phase counts as hanging. Default: 5 min.
	ApplyTimeout time.Duration
	// Attempts is how often restoring is tried. Default: 5.
	Attempts int
	// Pause is the time between two attempts. Default: 1 s.
	Pause time.Duration
	// Logger tells what Begin and Recover do. The watchdog has a log file of its
	// own. Default: discard.
	Logger *slog.Logger
}

// DefaultStateDir is where changes keep their state unless told otherwise.
const DefaultStateDir = "/run/sixhost"

func (o Options) withDefaults() Options {
	if o.StateDir == "" {
		o.StateDir = DefaultStateDir
	}
	if o.Timeout <= 0 {
		o.Timeout = 120 * time.Second
	}
	if o.ApplyTimeout <= 0 {
		o.ApplyTimeout = 5 * time.Minute
	}
	if o.Attempts <= 0 {
		o.Attempts = 5
	}
	if o.Pause <= 0 {
		o.Pause = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// ChangeStatus describes the change that is open in a network namespace.
type ChangeStatus struct {
	// Phase of the change.
	Phase Phase `json:"phase"`
	// PID is the process that began the change, Attached whether it lives and
	// still holds on to it.
	PID      int  `json:"pid"`
	Attached bool `json:"attached"`
	// Watchdog is the process that guards the change, Live whether it answers. A
	// change without a live watchdog waits for Guard.Recover.
	Watchdog int  `json:"watchdog"`
	Live     bool `json:"live"`
	// Remaining is the time until the change is taken back by itself: of the
	// countdown when Waiting, of the apply phase when Applying, else 0.
	Remaining time.Duration `json:"remaining"`
	// Deadline is now and Remaining, zero if there is none. The watchdog counts on a
	// monotonic clock, so setting the time moves it.
	Deadline time.Time `json:"deadline,omitzero"`
	// Cgroup says where the watchdog runs, or why it stayed in its starter's.
	Cgroup string `json:"cgroup,omitempty"`
	// Outcome is why it is being taken back, when Restoring or Failed.
	Outcome Outcome `json:"outcome,omitempty"`
	// Err is the error of the last attempt to restore, if one failed.
	Err string `json:"error,omitempty"`
	// Log is the path of the watchdog's log.
	Log string `json:"log"`
}

// Guard holds a program's restorers. [Main] makes it.
type Guard struct {
	main      bool
	restorers []plan.Restorer
}

// Main belongs on the first line of main, before flags are parsed or anything
// is opened. In a process that Begin started as a watchdog it serves and never
// returns; in all others it returns at once. The restorers are those for every
// part that Begin will be given.
func Main(restorers ...plan.Restorer) *Guard {
	serveIfWatchdog(restorers)
	return &Guard{main: true, restorers: slices.Clone(restorers)}
}

// Begin opens a change: it stores the captured states, starts the watchdog and
// returns when that guards the host. From here on the end of this process takes
// the change back, until [Change.Applied].
//
// Nothing has changed when it returns an error. The error matches [ErrNoMain],
// [*BusyError], [ErrUnfinished], plan.ErrUnknownPart where no restorer was handed to
// Main for a captured part, or what the file system said about the state directory.
func (g *Guard) Begin(ctx context.Context, o Options, captured []plan.Captured) (*Change, error) {
	if g == nil || !g.main {
		return nil, fmt.Errorf("begin a change: %w", ErrNoMain)
	}
	for _, c := range captured {
		if !hasRestorer(g.restorers, c.Part) {
			return nil, fmt.Errorf("begin a change of %s: %w", c.Part, plan.ErrUnknownPart)
		}
	}
	c, err := begin(ctx, g, o.withDefaults(), captured)
	if err != nil {
		return nil, fmt.Errorf("begin a change: %w", err)
	}
	return c, nil
}

// Recover takes back a change whose watchdog is gone, and reports whether there
// was one. A change with a live watchdog is none of its business, and one of an
// earlier boot is only forgotten. Programs call it when they start; it
// works in this process. An attempt that has begun is not cut short when ctx
// ends, but no further one follows.
//
// The error matches [ErrNoMain] or [ErrRestoreFailed].
func (g *Guard) Recover(ctx context.Context, stateDir string) (restored bool, err error) {
	if g == nil || !g.main {
		return false, fmt.Errorf("recover: %w", ErrNoMain)
	}
	restored, err = recoverChange(ctx, g, stateDirOr(stateDir))
	if err != nil {
		return restored, fmt.Errorf("recover: %w", err)
	}
	return restored, nil
}

// Confirm keeps the change that is open in the calling thread's network
// namespace, whichever process began it. If the watchdog is gone, a change
// that was Waiting is kept all the same, and one that Failed to be taken back is
// left as it is and forgotten.
//
// An empty stateDir means [DefaultStateDir]. The error matches [ErrNoChange],
// [ErrNotApplied], [ErrRestoring] or [ErrUnfinished].
func Confirm(ctx context.Context, stateDir string) error {
	if err := confirm(ctx, stateDirOr(stateDir)); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	return nil
}

// Undo takes back the change that is open in the calling thread's network
// namespace, and returns when that is done.
//
// An empty stateDir means [DefaultStateDir]. The error matches [ErrNoChange],
// [ErrRestoreFailed], or [ErrUnfinished] where the watchdog is gone: only
// Guard.Recover has the restorers then.
func Undo(ctx context.Context, stateDir string) error {
	if err := undo(ctx, stateDirOr(stateDir)); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return nil
}

// Status describes the change that is open in the calling thread's network
// namespace. An empty stateDir means [DefaultStateDir]. The error matches
// [ErrNoChange] if there is none.
func Status(stateDir string) (ChangeStatus, error) {
	s, err := status(stateDirOr(stateDir))
	if err != nil {
		return ChangeStatus{}, fmt.Errorf("status of the change: %w", err)
	}
	return s, nil
}

func stateDirOr(dir string) string { return Options{StateDir: dir}.withDefaults().StateDir }

func hasRestorer(rs []plan.Restorer, part string) bool {
	return slices.ContainsFunc(rs, func(r plan.Restorer) bool { return r.Part == part })
}

// restoreOnce is one attempt at the way back. A restorer that panics must not
// end the process that is the host's last hope.
func restoreOnce(ctx context.Context, captured []plan.Captured, restorers []plan.Restorer) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a restorer panicked: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	return plan.Restore(ctx, captured, restorers)
}

// restoreTimeout is when an attempt's context ends. Steps that heed it can't
// hang the watchdog.
const restoreTimeout = time.Minute
