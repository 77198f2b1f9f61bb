//go:build !linux

package ra

import (
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
