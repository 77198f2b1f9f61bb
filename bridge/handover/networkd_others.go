//go:build !linux

package handover

import (
	"context"
	"errors"
	"fmt"

	"github.com/sixhost/sixhost/bridge"
)

// Capture reads what the manager has to do with the links; it needs Linux.
func Capture(context.Context, bridge.Scope) (State, error) {
	return State{}, fmt.Errorf("look at the network manager: %w", errors.ErrUnsupported)
}

func (c keepOff) do(context.Context) error { return fmt.Errorf("%s: %w", c, errors.ErrUnsupported) }
func (c takeOff) do(context.Context) error { return fmt.Errorf("%s: %w", c, errors.ErrUnsupported) }
func (c putOn) do(context.Context) error   { return fmt.Errorf("%s: %w", c, errors.ErrUnsupported) }
