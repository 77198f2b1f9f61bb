//go:build !linux

package nft

import (
	"context"
	"errors"
	"fmt"
)

// Read needs Linux.
func Read(context.Context, Family, string) (*Table, error) { return nil, unsupported() }

// Replace needs Linux.
func Replace(context.Context, *Table) error { return unsupported() }

// Update needs Linux.
func Update(context.Context, *Table, *Table) error { return unsupported() }

// Delete needs Linux.
func Delete(context.Context, Family, string) error { return unsupported() }

// Counters needs Linux.
func Counters(context.Context, Family, string) ([]Counter, error) { return nil, unsupported() }

func unsupported() error { return fmt.Errorf("nftables: %w", errors.ErrUnsupported) }

// Contains needs Linux.
func Contains(context.Context, Family, string, Set, string) (bool, error) {
	return false, unsupported()
}

// Events needs Linux.
type Events struct{}

// NewEvents needs Linux.
func NewEvents(Family, string) (*Events, error) { return nil, unsupported() }

// Next needs Linux.
func (*Events) Next() error { return unsupported() }

// Stop does nothing.
func (*Events) Stop() error { return nil }

// Close does nothing.
func (*Events) Close() error { return nil }
