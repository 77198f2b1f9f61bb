//go:build !linux

package wire

import (
	"context"
	"errors"
	"fmt"
)

// Capture is a packet socket on one interface. It needs Linux.
type Capture struct{}

// NewCapture fails: the error matches errors.ErrUnsupported.
func NewCapture(cfg CaptureConfig) (*Capture, error) {
	return nil, fmt.Errorf("capture on %s: %w", cfg.Interface, errors.ErrUnsupported)
}

// Run fails as NewCapture does.
func (c *Capture) Run(context.Context) error { return errors.ErrUnsupported }

// Stats returns zeros.
func (c *Capture) Stats() CaptureStats { return CaptureStats{} }

// Close does nothing.
func (c *Capture) Close() error { return nil }
