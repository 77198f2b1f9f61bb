//go:build !linux

package bridge

import (
	"context"
	"errors"
	"fmt"
)

// Capture reads the state of a scope; it needs Linux.
func Capture(context.Context, Scope) (State, error) {
	return State{}, fmt.Errorf("capture the network: %w", errors.ErrUnsupported)
}

// DefaultUplink finds the link of the default routes; it needs Linux.
func DefaultUplink(context.Context) (string, error) {
	return "", fmt.Errorf("find the uplink: %w", errors.ErrUnsupported)
}

// CheckPrivilege refuses where the network can't be configured; here it never
// can.
func CheckPrivilege() error {
	return fmt.Errorf("configure the network: %w", errors.ErrUnsupported)
}

func execute(_ context.Context, c change) error {
	return fmt.Errorf("%s: %w", c, errors.ErrUnsupported)
}
