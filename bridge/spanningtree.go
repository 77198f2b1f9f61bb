package bridge

import (
	"fmt"
	"time"

	"github.com/sixhost/sixhost/plan"
)

// The forward delays that the kernel takes while the spanning tree is on
// (IEEE 802.1D-1998, table 8-3, begins at 4 s). It corrects a shorter one to the
// shortest without a word.
const (
	shortestDelay = 2 * time.Second
	longestDelay  = 30 * time.Second
)

// deadTime is how long a port is dead after it joined the bridge: it listens
// for one forward delay, and learns for another.
func (l Link) deadTime() time.Duration {
	if !l.STP {
		return 0
	}
	return 2 * l.ForwardDelay
}

// forwardDelay checks what is asked for about the spanning tree.
func (c Config) forwardDelay() (time.Duration, error) {
	refuse := func(format string, args ...any) error {
		return &plan.Refusal{Subject: "spanning tree", Reason: fmt.Sprintf(format, args...), Err: ErrSpanningTree}
	}
	delay := c.ForwardDelay
	switch {
	case !c.STP && delay != 0:
		return 0, refuse("a forward delay of %s is given, but the spanning tree is off", delay)
	case !c.STP:
		return 0, nil
	case delay == 0:
		delay = shortestDelay
	case delay < shortestDelay || delay > longestDelay:
		return 0, refuse("the kernel takes forward delays from %s to %s, not %s", shortestDelay, longestDelay, delay)
	}
	if !c.AcceptDeadTime {
		return 0, refuse("with it the host can't be reached for %s after the move, after every boot and whenever the carrier comes back; leave it off, or say that you accept the dead time", 2*delay)
	}
	return delay, nil
}
