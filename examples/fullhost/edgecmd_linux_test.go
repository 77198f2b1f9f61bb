package main

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/slaac"
)

// edgeFile writes the rules for a host with one address to a file.
func edgeFile(t *testing.T, address string) (path string, s macrewrite.State) {
	t.Helper()
	s, err := macrewrite.Config{
		Uplink: "enp2s0", MAC: slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56},
		Prefix: netip.MustParsePrefix("2001:db8:1:3::/64"), Host: []netip.Addr{netip.MustParseAddr(address)},
	}.State()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "edge.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, s
}

// edgeThere reads the rules of a namespace.
func edgeThere(t *testing.T, ns *netns.NS) (s macrewrite.State) {
	t.Helper()
	nstest.Do(t, ns, func() (err error) {
		s, err = macrewrite.Capture(context.Background())
		return err
	})
	return s
}

// The rules stand on a host that has neither bridge nor NIC yet; loading them
// again changes nothing, loading others replaces them.
func TestEdgeLoad(t *testing.T) {
	ns := nstest.NS(t)
	first, firstState := edgeFile(t, "2001:db8:1:3::2")
	second, secondState := edgeFile(t, "2001:db8:1:3::3")
	for _, step := range []struct {
		file  string
		state macrewrite.State
		says  string
	}{
		{first, firstState, "[1/1] put the edge rules in place "},
		{first, firstState, ""},
		{second, secondState, "[1/1] replace the edge rules "},
	} {
		status, stdout, stderr := program(t, ns, nil, "edge", "-load", step.file)
		if status != 0 || stderr != "" || !strings.HasPrefix(stdout, step.says) || step.says == "" && stdout != "" {
			t.Errorf("status %d, printed %q and %q, want %q", status, stdout, stderr, step.says)
		}
		p, err := macrewrite.Plan(edgeThere(t, ns), step.state)
		if err != nil || !p.Empty() {
			t.Errorf("afterwards %d steps are left, %v", len(p.Steps), err)
		}
	}
}

// What can't be loaded is one sentence, and the rules that stand go on to stand.
func TestEdgeLoadRefusals(t *testing.T) {
	ns := nstest.NS(t)
	good, _ := edgeFile(t, "2001:db8:1:3::2")
	if status, _, stderr := program(t, ns, nil, "edge", "-load", good); status != 0 {
		t.Fatal(stderr)
	}
	before := edgeThere(t, ns)
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for name, tc := range map[string]struct{ content, want string }{
		"empty":         {"", "it ends too early"},
		"cut off":       {text[:len(text)/2], "it ends too early"},
		"two":           {text + text, "something follows them"},
		"no table":      {"{}", "there are none in it"},
		"not JSON":      {"uplink: enp2s0\n", "invalid character"},
		"unknown field": {`{"tabel": {}}`, `unknown field "tabel"`},
		"other table":   {strings.Replace(text, `"sixhost_edge"`, `"filter"`, 1), "table bridge filter is not the edge's"},
		"other family":  {strings.Replace(text, `"bridge"`, `"inet"`, 1), "table inet sixhost_edge is not the edge's"},
		"bad rules":     {strings.ReplaceAll(text, `"guests6"`, `"guests 6"`), "not a name nft takes"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "edge.json")
			if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			status, stdout, stderr := program(t, ns, nil, "edge", "-load", file)
			if prefix := "fullhost: " + file + ": does not hold rules of the edge: "; status != 2 || stdout != "" ||
				!strings.HasPrefix(stderr, prefix) || !strings.Contains(stderr, tc.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("status %d, printed %q, says %q, want one line with %q", status, stdout, stderr, tc.want)
			}
			if diff := cmp.Diff(before.String(), edgeThere(t, ns).String()); diff != "" {
				t.Errorf("rules changed (-want +got):\n%s", diff)
			}
		})
	}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "fullhost: edge: -load FILE says which rules to put in place\n"},
		{[]string{"-load", "/nonexistent"}, "fullhost: /nonexistent: can't be read: no such file or directory\n"},
	} {
		if status, _, stderr := program(t, ns, nil, append([]string{"edge"}, tc.args...)...); status != 2 || stderr != tc.want {
			t.Errorf("%q: status %d, says %q", tc.args, status, stderr)
		}
	}
}

// What confirm writes for the boot is what it leaves behind.
func TestEdgeAtBoot(t *testing.T) {
	root := t.TempDir()
	ns, a := startApply(t, "")
	text, err := os.ReadFile(a.file)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), "persist: {format: none}", "persist: {format: networkd, root: "+root+"}", 1)
	if err := os.WriteFile(a.file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	a.start(t, ns)
	a.until(t, "Applied.")
	file := filepath.Join(root, "etc/sixhost/edge.json")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("before confirm the file is there, or %v", err)
	}
	if status, _, stderr := program(t, ns, nil, "confirm", "-f", a.file); status != 0 {
		t.Fatal(stderr)
	}
	boot := nstest.NS(t)
	if status, _, stderr := program(t, boot, nil, "edge", "-load", file); status != 0 {
		t.Fatal(stderr)
	}
	if diff := cmp.Diff(edgeThere(t, ns).String(), edgeThere(t, boot).String()); diff != "" {
		t.Errorf("rules after a boot (-before +after):\n%s", diff)
	}
	if status, stdout, stderr := program(t, ns, nil, "plan", "-f", a.file); status != 0 || strings.Contains(stdout, "1. ") {
		t.Errorf("plan after confirm: status %d\n%s%s", status, stdout, stderr)
	}
}
