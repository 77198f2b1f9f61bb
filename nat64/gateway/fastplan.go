package gateway

import (
	"context"
	"fmt"
)

// leavesFast returns the step that takes away a fast path which is not wanted,
// before what it stands on goes.
func leavesFast(from, to State) (text string, do func(context.Context) error, ok bool) {
	if from.Fast == nil || to.Fast != nil {
		return "", nil, false
	}
	dir := from.Pins
	return fmt.Sprintf("remove the fast path's programs (%s)", dir), func(ctx context.Context) error { return detachFast(ctx, dir) }, true
}

// entersFast returns the step that puts the wanted fast path in place, once what
// it stands on is there. fresh says that the device was made on the way.
func entersFast(from, to State, fresh bool) (text string, do func(context.Context) error, ok bool) {
	if to.Fast == nil || to.Link == nil || !fresh && from.Fast.equal(to.Fast) {
		return "", nil, false
	}
	verb := "attach the fast path's programs to"
	if from.Fast != nil && from.Fast.Attached && !fresh {
		verb = "change, without a gap, the fast path's programs on"
	}
	return fmt.Sprintf("%s %s and %s (pinned in %s)", verb, to.GuestLink, to.Device, to.Pins),
		func(ctx context.Context) error { return attachFast(ctx, to) }, true
}
