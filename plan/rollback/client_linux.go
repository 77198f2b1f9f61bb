package rollback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// open opens this namespace's folder for a client. The error matches
// ErrNoChange if there is none.
func open(stateDir string) (*folder, hostID, error) {
	id, err := thisHost()
	if err != nil {
		return nil, id, err
	}
	d, err := openFolder(stateDir, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, id, ErrNoChange
	}
	return d, id, err
}

// errNotLive means that a change is open, as its record says, but that no
// watchdog answers.
var errNotLive = errors.New("no watchdog answers")

// askWatchdog asks the live watchdog. Otherwise the error matches ErrNoChange, or
// errNotLive and the record is returned.
func (d *folder) askWatchdog(ctx context.Context, id hostID, o op) (reply, *record, error) {
	for deadline := time.Now().Add(2 * time.Second); ; {
		c, err := d.dial(ctx)
		if err == nil {
			var r reply
			r, err = ask(ctx, c, o)
			c.Close()
			if err == nil {
				return r, nil, nil
			}
		}
		if ctx.Err() != nil {
			return reply{}, nil, ctx.Err()
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, io.EOF) {
			return reply{}, nil, fmt.Errorf("ask watchdog: %w", err)
		}
		rec, err := d.read()
		if err != nil {
			return reply{}, nil, err
		}
		if rec == nil || rec.Host != id {
			return reply{}, nil, ErrNoChange
		}
		// It may be starting, or have hung up on us while it ended. Killed
		// processes may be zombies for a while, hence the deadline.
		starting := rec.Phase == Preparing && alive(rec.PID)
		if !starting && !alive(rec.Watchdog) || time.Now().After(deadline) {
			return reply{}, rec, errNotLive
		}
		select {
		case <-ctx.Done():
			return reply{}, nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func confirm(ctx context.Context, stateDir string) error {
	d, id, err := open(stateDir)
	if err != nil {
		return err
	}
	defer d.close()
	r, _, err := d.askWatchdog(ctx, id, opConfirm)
	if !errors.Is(err, errNotLive) {
		if err != nil {
			return err
		}
		return r.err()
	}
	if err := d.lock(ctx); err != nil {
		return err
	}
	rec, err := d.readOwn(id)
	switch {
	case err != nil:
		return err
	case rec == nil:
		return ErrNoChange
	case rec.Phase != Waiting && rec.Phase != Failed:
		return ErrUnfinished
	}
	return d.remove()
}

func undo(ctx context.Context, stateDir string) error {
	d, id, err := open(stateDir)
	if err != nil {
		return err
	}
	defer d.close()
	r, _, err := d.askWatchdog(ctx, id, opUndo)
	switch {
	case errors.Is(err, errNotLive):
		return ErrUnfinished
	case err != nil:
		return err
	}
	return r.err()
}

func status(stateDir string) (ChangeStatus, error) {
	d, id, err := open(stateDir)
	if err != nil {
		return ChangeStatus{}, err
	}
	defer d.close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, rec, err := d.askWatchdog(ctx, id, opStatus)
	switch {
	case errors.Is(err, errNotLive):
		return rec.status(d.log()), nil
	case err != nil:
		return ChangeStatus{}, err
	case r.Status == nil:
		return ChangeStatus{}, errors.Join(errors.New("the watchdog gave no status"), r.err())
	}
	s := *r.Status
	if s.Remaining > 0 {
		s.Deadline = time.Now().Add(s.Remaining)
	}
	return s, nil
}
