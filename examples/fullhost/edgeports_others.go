//go:build !linux

package main

import (
	"errors"
	"fmt"
)

func readPorts() ([]bridgePort, error) {
	return nil, fmt.Errorf("list the ports of bridges: %w", errors.ErrUnsupported)
}

func linkEvents(<-chan struct{}, func(), func(error)) error {
	return fmt.Errorf("subscribe to changes of links: %w", errors.ErrUnsupported)
}

func neighborEvents(<-chan struct{}, func(), func(error)) error {
	return fmt.Errorf("subscribe to changes of neighbors: %w", errors.ErrUnsupported)
}
