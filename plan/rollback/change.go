package rollback

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// Change is an open change. Its methods may be called from any goroutine.
type Change struct {
	conn     net.Conn
	ctx      context.Context
	cancel   context.CancelCauseFunc
	recover  func(context.Context) (bool, error) // where the watchdog is lost
	reap     func()                              // waits for the watchdog's end
	watchdog int

	mu      sync.Mutex
	last    int                // last request's ID
	pending map[int]chan reply // by ID

	done    chan struct{} // closed when the watchdog is gone; guards the two below
	outcome Outcome
	err     error
}

// newChange takes over the connection to a watchdog that is ready.
func newChange(ctx context.Context, conn net.Conn, in *bufio.Scanner, watchdog int, recover func(context.Context) (bool, error), reap func()) *Change {
	c := &Change{conn: conn, recover: recover, reap: reap, watchdog: watchdog, pending: map[int]chan reply{}, done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	go c.listen(in)
	return c
}

// listen runs until the watchdog hangs up, which it does at every end of the
// change.
func (c *Change) listen(in *bufio.Scanner) {
	c.err = ErrWatchdogLost
	for {
		var r reply
		if err := receive(in, &r); err != nil {
			break
		}
		switch {
		case r.ID != 0:
			c.mu.Lock()
			answer := c.pending[r.ID]
			delete(c.pending, r.ID)
			c.mu.Unlock()
			if answer != nil {
				answer <- r // has room for one
			}
		case r.News == newsRestoring:
			c.cancel(ErrRestoring)
		case r.News == newsEnd:
			c.outcome, c.err = r.Outcome, r.err()
		}
	}
	switch {
	case c.err != nil:
		c.cancel(c.err)
	case c.outcome.Restored():
		c.cancel(ErrRestoring)
	}
	c.conn.Close()
	c.reap()
	close(c.done)
}

// Context returns a context that ends with the one given to Begin, when
// restoring begins (its cause is then [ErrRestoring]) and when the watchdog is
// lost (the cause is [ErrWatchdogLost]). Run the steps with it.
func (c *Change) Context() context.Context { return c.ctx }

// Watchdog returns the pid of the watchdog.
func (c *Change) Watchdog() int { return c.watchdog }

// Applied says that the steps are done. From here on the end of this process no
// longer takes the change back, the countdown does.
//
// The error matches [ErrRestoring] or [ErrWatchdogLost].
func (c *Change) Applied(ctx context.Context) error {
	return c.call(ctx, opApplied, "end the apply phase")
}

// Confirm keeps the change, as [Confirm] does from another process.
//
// The error matches [ErrNotApplied], [ErrRestoring] or [ErrWatchdogLost], or
// [ErrNoChange] if the change has ended.
func (c *Change) Confirm(ctx context.Context) error { return c.call(ctx, opConfirm, "confirm") }

// Undo takes the change back now and returns when that is done. It is what to
// call when a step failed, and says that no step is running any more. When ctx
// ends it stops waiting; the change is taken back all the same. Where the
// watchdog is lost, it restores in this process, in the calling thread's
// network namespace.
//
// The error matches [ErrRestoreFailed], or [ErrNoChange] if the change was
// confirmed.
func (c *Change) Undo(ctx context.Context) error {
	c.tell(opStopped)
	c.tell(opUndo)
	outcome, err := c.Wait(ctx)
	switch {
	case errors.Is(err, ErrWatchdogLost):
		restored, err := c.recover(ctx)
		if err == nil && !restored {
			// Somebody was faster, with a confirm or with another recovery.
			err = ErrNoChange
		}
		if err != nil {
			return fmt.Errorf("undo: %w", err)
		}
	case err != nil:
		return fmt.Errorf("undo: %w", err)
	case !outcome.Restored():
		return fmt.Errorf("undo: %w", ErrNoChange)
	}
	return nil
}

// Wait returns when the change has ended, however and on whosever request.
//
// The error matches [ErrRestoreFailed] or [ErrWatchdogLost], or is the
// context's.
func (c *Change) Wait(ctx context.Context) (Outcome, error) {
	if errors.Is(context.Cause(c.ctx), ErrRestoring) {
		// The watchdog may be waiting to hear that no step runs any more.
		c.tell(opStopped)
	}
	select {
	case <-c.done:
	default:
		select {
		case <-c.done:
		case <-ctx.Done():
			return "", fmt.Errorf("wait for the end of the change: %w", ctx.Err())
		}
	}
	if c.err != nil {
		return "", fmt.Errorf("wait for the end of the change: %w", c.err)
	}
	return c.outcome, nil
}

// tell sends a request whose answer nobody waits for. If it can't be sent the
// watchdog is gone, and listen finds out.
func (c *Change) tell(o op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	_ = send(c.conn, request{ID: c.last, Op: o})
}

// call sends a request and waits for its answer.
func (c *Change) call(ctx context.Context, o op, what string) error {
	answer := make(chan reply, 1)
	c.mu.Lock()
	c.last++
	id := c.last
	c.pending[id] = answer
	_ = send(c.conn, request{ID: id, Op: o})
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
	}()

	var err error
	select {
	case r := <-answer:
		err = r.err()
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.done:
		select {
		case r := <-answer: // it came just before the end
			err = r.err()
		default:
			switch {
			case c.err != nil:
				err = c.err
			case c.outcome.Restored():
				err = ErrRestoring
			default:
				err = ErrNoChange
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
