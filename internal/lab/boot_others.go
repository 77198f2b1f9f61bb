//go:build !linux

package lab

import (
	"context"
	"errors"
	"fmt"
)

// Enter needs Linux's namespaces; the error matches errors.ErrUnsupported.
func Enter(context.Context, EnterOptions) (exit int, err error) {
	return 0, unsupported("enter the lab")
}

// Inside tells whether Enter started this program: never on this system.
func Inside() bool { return false }

// Inner is the inner half's side of Enter.
type Inner struct{}

// Init needs Linux's namespaces; the error matches errors.ErrUnsupported.
func Init(context.Context) (*Inner, context.Context, error) {
	return nil, nil, unsupported("initialise the lab")
}

// Notes returns nothing on this system.
func (*Inner) Notes() []string { return nil }

// Keep returns an error that matches errors.ErrUnsupported.
func (*Inner) Keep(context.Context, int) error { return unsupported("keep the lab") }

// Close does nothing on this system.
func (*Inner) Close() error { return nil }

func unsupported(doing string) error {
	return fmt.Errorf("%s: it needs Linux: %w", doing, errors.ErrUnsupported)
}
