//go:build !linux

package bridge

import (
	"context"
	"errors"
	"fmt"
)

// Manager names the network manager that is in charge of a link; it needs
// Linux.
func Manager(context.Context, string) (string, error) {
	return "", fmt.Errorf("look for network managers: %w", errors.ErrUnsupported)
}
