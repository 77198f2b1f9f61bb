package ra

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// rawConn is a raw ICMPv6 socket. It stays in the network namespace it was
// made in, and so do its look-ups of interfaces, whichever thread uses it.
type rawConn struct {
	f    *os.File
	raw  syscall.RawConn
	kind byte // the ICMPv6 type it hears

	index   int  // attached to, or 0
	reports bool // hears typeReport too
	groups  []unix.IPv6Mreq

	// What sends and receives, made once: neither allocates for a message.
	out, in exchange
	outOOB  int // length of the control message of everything sent
	write   func(fd uintptr)
	read    func(fd uintptr) bool

	// armed is the read deadline that is set, if it is known. woken is set
	// before the deadline is moved into the past.
	armed time.Time
	known bool
	woken atomic.Bool
}

var _ conn = &rawConn{}

// receiveBuffer is in octets of the kernel's memory, about one KiB a message.
const receiveBuffer = 1 << 20

// newConn opens a socket that hears one ICMPv6 type once it is attached. The
// kernel computes the checksum of what is sent and drops what arrives with a
// wrong one, as it does on every raw ICMPv6 socket (RFC 3542, section 3.1).
func newConn(kind byte) (conn, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return nil, fmt.Errorf("open raw ICMPv6 socket: %w", err)
	}
	c := &rawConn{f: os.NewFile(uintptr(fd), "icmpv6"), kind: kind}
	if err := c.filter(fd, false); err != nil {
		c.f.Close()
		return nil, fmt.Errorf("set ICMPv6 filter: %w", err)
	}
	for _, o := range []struct{ option, value int }{
		{unix.IPV6_UNICAST_HOPS, hopLimit},
		{unix.IPV6_MULTICAST_HOPS, hopLimit},
		// This host must not configure itself by what it tells others.
		{unix.IPV6_MULTICAST_LOOP, 0},
		// RFC 6980: fail rather than send fragments.
		{unix.IPV6_DONTFRAG, 1},
		{unix.IPV6_RECVPKTINFO, 1},
		{unix.IPV6_RECVHOPLIMIT, 1},
		{unix.IPV6_RECVFRAGSIZE, 1},
	} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, o.option, o.value); err != nil {
			c.f.Close()
			return nil, fmt.Errorf("set IPv6 socket option %d to %d: %w", o.option, o.value, err)
		}
	}
	// Room for what all guests of a full bridge ask at once; what is more is lost,
	// and asked again. Only some may go beyond the system's limit.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			c.f.Close()
			return nil, fmt.Errorf("set receive buffer: %w", err)
		}
	}
	if c.raw, err = c.f.SyscallConn(); err != nil {
		c.f.Close()
		return nil, fmt.Errorf("use raw ICMPv6 socket: %w", err)
	}
	c.write = func(fd uintptr) { c.out.do(unix.SYS_SENDMSG, fd, unix.MSG_DONTWAIT) }
	c.read = func(fd uintptr) bool {
		c.in.prepare(len(c.in.oob))
		c.in.do(unix.SYS_RECVMSG, fd, 0)
		return c.in.errno != unix.EAGAIN
	}
	return c, nil
}

// filter lets one ICMPv6 type through, or none. A set bit blocks its type.
func (c *rawConn) filter(fd int, open bool) error {
	var f unix.ICMPv6Filter
	for i := range f.Data {
		f.Data[i] = ^uint32(0)
	}
	if open {
		f.Data[c.kind>>5] &^= 1 << (c.kind & 31)
		if c.reports {
			f.Data[typeReport>>5] &^= 1 << (typeReport & 31)
		}
	}
	return unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f)
}

