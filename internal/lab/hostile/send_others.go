//go:build !linux

package hostile

import (
	"context"
	"errors"
	"fmt"
)

// Sender puts frames on a wire. It needs Linux.
type Sender struct{}

// NewSender fails: the error matches errors.ErrUnsupported.
func NewSender(name string) (*Sender, error) {
	return nil, fmt.Errorf("send on %s: %w", name, errors.ErrUnsupported)
}

// Send fails as NewSender does.
func (s *Sender) Send(context.Context, Attack) (int, error) { return 0, errors.ErrUnsupported }

// Close does nothing.
func (s *Sender) Close() error { return nil }
