package ra

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// longestStateFile is far above what mostHeld entries need.
const longestStateFile = 1 << 20

// LoadState reads a state that [SaveState] wrote. A file that doesn't exist is
// an empty state.
func LoadState(path string) (State, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read what guests were told: %w", err)
	}
	if fi.Size() > longestStateFile {
		return State{}, fmt.Errorf("read what guests were told: %s has %d octets, which is no state", path, fi.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return State{}, fmt.Errorf("read what guests were told: %w", err)
	}
	return parseState(path, b)
}

func parseState(path string, b []byte) (State, error) {
	var s State
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return State{}, fmt.Errorf("read what guests were told: %s: %w", path, err)
	}
	for i, h := range s.Held {
		if !h.sound() {
			return State{}, fmt.Errorf("read what guests were told: %s: entry %d can't have been advertised", path, i)
		}
	}
	return s.bounded(), nil
}

// sound reports whether an entry can be put into a message.
func (h Held) sound() bool {
	if h.Seconds < 0 || h.Seconds > 1<<32-1 {
		return false
	}
	v := validator{}
	switch h.Kind {
	case HeldPrefix, HeldRoute:
		v.prefix("", h.Prefix)
	case HeldPREF64:
		v.prefix("", h.Prefix)
		v.pref64("", h.Prefix)
	case HeldRDNSS:
		v.server("", h.Server)
	case HeldDNSSL:
		if badDomain(h.Domain) != "" {
			return false
		}
	default:
		return false
	}
	return v.first == nil
}

// SaveState writes a state in place of the file, so that whoever reads it, or
// finds it after a power cut, sees the old one or the new one whole. It makes the
// folder where that is missing.
func SaveState(path string, s State) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("keep what guests were told: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep what guests were told: %w", err)
	}
	if err := renameio.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("keep what guests were told: %w", err)
	}
	return nil
}