// control runs fn with the socket's descriptor.
func (c *rawConn) control(fn func(fd int) error) error {
	var err error
	if cerr := c.raw.Control(func(fd uintptr) { err = fn(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

func (c *rawConn) attach(l Link) error {
	c.detach()
	err := c.control(func(fd int) error {
		// By index: the name may be another interface's by now.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, l.Index); err != nil {
			return fmt.Errorf("bind socket to interface %d: %w", l.Index, err)
		}
		c.index = l.Index
		if c.kind == typeSolicitation {
			// All routers (RFC 4291, section 2.7.1).
			if err := c.join(fd, 2); err != nil {
				return err
			}
		}
		if c.reports {
			if err := c.join(fd, reportGroup); err != nil {
				return err
			}
		}
		c.outOOB = 0
		if l.Address.IsValid() {
			c.outOOB = copy(c.out.oob[:], unix.PktInfo6(&unix.Inet6Pktinfo{Addr: l.Address.As16(), Ifindex: uint32(l.Index)}))
		}
		if err := c.filter(fd, true); err != nil {
			return fmt.Errorf("set ICMPv6 filter: %w", err)
		}
		return nil
	})
	if err != nil {
		c.detach()
	}
	return err
}

// reportGroup is the last octet of ff02::16, where MLDv2 reports go (RFC 3810,
// section 5.2.14).
const reportGroup = 0x16

// join enters ff02::LAST on the interface that the socket is attached to.
func (c *rawConn) join(fd int, last byte) error {
	group := unix.IPv6Mreq{Multiaddr: [16]byte{0: 0xff, 1: 2, 15: last}, Interface: uint32(c.index)}
	if err := unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &group); err != nil {
		return fmt.Errorf("join ff02::%x on interface %d: %w", last, c.index, err)
	}
	c.groups = append(c.groups, group)
	return nil
}

// leave leaves the groups for which drop says so. A membership outlives its
// interface, and their number is limited.
func (c *rawConn) leave(fd int, drop func(last byte) bool) {
	c.groups = slices.DeleteFunc(c.groups, func(g unix.IPv6Mreq) bool {
		if !drop(g.Multiaddr[15]) {
			return false
		}
		unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_LEAVE_GROUP, &g)
		return true
	})
}

func (c *rawConn) detach() {
	c.control(func(fd int) error {
		c.leave(fd, func(byte) bool { return true })
		return c.filter(fd, false)
	})
	c.index, c.groups = 0, nil
}

func (c *rawConn) greet(on bool) error {
	if on == c.reports {
		return nil
	}
	c.reports = on
	if c.index == 0 {
		return nil
	}
	return c.control(func(fd int) error {
		if !on {
			c.leave(fd, func(last byte) bool { return last == reportGroup })
		} else if err := c.join(fd, reportGroup); err != nil {
			return err
		}
		return c.filter(fd, true)
	})
}

func (c *rawConn) send(b []byte, to netip.Addr) error {
	c.out.b = b
	c.out.addr = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.As16(), Scope_id: uint32(c.index)}
	c.out.prepare(c.outOOB)
	err := c.raw.Control(c.write)
	c.out.b = nil
	if err == nil && c.out.errno != 0 {
		err = c.out.errno
	}
	if err != nil {
		return fmt.Errorf("send to %s on interface %d: %w", to, c.index, err)
	}
	return nil
}

func (c *rawConn) receive(b []byte, until time.Time) (packet, error) {
	if !c.known || !c.armed.Equal(until) {
		if err := c.f.SetReadDeadline(until); err != nil {
			return packet{}, fmt.Errorf("set read deadline: %w", err)
		}
		c.armed, c.known = until, true
	}
	if c.woken.Swap(false) {
		c.known = false
		return packet{}, errIdle
	}
	c.in.b = b
	err := c.raw.Read(c.read)
	c.in.b = nil
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.woken.Store(false)
		c.known = false // a wake may have moved it
		return packet{}, errIdle
	case err != nil:
		return packet{}, fmt.Errorf("wait for ICMPv6 message: %w", err)
	case c.in.errno == unix.EINTR:
		return packet{}, errIdle
	case c.in.errno != 0:
		return packet{}, fmt.Errorf("receive ICMPv6 message: %w", c.in.errno)
	}
	return c.in.packet(), nil
}

func (c *rawConn) wake() {
	c.woken.Store(true)
	// Fails only on a closed socket, where nobody waits.
	c.f.SetReadDeadline(time.Unix(1, 0))
}

func (c *rawConn) close() error { return c.f.Close() }
