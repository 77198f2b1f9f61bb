package probe

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// keepTime makes the calling goroutine's thread wake on time even on a loaded
// machine, as far as its privileges go. The thread stays locked, so that it
// ends with the goroutine and its priority with it.
func keepTime() {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -15)
}

func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}

// sleepUntil sleeps to a time of the monotonic clock, in pieces short enough
// to see ctx end.
func sleepUntil(ctx context.Context, t int64) {
	const piece = int64(50 * time.Millisecond)
	for ctx.Err() == nil {
		now := monotonic()
		if now >= t {
			return
		}
		ts := unix.NsecToTimespec(min(t, now+piece))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil)
	}
}
