//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

func (h host) neighbors(context.Context) ([]neighbor, error) {
	return nil, fmt.Errorf("read the neighbor table: %w", errors.ErrUnsupported)
}

func solicit(netip.Addr) error { return fmt.Errorf("look for a guest: %w", errors.ErrUnsupported) }
