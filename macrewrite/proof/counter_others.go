//go:build !linux

package proof

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// Counter needs Linux.
type Counter struct{}

// New needs Linux.
func New(cfg Config) (*Counter, error) {
	return nil, fmt.Errorf("count what leaves by %s: %w", cfg.Uplink, errors.ErrUnsupported)
}

// Method says in a few words how it counts.
func (*Counter) Method() string { return "" }

// Partial is what is in the way of counting everything.
func (*Counter) Partial() error { return errors.ErrUnsupported }

// Host needs Linux.
func (*Counter) Host([]netip.Addr) error { return errors.ErrUnsupported }

// Read needs Linux.
func (*Counter) Read(context.Context) (Counts, error) { return Counts{}, errors.ErrUnsupported }

// Close does nothing.
func (*Counter) Close() error { return nil }
