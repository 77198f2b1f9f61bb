//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

func localListeners(context.Context) ([]listener, error) {
	return nil, fmt.Errorf("list listening sockets: %w", errors.ErrUnsupported)
}

func ownSource() (netip.Addr, error) {
	return netip.Addr{}, fmt.Errorf("find the address that this host uses: %w", errors.ErrUnsupported)
}
