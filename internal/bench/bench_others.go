//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// measure needs Linux's namespaces; the error matches errors.ErrUnsupported.
func measure(context.Context, options, *report) error {
	return fmt.Errorf("measure: it needs Linux: %w", errors.ErrUnsupported)
}

// inner can't be reached where the outer half can't start it.
func inner() int {
	fmt.Fprintf(os.Stderr, "bench: %v\n", errors.ErrUnsupported)
	return 1
}
