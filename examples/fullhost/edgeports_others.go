//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
)

func readPorts() ([]bridgePort, error) {
	return nil, fmt.Errorf("list the ports of bridges: %w", errors.ErrUnsupported)
}

type linkEvents struct{}

func newLinkEvents() (*linkEvents, error) {
	return nil, fmt.Errorf("subscribe to changes of links: %w", errors.ErrUnsupported)
}

func (e *linkEvents) run(context.Context, func(), func(error)) {}

func forwardGroups([]bridgePort) error {
	return fmt.Errorf("set group forwarding of ports: %w", errors.ErrUnsupported)
}

func neighborEvents(<-chan struct{}, func(), func(error)) error {
	return fmt.Errorf("subscribe to changes of neighbors: %w", errors.ErrUnsupported)
}
