package persist

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/plan"
)

// withEdge is a host whose edge is to be there at boot.
func withEdge(t *testing.T) Config {
	return Config{
		Bridge: wanted(), Root: rootWith(t, map[string]string{"etc/systemd/network/10-enp2s0.network": hetznerNetworkd}),
		Executable: "/usr/local/bin/fullhost", Edge: []byte("{\"table\":{}}\n"),
	}
}

// The rules' files are written in the confirm phase, before the one rename that
// changes the network, and the other way round on the way back.
func TestEdgeSteps(t *testing.T) {
	c := withEdge(t)
	before, want, p := planFor(t, c)
	edge := []string{
		"write /etc/sixhost/edge.json",
		"write /etc/systemd/system/sixhost-edge.service",
		"link /etc/systemd/system/sysinit.target.wants/sixhost-edge.service to ../sixhost-edge.service",
	}
	if diff := cmp.Diff(edge, texts(p)[:len(edge)]); diff != "" {
		t.Errorf("first steps (-want +got):\n%s", diff)
	}
	if !p.Phase(plan.Apply).Empty() {
		t.Error("files are written before they are confirmed")
	}
	confirm(t, p)
	after, _, again := planFor(t, c)
	if diff := cmp.Diff(want.Files, after.Files, sameFiles()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if !again.Empty() {
		t.Errorf("the second plan has %q", texts(again))
	}
	if info, err := os.Stat(filepath.Join(c.Root, edgePath)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("rules' file: %v, %v", info, err)
	}

	// Other rules are one step.
	c.Edge = []byte("{}\n")
	if _, _, p := planFor(t, c); !slices.Equal(texts(p), []string{"replace /etc/sixhost/edge.json"}) {
		t.Errorf("other rules: %q", texts(p))
	}

	back, err := Plan(after, before)
	if err != nil {
		t.Fatal(err)
	}
	list := texts(back)
	if diff := cmp.Diff([]string{
		"remove /etc/systemd/system/sysinit.target.wants/sixhost-edge.service", "remove /etc/systemd/system/sixhost-edge.service", "remove /etc/sixhost/edge.json",
	}, list[len(list)-3:]); diff != "" {
		t.Errorf("last steps back (-want +got):\n%s", diff)
	}
	for _, s := range back.Steps {
		if err := s.Do(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, capture(t, c.Scope())); diff != "" {
		t.Errorf("after the way back (-want +got):\n%s", diff)
	}
}

func TestEdgeUnitGolden(t *testing.T) {
	_, want, _ := planFor(t, withEdge(t))
	f, ok := want.File(edgeUnitPath)
	if !ok {
		t.Fatal("no unit")
	}
	file := filepath.Join("testdata", "edge.golden")
	if *update {
		if err := os.WriteFile(file, f.Content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), string(f.Content)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEdgeRefusals(t *testing.T) {
	for _, exe := range []string{"", "fullhost"} {
		c := withEdge(t)
		c.Executable = exe
		var refusal *plan.Refusal
		if _, err := c.State(capture(t, c.Scope())); !errors.Is(err, ErrPath) || !errors.As(err, &refusal) {
			t.Errorf("program %q: %v", exe, err)
		}
	}
}
