package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"
)

// A guest's pool address follows from its own, but where two want the same one
// it depends on who came first. Such mappings are kept: written to a file, so
// that a restart, after whatever end, finds the same. These are few: of 1,000
// guests in the default pool about 16.

// keep marks a mapping that is not where its guest's address puts it, and those
// it had to make way for, which might not be there first the next time.
func (t *table) keep(m *mapping, slot uint32) {
	want := preferred(m.Guest, t.slots)
	if want == slot {
		return
	}
	m.kept = true
	// A pool that is full is a chain without end: the first few of it will do.
	const most = 64
	for i := uint32(0); i < most && (want+i)%t.slots != slot; i++ {
		if other := t.owners[(want+i)%t.slots]; other != nil {
			other.kept = true
		}
	}
	t.note()
}

// note says that the file is behind.
func (t *table) note() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// keptMappings returns what is to be written down, in the order of addresses.
func (t *table) keptMappings() []Mapping {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := []Mapping{}
	for _, m := range t.guests {
		if m.kept {
			out = append(out, m.Mapping)
		}
	}
	slices.SortFunc(out, func(a, b Mapping) int { return a.Pool.Compare(b.Pool) })
	return out
}

// restore makes the mappings that were written down, as far as they fit this
// pool and each other.
func (t *table) restore(all []Mapping, fits func(Mapping) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range all {
		if !m.Pool.Is4() || !fits(m) {
			continue
		}
		slot := t.slot(m.Pool)
		if slot >= t.slots || t.owners[slot] != nil || t.guests[m.Guest] != nil {
			continue
		}
		put := t.put(m.Guest, slot)
		put.kept = true
		t.charge(put, 0)
	}
}

// readMappings reads the file; without one there is nothing to read.
func readMappings(path string) ([]Mapping, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the mappings kept: %w", err)
	}
	var all []Mapping
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("read the mappings kept in %s: %w", path, err)
	}
	return all, nil
}

// writeMappings replaces the file, so that a reader finds the old or the new
// one whole.
func writeMappings(path string, all []Mapping) error {
	b, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return fmt.Errorf("write the mappings kept: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write the mappings kept: %w", err)
	}
	if err := renameio.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the mappings kept: %w", err)
	}
	return nil
}
