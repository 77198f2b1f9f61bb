package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
)

// guestsFile is where run writes down which domains libvirt has on the bridge:
// for other commands, for parts of run that read the host again, and for the
// next run where libvirtd comes later than it.
func (c config) guestsFile() string { return filepath.Join(c.StateDir, "guests.json") }

// recalled is the host with the domains that run has last seen. A file that can't
// be read counts as none: run writes it anew.
func (h host) recalled() host {
	var found libvirtguests.State
	b, err := os.ReadFile(h.config.guestsFile())
	if err != nil || json.Unmarshal(b, &found) != nil || found.Bridge != h.bridgeName {
		found = libvirtguests.State{Bridge: h.bridgeName}
	}
	return h.withFound(found)
}

// rememberGuests writes them down.
func rememberGuests(c config, found libvirtguests.State) error {
	path := c.guestsFile()
	fail := func(err error) error { return fmt.Errorf("write down libvirt's guests: %w", err) }
	b, err := json.MarshalIndent(found, "", "\t")
	if err != nil {
		return fail(err)
	}
	b = append(b, '\n')
	if old, err := os.ReadFile(path); err == nil && string(old) == string(b) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	if err := renameio.WriteFile(path, b, 0o600); err != nil {
		return fail(err)
	}
	return nil
}
