package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

const (
	privateHost = "192.168.77.1"
	privateBox  = "192.168.77.2"
	routedGuest = "192.0.2.44"
)

// addPrivate gives the host a private network with one machine in it, and whoever
// is on the uplink a route there.
func (n *network) addPrivate(t *testing.T) *netns.NS {
	t.Helper()
	box := nstest.NS(t)
	on(t, n.host, func(h *netlink.Handle) error {
		return errors.Join(
			h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "vpn0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(box.File().Fd()))}),
			up(h, "vpn0"), address(h, "vpn0", privateHost+"/24"))
	})
	on(t, box, func(h *netlink.Handle) error {
		return errors.Join(up(h, "eth0"), address(h, "eth0", privateBox+"/24"), route(h, "eth0", "0.0.0.0/0", privateHost, 0))
	})
	routeIn(t, n.web, "eth0", "192.168.77.0/24", testHost4, 0)
	// What comes from there may go out.
	nstest.Output(t, n.host, "sysctl", "-qw", "net.ipv4.conf.vpn0.forwarding=1")
	return box
}

// arrives sends a datagram from the web to an address and reports whether it gets
// to the socket, and its answer back.
func (n *network) arrives(t *testing.T, to netip.AddrPort, at *net.UDPConn) bool {
	t.Helper()
	c := n.packetConn(t, n.web, "udp4", testWeb+":0")
	buf := make([]byte, 100)
	for try := range 3 {
		if _, err := c.WriteToUDPAddrPort(fmt.Append(nil, "try ", try), to); err != nil {
			t.Fatal(err)
		}
		at.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, from, err := at.ReadFrom(buf)
		if err != nil {
			continue
		}
		if _, err := at.WriteTo([]byte("answer"), from); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, _, err := c.ReadFrom(buf); err != nil {
			t.Errorf("no answer: %v", err)
		}
		return true
	}
	return false
}

func portOfConn(c net.PacketConn) uint16 { return uint16(c.LocalAddr().(*net.UDPAddr).Port) }

// A host that forwarded no IPv4 does so for NAT64 only: nobody on the uplink
// reaches its other networks through it.
func TestNoRouterForOthers(t *testing.T) {
	n := newNetwork(t)
	box := n.addPrivate(t)
	s := n.packetConn(t, box, "udp4", privateBox+":0")
	direct := netip.AddrPortFrom(netip.MustParseAddr(privateBox), portOfConn(s))
	if n.arrives(t, direct, s) {
		t.Fatal("forwarded before there was a gateway")
	}
	n.apply(t)
	if k := n.apply(t); k != 0 {
		t.Errorf("second plan has %d steps", k)
	}
	if n.arrives(t, direct, s) {
		t.Error("forwarded from the uplink to a private network")
	}
	// What the owner's rules lead there gets there, and back.
	for _, rule := range []string{
		"add table ip owner",
		"add chain ip owner in { type nat hook prerouting priority -100; }",
		fmt.Sprintf("add rule ip owner in iifname br0 udp dport 4444 dnat to %s", direct),
	} {
		nstest.Output(t, n.host, "nft", rule)
	}
	if !n.arrives(t, netip.MustParseAddrPort(testHost4+":4444"), s) {
		t.Error("a port that leads to a private network is cut off")
	}
	// And NAT64 goes on.
	n.serve(t)
	if _, m := icmp6(t, n.guest, testWeb6, 10, 5*time.Second); m == nil {
		t.Error("no answer to a guest's ping")
	}
	// Once the host is made a router, it is one.
	nstest.Output(t, n.host, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	if n.apply(t) == 0 {
		t.Error("the plan does not follow")
	}
	if !n.arrives(t, direct, s) {
		t.Error("not forwarded by a host that is a router")
	}
}

// A host that forwarded before does as before.
func TestRouterStaysOne(t *testing.T) {
	n := newNetwork(t)
	box := n.addPrivate(t)
	nstest.Output(t, n.host, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	s := n.packetConn(t, box, "udp4", privateBox+":0")
	n.apply(t)
	if !n.arrives(t, netip.AddrPortFrom(netip.MustParseAddr(privateBox), portOfConn(s)), s) {
		t.Error("not forwarded")
	}
}

// A guest's own IPv4 address is reached as before.
func TestRoutedGuestBehindFence(t *testing.T) {
	n := newNetwork(t)
	n.cfg.Routed = []netip.Addr{netip.MustParseAddr(routedGuest)}
	routeIn(t, n.host, "br0", routedGuest+"/32", "", 0)
	routeIn(t, n.web, "eth0", routedGuest+"/32", testHost4, 0)
	h, err := n.guest.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := errors.Join(address(h, "eth0", routedGuest+"/32"), route(h, "eth0", "0.0.0.0/0", testHost4, 0)); err != nil {
		t.Fatal(err)
	}
	n.apply(t)
	s := n.packetConn(t, n.guest, "udp4", routedGuest+":0")
	if !n.arrives(t, netip.AddrPortFrom(netip.MustParseAddr(routedGuest), portOfConn(s)), s) {
		t.Error("a guest's own address is cut off")
	}
}
