package ra

import (
	"net/netip"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// exchange is one sendmsg or recvmsg, with all that the kernel is handed in one
// place that is used again. The functions of x/sys allocate an address for each.
type exchange struct {
	b     []byte
	addr  unix.RawSockaddrInet6
	oob   [256]byte
	iov   unix.Iovec
	hdr   unix.Msghdr
	n     int
	errno unix.Errno
}

// prepare points the header at b, addr and the first octets of oob.
func (e *exchange) prepare(oob int) {
	e.iov = unix.Iovec{}
	if len(e.b) > 0 {
		e.iov.Base = &e.b[0]
	}
	e.iov.SetLen(len(e.b))
	e.hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&e.addr)), Namelen: unix.SizeofSockaddrInet6, Iov: &e.iov}
	e.hdr.SetIovlen(1)
	if oob > 0 {
		e.hdr.Control = &e.oob[0]
		e.hdr.SetControllen(oob)
	}
}

// do makes the call. The socket doesn't block.
func (e *exchange) do(call, fd uintptr, flags uintptr) {
	n, _, errno := unix.RawSyscall(call, fd, uintptr(unsafe.Pointer(&e.hdr)), flags)
	runtime.KeepAlive(e)
	e.n, e.errno = int(n), errno
}

// packet is what was received.
func (e *exchange) packet() packet {
	p := packet{n: e.n, hopLimit: -1, truncated: e.hdr.Flags&unix.MSG_TRUNC != 0}
	if e.hdr.Namelen >= unix.SizeofSockaddrInet6 && e.addr.Family == unix.AF_INET6 {
		p.from = netip.AddrFrom16(e.addr.Addr)
	}
	for rest := e.oob[:e.hdr.Controllen]; len(rest) >= unix.SizeofCmsghdr; {
		h, data, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			break
		}
		rest = next
		if h.Level != unix.IPPROTO_IPV6 {
			continue
		}
		switch h.Type {
		case unix.IPV6_HOPLIMIT:
			if len(data) >= 4 {
				p.hopLimit = int(nativeInt32(data))
			}
		case unix.IPV6_PKTINFO:
			if len(data) >= unix.SizeofInet6Pktinfo {
				p.index = int(nativeInt32(data[16:]))
			}
		case unix.IPV6_RECVFRAGSIZE:
			p.fragmented = true
		}
	}
	return p
}
