package sysctl

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// Parameters are those of the namespace, also for a link with a dot in its
// name, and of no other.
func TestReadWrite(t *testing.T) {
	const key = "net/ipv6/conf/eth0.4000/forwarding"
	ns, other := nstest.NS(t), nstest.NS(t)
	for _, n := range []interface{ Do(func() error) error }{ns, other} {
		if err := n.Do(func() error {
			return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "eth0.4000"}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	nstest.Do(t, ns, func() error {
		was, err := Read(key)
		if err != nil {
			return err
		}
		if was != "0" {
			t.Errorf("%s is %q before, want 0", key, was)
		}
		if err := Write(key, "1"); err != nil {
			return err
		}
		is, err := Read(key)
		if err != nil {
			return err
		}
		if is != "1" {
			t.Errorf("%s is %q, want 1", key, is)
		}
		return nil
	})
	nstest.Do(t, other, func() error {
		is, err := Read(key)
		if err != nil {
			return err
		}
		if is != "0" {
			t.Errorf("%s is %q in the other namespace, want 0", key, is)
		}
		return nil
	})
}

func TestErrors(t *testing.T) {
	ns := nstest.NS(t)
	nstest.Do(t, ns, func() error {
		if v, err := Read("net/ipv6/conf/none/forwarding"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read of a missing parameter: %q, %v; want fs.ErrNotExist", v, err)
		}
		if err := Write("net/ipv6/conf/none/forwarding", "1"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("write of a missing parameter: %v; want fs.ErrNotExist", err)
		}
		if err := Write("net/ipv6/conf/all/forwarding", "yes"); err == nil {
			t.Error("the kernel took \"yes\"")
		}
		return nil
	})
}

// Values of several fields keep their separator, and only the line's end goes.
func TestReadFields(t *testing.T) {
	ns := nstest.NS(t)
	nstest.Do(t, ns, func() error {
		// Group 0 is the only one that exists in every user namespace.
		if err := Write("net/ipv4/ping_group_range", "0\t0"); err != nil {
			return err
		}
		got, err := Read("net/ipv4/ping_group_range")
		if err != nil {
			return err
		}
		if got != "0\t0" {
			t.Errorf("got %q, want %q", got, "0\t0")
		}
		return nil
	})
}
