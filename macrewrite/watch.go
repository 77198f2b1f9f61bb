package macrewrite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/plan"
)

// WatchConfig says what a Watcher compares the table with.
type WatchConfig struct {
	// Wanted is the state to be kept, as Config.State gives it. Required; see
	// [Watcher.Want].
	Wanted State
	// Handle is told of every difference, that of a new wish too. Required. Run
	// calls it from one goroutine, in the network namespace that NewWatcher was
	// called in, so that it may run the drift's step. It must heed ctx.
	//
	// While the difference stays the same and nobody touches the table, it is not
	// called again, unless the time that it returned is over: a handler that runs
	// the step returns how soon it wants to hear whether that helped, one that only
	// reports returns 0. When
	// the table is as wanted again it is told so by an empty Drift. An error ends
	// Run.
	Handle func(ctx context.Context, d Drift) (again time.Duration, err error)
}

// Drift is the difference between the wanted table and the one that is there.
// Without Steps and Err, all is as wanted again.
type Drift struct {
	// Steps put the wanted table in place: one, or none.
	Steps []plan.Step
	// Gone is set if there is no table at all.
	Gone bool
	// Wish is set if the table is as it was wanted before, so that nobody but the
	// one who called [Watcher.Want] is the reason.
	Wish bool
	// Since is when the first event of it came.
	Since time.Time
	// Err is why the table can't be read. Then there are no Steps.
	Err error
}

func (d Drift) signature() string {
	var s string
	for _, st := range d.Steps {
		s += st.Text + "\n"
	}
	if d.Err != nil {
		s += d.Err.Error()
	}
	return s
}

// Watcher reports when the edge's table leaves the wanted state, or the wanted
// state changes. It learns of it from nftables' events and never polls.
type Watcher struct {
	cfg    WatchConfig
	home   *netns.Home
	events *nft.Events
	wake   chan struct{}

	mu sync.Mutex
	// wishes are those that may be in place: from the one that was found in place
	// last to the one that is wanted.
	wishes []State
}

// wishesKept is how many wishes are remembered that were not seen in place.
const wishesKept = 16

const (
	// A burst of events is over when this long none has come, or after longest:
	// whoever loads a table does it in one transaction.
	quiet   = 2 * time.Millisecond
	longest = 20 * time.Millisecond
)

// Watch reports until ctx ends, or with the handler's error. It is NewWatcher and
// Run in one.
func Watch(ctx context.Context, cfg WatchConfig) error {
	w, err := NewWatcher(cfg)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// NewWatcher subscribes to nftables' events in the calling goroutine's network
// namespace. It needs CAP_NET_ADMIN. Whoever does not call Run closes it.
func NewWatcher(cfg WatchConfig) (*Watcher, error) {
	if cfg.Handle == nil {
		return nil, errors.New("watch the edge: no handler")
	}
	home, err := netns.NewHome()
	if err != nil {
		return nil, fmt.Errorf("watch the edge: %w", err)
	}
	w := &Watcher{cfg: cfg, home: home, wishes: []State{cfg.Wanted}, wake: make(chan struct{}, 1)}
	if err := home.Do(func() (err error) { w.events, err = nft.NewEvents(nft.Bridge, TableName); return err }); err != nil {
		return nil, errors.Join(fmt.Errorf("watch the edge: %w", err), home.Close())
	}
	return w, nil
}

// Close lets go of everything. After Run there is nothing left to close.
func (w *Watcher) Close() error { return errors.Join(w.events.Close(), w.home.Close()) }

// Want changes the state to be kept, as when a guest comes or goes. The handler
// hears of the difference.
func (w *Watcher) Want(s State) {
	w.mu.Lock()
	w.wishes = append(w.wishes, s)
	w.wishes = w.wishes[max(0, len(w.wishes)-wishesKept):]
	w.mu.Unlock()
	w.poke()
}

func (w *Watcher) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run reports until ctx ends, and returns nil then, or the handler's error. The
// first report is of a difference that is there already.
func (w *Watcher) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() {
		for {
			if err := w.events.Next(); err != nil {
				ended <- err
				return
			}
			w.poke()
		}
	}()
	stopped := false
	defer func() {
		w.events.Stop()
		if !stopped {
			<-ended
		}
		w.Close()
	}()
	var (
		last  string    // signature of what was reported last
		again time.Time // when it is to be reported again
		since time.Time // first event that was not looked at yet
		due   = time.Now()
	)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if next := sooner(due, again); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			stopped = true
			return fmt.Errorf("watch the edge: %w", err)
		case <-w.wake:
			now := time.Now()
			if since.IsZero() {
				since = now
			}
			due = sooner(now.Add(quiet), since.Add(longest))
			continue
		case <-timer.C:
		}
		begun := sooner(since, time.Now())
		forced := !again.IsZero() && !time.Now().Before(again)
		if forced {
			again = time.Time{}
		}
		// What looks the same as before may have been repaired and done again.
		touched := !since.IsZero()
		due, since = time.Time{}, time.Time{}
		d := w.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		signature := d.signature()
		if signature == last && !forced && (!touched || signature == "") {
			continue
		}
		d.Since = begun
		var wait time.Duration
		err := w.home.Do(func() (err error) {
			wait, err = w.cfg.Handle(ctx, d)
			return err
		})
		if err != nil {
			return err
		}
		last, again = signature, time.Time{}
		if wait > 0 {
			again = time.Now().Add(wait)
		}
	}
}

func (w *Watcher) look(ctx context.Context) (d Drift) {
	d.Err = w.home.Do(func() error {
		there, err := Capture(ctx)
		if err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		latest := len(w.wishes) - 1
		p, err := Plan(there, w.wishes[latest])
		if err != nil {
			return err
		}
		d.Steps, d.Gone = p.Steps, there.Table == nil && w.wishes[latest].Table != nil
		for i := latest; i >= 0; i-- {
			if way, err := Plan(there, w.wishes[i]); err == nil && way.Empty() {
				d.Wish = i < latest
				w.wishes = slices.Clone(w.wishes[i:])
				break
			}
		}
		return nil
	})
	return d
}

// sooner returns the earlier of two times; the zero time is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
