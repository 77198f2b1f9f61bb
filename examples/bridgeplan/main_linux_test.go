package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// Printing changes nothing, applying does, and then there is only the old
// address left to remove.
func TestPrintApplyConfirm(t *testing.T) {
	ns := nstest.NS(t)
	nstest.Do(t, ns, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = "enp2s0", net.HardwareAddr{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "wire"})
	})
	for _, args := range []string{
		"link set wire up", "link set enp2s0 up", "addr add 203.0.113.10/32 dev enp2s0",
		"addr add 2001:db8:1:3::2/64 dev enp2s0 nodad",
		"route add default via 203.0.113.1 dev enp2s0 onlink", "-6 route add default via fe80::1 dev enp2s0",
	} {
		nstest.Output(t, ns, "ip", strings.Fields(args)...)
	}
	for _, step := range []struct{ args, want, without string }{
		{"-address slaac", "make enp2s0 a port of br0", "Nothing to do"},
		{"-address slaac -apply", "make enp2s0 a port of br0", "Nothing to do"}, // the first run changed nothing
		{"-address slaac -confirm", "remove 2001:db8:1:3::2/64 from br0", "apply:"},
		{"-address slaac", "Nothing to do", "remove"},
	} {
		var out strings.Builder
		nstest.Do(t, ns, func() error { return run(context.Background(), strings.Fields(step.args), &out, io.Discard) })
		if !strings.Contains(out.String(), step.want) || strings.Contains(out.String(), step.without) {
			t.Errorf("bridgeplan %s: want %q and no %q in:\n%s", step.args, step.want, step.without, out.String())
		}
	}
}

// Without a default route there is no uplink to find.
func TestNoUplink(t *testing.T) {
	nstest.Do(t, nstest.NS(t), func() error {
		err := run(context.Background(), nil, io.Discard, io.Discard)
		if !errors.Is(err, bridge.ErrNoUplink) {
			t.Errorf("run: %v, want ErrNoUplink", err)
		}
		return nil
	})
}
