package probe

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
)

// open makes a non-blocking socket in a namespace, connected to an address. A
// TCP socket is on its way only.
func open(ns *netns.NS, typ, proto int, to netip.AddrPort) (int, error) {
	fd := -1
	err := in(ns, func() error {
		family := unix.AF_INET
		if to.Addr().Is6() {
			family = unix.AF_INET6
		}
		sa, err := sockaddr(to)
		if err != nil {
			return err
		}
		s, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
		if err != nil {
			return fmt.Errorf("open socket: %w", err)
		}
		// The error queue tells who sent an ICMP error.
		level, option := unix.SOL_IP, unix.IP_RECVERR
		if family == unix.AF_INET6 {
			level, option = unix.SOL_IPV6, unix.IPV6_RECVERR
		}
		if err := unix.SetsockoptInt(s, level, option, 1); err != nil {
			unix.Close(s)
			return fmt.Errorf("ask for ICMP errors: %w", err)
		}
		if err := unix.Connect(s, sa); err != nil && err != unix.EINPROGRESS {
			unix.Close(s)
			return fmt.Errorf("%w: connect to %v: %w", ErrUnsent, to, err)
		}
		fd = s
		return nil
	})
	return fd, err
}

// sockaddr must run in the namespace where a zone's interface is.
func sockaddr(a netip.AddrPort) (unix.Sockaddr, error) {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16()}
	if z := ip.Zone(); z != "" {
		link, err := net.InterfaceByName(z)
		if err != nil {
			return nil, fmt.Errorf("zone of %v: %w", ip, err)
		}
		sa.ZoneId = uint32(link.Index)
	}
	return sa, nil
}

// localAddr returns the address that a connected socket sends from.
func localAddr(fd int) netip.Addr {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.Addr{}
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(sa.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(sa.Addr)
	}
	return netip.Addr{}
}

// filterEcho lets the kernel pass only our echo replies, so that other probers'
// don't fill the receive queue. A raw IPv4 socket sees the IP header, a raw IPv6
// one does not.
func filterEcho(fd int, id uint16, six bool) error {
	const (
		loadHeaderLen = 0xb1 // ldxb 4*([k]&0xf)
		loadHalf      = 0x28 // ldh [k]
		loadByte      = 0x30 // ldb [k]
		loadHalfX     = 0x48 // ldh [x+k]
		loadByteX     = 0x50 // ldb [x+k]
		jumpEqual     = 0x15
		ret           = 0x06
	)
	half, one, typ := uint16(loadHalf), uint16(loadByte), uint32(echoReply6)
	var prog []unix.SockFilter
	if !six {
		half, one, typ = loadHalfX, loadByteX, echoReply4
		prog = append(prog, unix.SockFilter{Code: loadHeaderLen, K: 0})
	}
	prog = append(prog,
		unix.SockFilter{Code: half, K: 4},
		unix.SockFilter{Code: jumpEqual, K: uint32(id), Jt: 0, Jf: 3},
		unix.SockFilter{Code: one, K: 0},
		unix.SockFilter{Code: jumpEqual, K: typ, Jt: 0, Jf: 1},
		unix.SockFilter{Code: ret, K: 0xffff},
		unix.SockFilter{Code: ret, K: 0},
	)
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
		return fmt.Errorf("filter echo replies: %w", err)
	}
	return nil
}
