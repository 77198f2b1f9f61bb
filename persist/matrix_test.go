package persist

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/plan"
)

// host is one host of the matrix: its files, the network that bridge captured
// on it, and what its owner asks for.
type host struct {
	name  string
	files map[string]string
	state bridge.State
	wish  struct {
		Uplink  string             `json:"uplink"`
		Address bridge.HostAddress `json:"address"`
		Static  bool               `json:"static"`
		Prefix  netip.Prefix       `json:"prefix"`
	}
}

func (h host) dir() string { return filepath.Join("testdata", "matrix", h.name) }

func (h host) bridgeConfig() bridge.Config {
	return bridge.Config{Uplink: h.wish.Uplink, Prefix: h.wish.Prefix, Address: h.wish.Address, Static: h.wish.Static}
}

// config is persist's for the host, or why there is none.
func (h host) config(t *testing.T) (Config, error) {
	want, err := h.bridgeConfig().State(h.state)
	return Config{Bridge: want, Root: rootWith(t, h.files)}, err
}

// matrix reads the hosts of testdata/matrix.
func matrix(t *testing.T) []host {
	t.Helper()
	dirs, err := os.ReadDir(filepath.Join("testdata", "matrix"))
	if err != nil {
		t.Fatal(err)
	}
	var hosts []host
	for _, d := range dirs {
		h := host{name: d.Name(), files: make(map[string]string)}
		h.wish.Uplink = "enp2s0"
		root := filepath.Join(h.dir(), "root")
		if err := filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(at)
			name, relErr := filepath.Rel(root, at)
			h.files[filepath.ToSlash(name)] = string(b)
			return errors.Join(err, relErr)
		}); err != nil {
			t.Fatal(err)
		}
		for name, into := range map[string]any{"config.json": &h.wish, "state.json": &h.state} {
			b, err := os.ReadFile(filepath.Join(h.dir(), name))
			if err == nil {
				err = json.Unmarshal(b, into)
			}
			if err != nil && !(*update && errors.Is(err, fs.ErrNotExist)) {
				t.Fatal(err)
			}
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// Hosts as providers hand them over become what is wanted, or are refused with
// file, line and reason; and what has become of them can be taken back.
func TestMatrix(t *testing.T) {
	for _, h := range matrix(t) {
		t.Run(h.name, func(t *testing.T) {
			c, err := h.config(t)
			before := capture(t, c.Scope())
			var want State
			if err == nil {
				want, err = c.State(before)
			}
			got := dump(want)
			if err != nil {
				got = "refused: " + err.Error() + "\n"
				var refusal *plan.Refusal
				if !errors.As(err, &refusal) {
					t.Errorf("not a refusal: %v", err)
				}
			}
			file := filepath.Join(h.dir(), "want.golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			golden, readErr := os.ReadFile(file)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if diff := cmp.Diff(string(golden), got); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if err != nil {
				if strings.HasPrefix(h.name, "refused-") == strings.Contains(err.Error(), "has a lifetime") {
					t.Errorf("refused for another reason: %v", err)
				}
				return
			}
			checkWayBack(t, c, before)
		})
	}
}

// checkWayBack takes every step, and from each of them finds the originals
// again.
func checkWayBack(t *testing.T, c Config, before State) {
	t.Helper()
	back := func(when string) {
		t.Helper()
		now := capture(t, c.Scope())
		original, err := Original(now)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if diff := cmp.Diff(before.Files, original.Files, sameFiles(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s, the originals (-want +got):\n%s", when, diff)
		}
	}
	_, _, p := planFor(t, c)
	back("at first")
	for _, s := range p.Steps {
		if err := s.Do(context.Background()); err != nil {
			t.Fatal(err)
		}
		back("after " + s.Text)
	}
	if _, _, again := planFor(t, c); !again.Empty() {
		t.Errorf("the second plan has %q", texts(again))
	}
	now := capture(t, c.Scope())
	original, err := Original(now)
	if err != nil {
		t.Fatal(err)
	}
	p, err = Plan(now, original)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		if err := s.Do(context.Background()); err != nil {
			t.Fatal(err)
		}
		back("on the way back, after " + s.Text)
	}
	if diff := cmp.Diff(before.Files, capture(t, c.Scope()).Files, sameFiles(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("back again (-want +got):\n%s", diff)
	}
}
