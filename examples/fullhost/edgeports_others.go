//go:build !linux

package main

import (
	"errors"
	"fmt"
)

func otherPorts(string) ([]string, error) {
	return nil, fmt.Errorf("list the ports of other bridges: %w", errors.ErrUnsupported)
}

func linkEvents(<-chan struct{}, func(), func(error)) error {
	return fmt.Errorf("subscribe to changes of links: %w", errors.ErrUnsupported)
}
