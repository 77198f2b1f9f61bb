//go:build !linux

package bridge

import (
	"context"
	"errors"
	"fmt"
)

// ManagerRuns reports whether a network manager runs; it needs Linux.
func ManagerRuns(context.Context, string) (bool, error) {
	return false, fmt.Errorf("look for network managers: %w", errors.ErrUnsupported)
}

// Manager names the network manager that is in charge of a link; it needs
// Linux.
func Manager(context.Context, string) (string, error) {
	return "", fmt.Errorf("look for network managers: %w", errors.ErrUnsupported)
}

// NetworkdState is networkd's word for what it does with a link; it needs Linux.
func NetworkdState(string) (string, error) {
	return "", fmt.Errorf("look at networkd's notes: %w", errors.ErrUnsupported)
}
