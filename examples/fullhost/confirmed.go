package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"github.com/sixhost/sixhost/guest/hostroute"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/plan"
)

// What somebody has confirmed is kept as a copy of host.yaml beside it, because a
// file is easily edited without being applied. run takes nothing from host.yaml
// that could lock somebody out unless it is in force already or in the copy:
//
//   - apply reads host.yaml and leaves the copy alone,
//   - confirm writes it, last of all,
//   - run serves host.yaml where the way from the copy to it has no such step, and
//     the copy otherwise.

// confirmedPath is where the copy of a file is; path "" means the default one.
func confirmedPath(path string) string {
	if path == "" {
		path = defaultFile
	}
	return path + ".confirmed"
}

// rememberConfirmed keeps the file that c was read from as the confirmed one.
func rememberConfirmed(c config) error {
	at := confirmedPath(c.path)
	err := os.MkdirAll(filepath.Dir(at), 0o755)
	if err == nil {
		err = renameio.WriteFile(at, c.text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the confirmed configuration: %w", err)
	}
	return nil
}

// loadConfirmed reads what was confirmed last, nil if nothing was.
func loadConfirmed(path string) (*config, error) {
	at := confirmedPath(path)
	text, err := os.ReadFile(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &plan.Refusal{Subject: at, Reason: "can't be read: " + errText(err), Err: err}
	}
	c, err := parseConfig(at, text)
	if err != nil {
		return nil, err
	}
	if path == "" {
		path = defaultFile
	}
	if c.path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("find %s: %w", path, err)
	}
	return &c, nil
}

// servable reads the file and decides what run serves: the file, or last where the
// file wants something that only apply may do. why tells what that is, then.
func servable(ctx context.Context, path string, last *config) (ch change, why, err error) {
	c, err := loadConfig(path)
	if err == nil {
		ch, err = prepare(ctx, c)
	}
	if err == nil {
		err = ch.ready("run")
	}
	if last == nil || err == nil && bytes.Equal(c.text, last.text) {
		return ch, nil, err
	}
	if err == nil && ch.inForce() {
		return ch, nil, nil
	}
	held, heldErr := prepare(ctx, *last)
	if heldErr == nil {
		heldErr = held.ready("run")
	}
	if heldErr != nil {
		return ch, nil, err // the file's own sentence is the one to mend
	}
	if err == nil {
		if err = ch.unconfirmed("run", held); err == nil {
			return ch, nil, nil
		}
	}
	return held, err, nil
}

// guarded reports whether a step may only be taken where it can be taken back: it
// leads something elsewhere. What the bridge has of these, ready looks after. Who
// the guests are may change while run serves.
func guarded(s plan.Step) bool {
	return slices.Contains([]string{macrewrite.Part, gateway.Part, hostroute.Part}, s.Part) && s.Phase == plan.Apply && !macrewrite.InPlace(s)
}

// inForce reports whether all such steps have been taken.
func (ch change) inForce() bool { return !slices.ContainsFunc(ch.plan.Steps, guarded) }

// unconfirmed refuses steps that have neither been taken nor were wanted by the
// configuration that was confirmed.
func (ch change) unconfirmed(subject string, confirmed change) error {
	if ch.inForce() {
		return nil
	}
	for i, p := range ch.parts {
		steps, err := p.since(confirmed.parts[i])
		what := p.captured.Part + " with other settings"
		if err == nil {
			at := slices.IndexFunc(steps, guarded)
			if at < 0 {
				continue
			}
			what = "the first step: " + steps[at].Text
		}
		return &plan.Refusal{Subject: subject, Reason: fmt.Sprintf("the file wants what was not applied and confirmed (%s); run fullhost apply first", what), Err: errUnconfirmed}
	}
	return nil
}

// errUnconfirmed is matched by the refusal of what was not confirmed.
var errUnconfirmed = errors.New("not confirmed")
