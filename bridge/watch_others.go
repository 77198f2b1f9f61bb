//go:build !linux

package bridge

import (
	"context"
	"errors"
	"fmt"
)

// Watcher reports when reality leaves the wanted state; it needs Linux.
type Watcher struct{}

// NewWatcher subscribes to changes; it needs Linux.
func NewWatcher(WatchConfig) (*Watcher, error) {
	return nil, fmt.Errorf("watch the network: %w", errors.ErrUnsupported)
}

// Close lets go of everything.
func (w *Watcher) Close() error { return nil }

// Run reports until ctx ends.
func (w *Watcher) Run(context.Context) error { return nil }
