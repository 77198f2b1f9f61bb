package health

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// askNeighbor asks until the answer or the end of ctx.
func askNeighbor(ctx context.Context, gateway netip.Addr, links []string) error {
	var link *net.Interface
	for _, name := range links {
		if l, err := net.InterfaceByName(name); err == nil {
			link = l
			break
		}
	}
	switch {
	case link == nil:
		return noLink(links)
	case len(link.HardwareAddr) != 6:
		return fmt.Errorf("%s is no Ethernet link", link.Name)
	}
	var (
		q   question
		err error
	)
	if gateway.Is4() {
		q, err = newARP(gateway, link)
	} else {
		q, err = newSolicitation(gateway, link)
	}
	if err != nil {
		return fmt.Errorf("ask on %s: %w", link.Name, err)
	}
	defer q.f.Close()
	if err := q.ask(ctx); err != nil {
		return fmt.Errorf("ask on %s: %w", link.Name, err)
	}
	return nil
}

// question is one that neighbours answer, and the socket it is asked by.
type question struct {
	f      *os.File
	packet []byte
	to     unix.Sockaddr
	// answers reports whether a packet is the answer.
	answers func(b, control []byte) bool
}

// again is the time between two requests: half of what a neighbour may take is
// spared where one was lost.
const again = 200 * time.Millisecond

func (q question) ask(ctx context.Context) error {
	conn, err := q.f.SyscallConn()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { q.f.SetDeadline(time.Unix(1, 0)) })()
	buf, control := make([]byte, 2048), make([]byte, 256)
	for {
		// Of sending too: a link whose queue is full takes nothing.
		if err := q.f.SetDeadline(time.Now().Add(again)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return errors.New("no answer")
		}
		var serr error
		err := conn.Write(func(fd uintptr) bool {
			serr = unix.Sendto(int(fd), q.packet, 0, q.to)
			return !errors.Is(serr, unix.EAGAIN)
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != nil:
			return err
		case serr != nil:
			return fmt.Errorf("send: %w", serr)
		}
		for {
			var n, nc int
			var rerr error
			if err := conn.Read(func(fd uintptr) bool {
				n, nc, _, _, rerr = unix.Recvmsg(int(fd), buf, control, 0)
				return !errors.Is(rerr, unix.EAGAIN)
			}); err != nil {
				break // it is time to ask again
			}
			if rerr != nil {
				return fmt.Errorf("receive: %w", rerr)
			}
			if q.answers(buf[:n], control[:nc]) {
				return nil
			}
		}
	}
}

// Of RFC 826.
const (
	hardwareEthernet = 1
	arpRequest       = 1
	arpReply         = 2
	arpSize          = 28
)

// newARP asks who has an IPv4 address (RFC 826).
func newARP(gateway netip.Addr, link *net.Interface) (question, error) {
	source, err := sourceFor(gateway)
	if err != nil {
		return question{}, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return question{}, fmt.Errorf("open packet socket: %w", err)
	}
	protocol := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ARP >> 8, unix.ETH_P_ARP & 0xff})
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Index}); err != nil {
		unix.Close(fd)
		return question{}, fmt.Errorf("bind packet socket: %w", err)
	}
	to := &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	packet := arpPacket(arpRequest, link.HardwareAddr, source, make(net.HardwareAddr, 6), gateway)
	return question{f: os.NewFile(uintptr(fd), "arp"), packet: packet, to: to, answers: func(b, _ []byte) bool {
		return len(b) >= arpSize && bytes.Equal(b[:8], arpPacket(arpReply, link.HardwareAddr, source, nil, gateway)[:8]) &&
			bytes.Equal(b[14:18], gateway.AsSlice()) && bytes.Equal(b[18:24], link.HardwareAddr)
	}}, nil
}

func arpPacket(op uint16, mac net.HardwareAddr, ip netip.Addr, theirs net.HardwareAddr, asked netip.Addr) []byte {
	p := binary.BigEndian.AppendUint16(nil, hardwareEthernet)
	p = binary.BigEndian.AppendUint16(p, unix.ETH_P_IP)
	p = append(p, 6, 4)
	p = binary.BigEndian.AppendUint16(p, op)
	p = append(append(p, mac...), ip.AsSlice()...)
	return append(append(p, theirs...), asked.AsSlice()...)
}

// sourceFor is the address the host would use towards another: a connected UDP
// socket has it, and sends nothing.
func sourceFor(to netip.Addr) (netip.Addr, error) {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find a source address: %w", err)
	}
	defer conn.Close()
	a := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	return a.Unmap(), nil
}

// Of RFC 4861.
const (
	neighborSolicitation  = 135 // 4.3
	neighborAdvertisement = 136 // 4.4
	optionSourceLink      = 1   // 4.6.1
	hopLimit              = 255 // 7.1.1, 7.1.2
	flagSolicited         = 0x40
	icmpFilter            = 1 // ICMPV6_FILTER of linux/icmpv6.h
)

// newSolicitation asks for a neighbour's link-layer address (RFC 4861, 7.2.2).
func newSolicitation(gateway netip.Addr, link *net.Interface) (question, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMPV6)
	if err != nil {
		return question{}, fmt.Errorf("open ICMPv6 socket: %w", err)
	}
	var filter unix.ICMPv6Filter // a set bit is a type that is not wanted
	for i := range filter.Data {
		filter.Data[i] = 1<<32 - 1
	}
	filter.Data[neighborAdvertisement/32] &^= 1 << (neighborAdvertisement % 32)
	err = errors.Join(
		os.NewSyscallError("ICMPV6_FILTER", unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, icmpFilter, &filter)),
		os.NewSyscallError("SO_BINDTODEVICE", unix.BindToDevice(fd, link.Name)),
		os.NewSyscallError("IPV6_MULTICAST_HOPS", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hopLimit)),
		os.NewSyscallError("IPV6_MULTICAST_IF", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, link.Index)),
		os.NewSyscallError("IPV6_MULTICAST_LOOP", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0)),
		os.NewSyscallError("IPV6_RECVHOPLIMIT", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)),
	)
	if err != nil {
		unix.Close(fd)
		return question{}, fmt.Errorf("set up ICMPv6 socket: %w", err)
	}
	asked := gateway.As16()
	// The kernel fills in the checksum (RFC 3542, 3.1).
	packet := append([]byte{neighborSolicitation, 0, 0, 0, 0, 0, 0, 0}, asked[:]...)
	packet = append(append(packet, optionSourceLink, 1), link.HardwareAddr...)
	// The solicited-node multicast address (RFC 4291, 2.7.1).
	to := &unix.SockaddrInet6{ZoneId: uint32(link.Index), Addr: [16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: asked[13], 14: asked[14], 15: asked[15]}}
	return question{f: os.NewFile(uintptr(fd), "solicitation"), packet: packet, to: to, answers: func(b, control []byte) bool {
		return len(b) >= 24 && b[0] == neighborAdvertisement && b[1] == 0 && b[4]&flagSolicited != 0 && bytes.Equal(b[8:24], asked[:]) && hops(control) == hopLimit
	}}, nil
}

// hops reads the hop limit a packet came with, -1 if it is not told.
func hops(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return -1
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4 {
			return int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return -1
}
