package rollback

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"time"
)

func recoverChange(ctx context.Context, g *Guard, stateDir string) (bool, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	id, err := thisHost()
	if err != nil {
		return false, err
	}
	d, err := openFolder(stateDir, id)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer d.close()
	switch err := d.lock(ctx); {
	case errors.As(err, new(*BusyError)):
		return false, nil
	case err != nil:
		return false, err
	}
	rec, err := d.readOwn(id)
	if rec == nil || err != nil {
		return false, err
	}
	// The way back, once begun, is worth more than the caller's haste; ctx is
	// heeded between attempts.
	work := context.WithoutCancel(ctx)
	rec.Phase, rec.PID, rec.Watchdog = Restoring, os.Getpid(), 0
	werr := d.write(rec) // for Status; a full disk must not stop us
	for left := rec.Attempts; ; {
		if err = restoreOnce(work, rec.Captured, g.restorers); err == nil {
			return true, d.remove()
		}
		if left--; left <= 0 {
			break
		}
		select {
		case <-time.After(rec.Pause):
			continue
		case <-ctx.Done():
		}
		break
	}
	rec.Phase, rec.Err = Failed, err.Error()
	return false, errors.Join(fmt.Errorf("%w: %w", ErrRestoreFailed, err), werr, d.write(rec))
}
