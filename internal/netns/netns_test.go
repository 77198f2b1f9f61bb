//go:build linux

package netns_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

func TestNamespacesAreApart(t *testing.T) {
	a, b := nstest.NS(t), nstest.NS(t)
	nstest.Do(t, a, func() error {
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "only-in-a"}})
	})
	ha, err := a.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer ha.Close()
	if _, err := ha.LinkByName("only-in-a"); err != nil {
		t.Errorf("in a: %v", err)
	}
	hb, err := b.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer hb.Close()
	if _, err := hb.LinkByName("only-in-a"); err == nil {
		t.Error("a's bridge is seen in b")
	}
}

func TestStartInheritsNamespace(t *testing.T) {
	ns := nstest.NS(t)
	want, err := ns.Inode()
	if err != nil {
		t.Fatal(err)
	}
	self, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	if own, _ := self.Inode(); own == want {
		t.Fatal("new namespace is the old one")
	}
	var out strings.Builder
	cmd := exec.Command("readlink", "/proc/self/ns/net")
	cmd.Stdout = &out
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	var got uint64
	if _, err := fmt.Sscanf(out.String(), "net:[%d]", &got); err != nil || got != want {
		t.Errorf("child runs in %s, want inode %d", out.String(), want)
	}
}
