package main

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// TestReservedGroups: frames to group addresses that a bridge keeps for itself go
// to the port's own IP stack, past the edge, unless they are forwarded.
func TestReservedGroups(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	s.stop(t)
	guest := nstest.NS(t)
	nstest.Do(t, s.ns, func() error {
		br, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MasterIndex, attrs.Flags = "vnet0", br.Attrs().Index, net.FlagUp
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(guest.File().Fd()))})
	})
	nstest.Output(t, guest, "ip", "link", "set", "eth0", "up")
	var host net.PacketConn
	nstest.Do(t, s.ns, func() (err error) {
		host, err = net.ListenPacket("udp4", "203.0.113.10:5353")
		return err
	})
	t.Cleanup(func() { host.Close() })

	nstest.Output(t, s.ns, "ip", "link", "set", "br0", "type", "bridge", "group_fwd_mask", "0")
	if got := groupsThrough(t, guest, host); got != portGroups {
		t.Errorf("without a mask, frames to the groups %#04x arrive: there is nothing to guard against", got)
	}
	s.again(t)
	eventually(t, "run to guard the port", func() bool { return groupsThrough(t, guest, host) == 0 })
}

// groupsThrough sends UDP from an invented source to each group address, and
// returns those whose arrived.
func groupsThrough(t *testing.T, guest *netns.NS, host net.PacketConn) (mask uint16) {
	t.Helper()
	var fd, index int
	nstest.Do(t, guest, func() (err error) {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		index = l.Attrs().Index
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	defer unix.Close(fd)
	for group := range byte(16) {
		b := []byte{0x01, 0x80, 0xc2, 0, 0, group, 0x52, 0x54, 0, 0, 0, 0x99, 8, 0,
			0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 203, 0, 113, 77, 203, 0, 113, 10,
			0x30, 0x39, 0x14, 0xe9, 0, 9, 0, 0, group}
		var sum uint32
		for i := 14; i < 34; i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		binary.BigEndian.PutUint16(b[24:], ^uint16(sum+sum>>16))
		if err := unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: index, Protocol: 8, Halen: 6}); err != nil {
			t.Fatal(err)
		}
	}
	from := netip.MustParseAddrPort("203.0.113.77:12345")
	for {
		host.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		b := make([]byte, 10)
		n, a, err := host.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return mask
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 && a.(*net.UDPAddr).AddrPort() == from {
			mask |= 1 << b[0]
		}
	}
}
