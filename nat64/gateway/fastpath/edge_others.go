//go:build !linux

package fastpath

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Found is what is pinned somewhere.
type Found struct {
	Settings
	Attached bool
}

// Table needs Linux.
type Table struct{}

// Probe says that this is not Linux.
func Probe(string) error { return fmt.Errorf("%w: %w", ErrUnavailable, unsupported()) }

// Find needs Linux.
func Find(string, int, int) (*Found, error) { return nil, unsupported() }

// Attach needs Linux.
func Attach(string, Settings, int, int) error { return unsupported() }

// Detach needs Linux.
func Detach(string) error { return unsupported() }

// Open needs Linux.
func Open(string) (*Table, error) { return nil, unsupported() }

// Same needs Linux.
func (*Table) Same(*Table) bool { return false }

// Close needs Linux.
func (*Table) Close() error { return unsupported() }

// Put needs Linux.
func (*Table) Put(_, _ netip.Addr) error { return unsupported() }

// Delete needs Linux.
func (*Table) Delete(_, _ netip.Addr) error { return unsupported() }

// Charge needs Linux.
func (*Table) Charge(netip.Addr, uint32) error { return unsupported() }

// Charged needs Linux.
func (*Table) Charged(netip.Addr) uint32 { return 0 }

// LastUsed needs Linux.
func (*Table) LastUsed(_, _ netip.Addr) time.Time { return time.Time{} }

// Keep needs Linux.
func (*Table) Keep(func(guest, pool netip.Addr) bool) error { return unsupported() }

// Disarm needs Linux.
func Disarm(string, int, int) error { return unsupported() }

// Mappings needs Linux.
func (*Table) Mappings() (map[netip.Addr]netip.Addr, error) { return nil, unsupported() }

// Counts needs Linux.
func (*Table) Counts() (Counts, error) { return Counts{}, unsupported() }

func unsupported() error { return fmt.Errorf("fast path: %w", errors.ErrUnsupported) }
