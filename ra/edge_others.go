//go:build !linux

package ra

import (
	"context"
	"errors"
	"fmt"
)

func newConn(byte) (conn, error) {
	return nil, fmt.Errorf("open ICMPv6 socket: %w", errors.ErrUnsupported)
}

type noWatcher struct{ watcher }

func (noWatcher) index() (int, error) { return 0, errors.ErrUnsupported }

func newWatcher(string) (noWatcher, error) {
	return noWatcher{}, fmt.Errorf("watch interface: %w", errors.ErrUnsupported)
}

// DefaultRoute is an [Uplink] on Linux.
type DefaultRoute struct{}

// NewDefaultRoute returns an error that matches errors.ErrUnsupported.
func NewDefaultRoute() (*DefaultRoute, error) {
	return nil, fmt.Errorf("watch the default route: %w", errors.ErrUnsupported)
}

// Close does nothing.
func (*DefaultRoute) Close() error { return nil }

// Up returns an error.
func (*DefaultRoute) Up() (bool, error) { return false, errors.ErrUnsupported }

// Wait returns an error.
func (*DefaultRoute) Wait(context.Context) error { return errors.ErrUnsupported }

func gone(error) bool { return false }
