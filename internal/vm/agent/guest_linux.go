package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
)

// Names of the guest's interface, outside and inside.
const (
	port   = "vnet0"
	inside = "eth0"
)

// guest waits for a bridge and is a guest on it from its first moments on: a
// network namespace whose kernel solicits routers, reports groups and probes for
// duplicates, and which every few milliseconds says all that must not get out.
// How many frames it has handed to the bridge is in a file, rewritten on the way.
func guest(bridge, mac, file string) error {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	ns, err := netns.New()
	if err != nil {
		return err
	}
	within, err := ns.Handle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = port
	// As libvirt does, so that the bridge never takes a port's MAC for its own.
	attrs.HardwareAddr = append(net.HardwareAddr{0xfe}, hw[1:]...)
	v := netlink.NewVeth(attrs)
	v.PeerName, v.PeerHardwareAddr, v.PeerNamespace = inside, hw, netlink.NsFd(ns.File().Fd())
	if err := netlink.LinkAdd(v); err != nil {
		return fmt.Errorf("add %s: %w", port, err)
	}
	own, err := within.LinkByName(inside)
	if err != nil {
		return err
	}
	fd := -1
	if err := ns.Do(func() error {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}); err != nil {
		return fmt.Errorf("open packet socket: %w", err)
	}
	to := &unix.SockaddrLinklayer{Ifindex: own.Attrs().Index}
	all := frames(hw)
	sent := 0
	for i := 0; ; i++ {
		time.Sleep(5 * time.Millisecond)
		br, err := netlink.LinkByName(bridge)
		if err != nil {
			if errors.As(err, &netlink.LinkNotFoundError{}) {
				continue
			}
			return fmt.Errorf("look for %s: %w", bridge, err)
		}
		at, err := netlink.LinkByName(port)
		if err != nil {
			return fmt.Errorf("look for %s: %w", port, err)
		}
		if at.Attrs().MasterIndex != br.Attrs().Index || at.Attrs().Flags&net.FlagUp == 0 {
			if err := netlink.LinkSetMaster(at, br); err != nil {
				continue // the bridge may be gone again
			}
			if err := errors.Join(netlink.LinkSetUp(at), within.LinkSetUp(own)); err != nil {
				return fmt.Errorf("set %s up: %w", port, err)
			}
			fmt.Printf("%s is a port of %s\n", port, bridge)
		}
		if i%4 != 0 {
			continue
		}
		if err := unix.Sendto(fd, all[sent%len(all)], 0, to); err != nil {
			continue // the link comes up only now
		}
		sent++
		if err := os.WriteFile(file+".new", fmt.Appendf(nil, "%d\n", sent), 0o644); err != nil {
			return err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return err
		}
	}
}

// frames are what a guest may send that a provider must not see.
func frames(mac net.HardwareAddr) [][]byte {
	broadcast := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	provider := net.HardwareAddr{0x00, 0x00, 0x5e, 0x00, 0x53, 0x01}
	ll := eui64(netip.MustParseAddr("fe80::"), mac)
	global := eui64(netip.MustParseAddr("2001:db8:1:3::"), mac)
	nodes, routers, gateway := netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff02::2"), netip.MustParseAddr("fe80::1")
	lla := func(typ byte) []byte { return append([]byte{typ, 1}, mac...) }
	cat := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	g, gw := global.As16(), gateway.As16()
	prefixInfo := cat([]byte{3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0}, g[:8], make([]byte, 8))
	return [][]byte{
		// ARP: who has the gateway?
		ethernet(broadcast, mac, 0x0806, cat([]byte{0, 1, 8, 0, 6, 4, 0, 1}, mac, []byte{203, 0, 113, 77}, make([]byte, 6), []byte{203, 0, 113, 1})),
		// Router solicitation and advertisement.
		icmp6(mac, ll, routers, 133, cat(make([]byte, 4), lla(1))),
		icmp6(mac, ll, nodes, 134, cat([]byte{64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}, prefixInfo, lla(1))),
		// Duplicate address detection, a solicitation for the gateway, an
		// advertisement to all.
		icmp6(mac, netip.IPv6Unspecified(), solicitedNode(global), 135, cat(make([]byte, 4), g[:])),
		icmp6(mac, global, solicitedNode(gateway), 135, cat(make([]byte, 4), gw[:], lla(1))),
		icmp6(mac, global, nodes, 136, cat([]byte{0x20, 0, 0, 0}, g[:], lla(2))),
		// A redirect, and an echo request past the host.
		icmp6(mac, ll, nodes, 137, cat(make([]byte, 4), gw[:], g[:])),
		unicast(provider, icmp6(mac, ll, gateway, 128, make([]byte, 8))),
		// A bridge's hello, a private protocol, and one with a tag.
		ethernet(net.HardwareAddr{0x01, 0x80, 0xc2, 0, 0, 0}, mac, 38, cat([]byte{0x42, 0x42, 3}, make([]byte, 35))),
		ethernet(broadcast, mac, 0x88b5, make([]byte, 46)),
		ethernet(broadcast, mac, 0x8100, cat([]byte{0x0f, 0xa0, 0x88, 0xb5}, make([]byte, 46))),
	}
}

func ethernet(dst, src net.HardwareAddr, typ uint16, payload []byte) []byte {
	b := append(append([]byte{}, dst...), src...)
	return append(binary.BigEndian.AppendUint16(b, typ), payload...)
}

// unicast gives a frame another destination.
func unicast(dst net.HardwareAddr, frame []byte) []byte {
	copy(frame, dst)
	return frame
}

// icmp6 makes an ICMPv6 message with the hop limit of neighbor discovery, to a
// group (RFC 2464 section 7).
func icmp6(mac net.HardwareAddr, src, dst netip.Addr, typ byte, body []byte) []byte {
	s, d := src.As16(), dst.As16()
	msg := append([]byte{typ, 0, 0, 0}, body...)
	sum := uint32(len(msg)) + 58
	for _, part := range [][]byte{s[:], d[:], msg} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(part[i])<<8 | uint32(part[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(msg[2:], ^uint16(sum))
	ip := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(msg)))
	ip = append(append(append(ip, 58, 255), s[:]...), d[:]...)
	return ethernet(append(net.HardwareAddr{0x33, 0x33}, d[12:]...), mac, 0x86dd, append(ip, msg...))
}

func eui64(prefix netip.Addr, mac net.HardwareAddr) netip.Addr {
	a := prefix.As16()
	copy(a[8:], []byte{mac[0] ^ 0x02, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(a)
}

func solicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	g := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(g[13:], b[13:])
	return netip.AddrFrom16(g)
}
