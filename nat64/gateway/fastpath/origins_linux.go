package fastpath

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// pinOrigins is a map beside those of the programs, which know nothing of it: whom
// each guest's mapping is charged to. As the mappings, that outlives the process.
const pinOrigins = "origins"

// keepOrigins makes the map unless it is there.
func keepOrigins(dir string) error {
	if m, err := ebpf.LoadPinnedMap(filepath.Join(dir, pinOrigins), nil); err == nil {
		return m.Close()
	}
	if err := unpin(dir, pinOrigins); err != nil {
		return err
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: pinOrigins, Type: ebpf.Hash, KeySize: 16, ValueSize: 4, MaxEntries: 65536, Flags: noPrealloc})
	if err != nil {
		return fmt.Errorf("make map %s: %w", pinOrigins, err)
	}
	defer m.Close()
	if err := m.Pin(filepath.Join(dir, pinOrigins)); err != nil {
		return fmt.Errorf("pin map %s: %w", pinOrigins, err)
	}
	return nil
}

// noPrealloc is BPF_F_NO_PREALLOC.
const noPrealloc = 1

// openOrigins returns nil where an earlier version has made none.
func openOrigins(dir string) *ebpf.Map {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, pinOrigins), nil)
	if err != nil {
		return nil
	}
	return m
}

// Charge notes whom a guest's mapping is charged to, by any number but 0. It is
// forgotten with the mapping.
func (t *Table) Charge(guest netip.Addr, to uint32) error {
	if t.origins == nil {
		return nil
	}
	if err := t.origins.Put(guest.As16(), to); err != nil {
		return fmt.Errorf("note whom the mapping of %s is charged to: %w", guest, err)
	}
	return nil
}

// Charged returns whom a guest's mapping is charged to, 0 where that is not known.
func (t *Table) Charged(guest netip.Addr) (to uint32) {
	if t.origins == nil || t.origins.Lookup(guest.As16(), &to) != nil {
		return 0
	}
	return to
}

func (t *Table) uncharge(guest [16]byte) error {
	if t.origins == nil {
		return nil
	}
	if err := t.origins.Delete(guest); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}
