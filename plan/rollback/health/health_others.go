//go:build !linux

package health

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

func unsupported() error {
	return fmt.Errorf("checks of links and sessions: %w", errors.ErrUnsupported)
}

func askNeighbor(context.Context, netip.Addr, []string) error { return unsupported() }

func askSession(context.Context, Connection) error { return unsupported() }

func sessionOf(context.Context, int) (Connection, error) { return Connection{}, unsupported() }
