//go:build !linux

package hostroute

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// Capture needs Linux.
func Capture(context.Context, string) (State, error) {
	return State{}, fmt.Errorf("capture guests' routes: %w", errors.ErrUnsupported)
}

func set(context.Context, string, netip.Addr, bool) error {
	return fmt.Errorf("route to a guest: %w", errors.ErrUnsupported)
}
