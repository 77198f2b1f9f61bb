package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/macrewrite"
)

// TestRunKeepsTheEdge changes the edge's table while run serves, and makes
// another bridge beside it.
func TestRunKeepsTheEdge(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	before := edgeThere(t, s.ns)
	back := func() bool {
		var now macrewrite.State
		err := s.ns.Do(func() (err error) { now, err = macrewrite.Capture(context.Background()); return err })
		return err == nil && now.String() == before.String()
	}
	for _, change := range []string{
		"delete table bridge sixhost_edge",
		"insert rule bridge sixhost_edge forward accept",
		"flush chain bridge sixhost_edge from-guest",
	} {
		nstest.Output(t, s.ns, "nft", strings.Fields(change)...)
		eventually(t, "the edge's rules after "+change, back)
	}
	s.until(t, "the edge's rules are put right")

	nstest.Output(t, s.ns, "ip", "link", "add", "br9", "type", "bridge")
	nstest.Output(t, s.ns, "ip", "link", "add", "v9", "type", "veth", "peer", "name", "v10")
	nstest.Output(t, s.ns, "ip", "link", "set", "v9", "master", "br9")
	others := func() string {
		return nstest.Output(t, s.ns, "nft", "list", "set", "bridge", "sixhost_edge", "other-ports")
	}
	eventually(t, "the edge to know the other bridge's port", func() bool { return strings.Contains(others(), `"v9"`) })
	nstest.Output(t, s.ns, "ip", "link", "del", "v9")
	eventually(t, "the edge to forget it", func() bool { return !strings.Contains(others(), `"v9"`) })
	if !back() {
		t.Errorf("afterwards the rules are others:\n%s", cmp.Diff(before.String(), edgeThere(t, s.ns).String()))
	}
	if status := s.stop(t); status != 128+int(syscall.SIGTERM) {
		t.Errorf("status %d", status)
	}
	// It need not be clean: an advertisement may go out while there are no rules.
	if !strings.Contains(s.said(), "what left by the uplink") {
		t.Error("the count of what left is not told")
	}
}

// TestProvider: what the key says is what the rules are made for, and where
// nothing can be found out, the file has to say.
func TestProvider(t *testing.T) {
	ns := nstest.NS(t)
	nstest.Do(t, ns, func() error { _, err := rented(); return err })
	plan := func(config string) (int, string) {
		file := filepath.Join(t.TempDir(), "host.yaml")
		if err := os.WriteFile(file, []byte("persist: {format: none}\ndns: {upstreams: [192.0.2.53]}\n"+config), 0o644); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := program(t, ns, nil, "plan", "-f", file)
		return status, stdout + stderr
	}
	for _, tt := range []struct {
		config, want string
		status       int
	}{
		{"provider: routed\n", "put the edge rules in place", 0},
		{"provider: on-link\nisolate_guests: true\nunlisted_guests: drop\n", "put the edge rules in place", 0},
		{"provider: bridged\n", `provider: want auto, routed or on-link, not "bridged"`, 2},
		{"unlisted_guests: pass\n", `unlisted_guests: want strict or drop, not "pass"`, 2},
		{"provider: auto\n", "it is not known whether it is routed or on-link", 2},
		{"guests: [{name: www, addresses: [\"2001:db8:4::1\"]}]\n", "guest www: 2001:db8:4::1 is not in", 2},
		{"guests: [{name: www, addresses: [\"2001:db8:1:3::a\"], open: true}]\n", "put the edge rules in place", 0},
	} {
		if status, out := plan(tt.config); status != tt.status || !strings.Contains(out, tt.want) {
			t.Errorf("%q: status %d, said %s, want %q", tt.config, status, out, tt.want)
		}
	}
}

// What is derived for an on-link provider: guests are told to send through the
// host.
func TestOffLinkFollows(t *testing.T) {
	for _, tt := range []struct {
		kind    macrewrite.Kind
		isolate bool
		want    bool
	}{{macrewrite.Routed, false, false}, {macrewrite.Routed, true, true}, {macrewrite.OnLink, false, true}} {
		h := host{config: config{IsolateGuests: tt.isolate}, edge: edgeInput{kind: tt.kind}}
		if got := h.raConfig(nil).Prefixes[0].OffLink; got != tt.want {
			t.Errorf("%s, isolated %v: L=0 is %v", tt.kind, tt.isolate, got)
		}
	}
}

// TestRunOutlivesBurst: more changes of links than run can take in while it is
// held up do not make it deaf.
func TestRunOutlivesBurst(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	nstest.Output(t, s.ns, "ip", "link", "add", "br9", "type", "bridge")
	nstest.Output(t, s.ns, "ip", "link", "add", "v9", "type", "veth", "peer", "name", "v10")
	nstest.Output(t, s.ns, "ip", "link", "set", "v10", "up") // the kernel tells of no aliases else
	pid := s.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "run to be held up", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err == nil && strings.Contains(string(b), ") T ")
	})
	burst := filepath.Join(t.TempDir(), "burst")
	var lines strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&lines, "link set v10 alias a%d\n", i)
	}
	if err := os.WriteFile(burst, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	nstest.Output(t, s.ns, "ip", "-batch", burst)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.until(t, "all links are looked at anew")
	nstest.Output(t, s.ns, "ip", "link", "set", "v9", "master", "br9")
	eventually(t, "the edge to know the other bridge's port", func() bool {
		return strings.Contains(nstest.Output(t, s.ns, "nft", "list", "set", "bridge", "sixhost_edge", "other-ports"), `"v9"`)
	})
}

// TestPortsAreNoFight: ports that come and go are told to the edge each time, and
// nobody is accused of it; who changes the same sets is.
func TestPortsAreNoFight(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	nstest.Output(t, s.ns, "ip", "link", "add", "br9", "type", "bridge")
	nstest.Output(t, s.ns, "ip", "link", "add", "v9", "type", "veth", "peer", "name", "v10")
	known := func() bool {
		return strings.Contains(nstest.Output(t, s.ns, "nft", "list", "set", "bridge", "sixhost_edge", "other-ports"), `"v9"`)
	}
	for range fightRepairs + 3 {
		nstest.Output(t, s.ns, "ip", "link", "set", "v9", "master", "br9")
		eventually(t, "the edge to know the port", known)
		nstest.Output(t, s.ns, "ip", "link", "set", "v9", "nomaster")
		eventually(t, "the edge to forget it", func() bool { return !known() })
	}
	for _, accusation := range []string{"somebody fights over the edge's rules", "the edge's rules are put right"} {
		if strings.Contains(s.said(), accusation) {
			t.Errorf("run says: %s", accusation)
		}
	}
	s.until(t, "the edge follows guests and ports")
	nstest.Output(t, s.ns, "nft", "add", "element", "bridge", "sixhost_edge", "other-ports", "{ nobody9 }")
	s.until(t, "the edge's rules are put right")
}
