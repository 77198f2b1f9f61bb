package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// raAsker solicits from the guest's own address and hears what comes to it: what
// is for others doesn't get that far.
type raAsker struct {
	fd  int
	to  unix.SockaddrInet6
	buf []byte
}

const (
	icmpSolicitation  = 133
	icmpAdvertisement = 134
)

// newAsker hears what is sent to the guest's own address and to all nodes: a
// multicast that was due anyway is an answer too (RFC 4861, section 6.2.6).
func (l *raLink) newAsker() (*raAsker, error) {
	a := &raAsker{buf: make([]byte, 1<<16)}
	a.to = unix.SockaddrInet6{Addr: netip.MustParseAddr("ff02::2").As16(), ZoneId: uint32(l.link.Attrs().Index)}
	err := l.guest.Do(func() (err error) {
		a.fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
		if err != nil {
			return fmt.Errorf("open ICMPv6 socket: %w", err)
		}
		var f unix.ICMPv6Filter
		for i := range f.Data {
			f.Data[i] = ^uint32(0)
		}
		f.Data[icmpAdvertisement>>5] &^= 1 << (icmpAdvertisement & 31)
		if err := unix.SetsockoptICMPv6Filter(a.fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f); err != nil {
			return fmt.Errorf("filter ICMPv6: %w", err)
		}
		for _, o := range []struct{ level, name, value int }{
			{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255}, {unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0},
			{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, l.link.Attrs().Index},
		} {
			if err := unix.SetsockoptInt(a.fd, o.level, o.name, o.value); err != nil {
				return fmt.Errorf("set socket option %d: %w", o.name, err)
			}
		}
		// From the link-local address, as a guest that has no other yet. Its
		// detection may take longer than that of the global one.
		own := &unix.SockaddrInet6{Addr: raLinkLocal(raMAC(0)).As16(), ZoneId: uint32(l.link.Attrs().Index)}
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if err = unix.Bind(a.fd, own); err == nil || time.Now().After(end) {
				return err
			}
		}
	})
	if err != nil {
		if a.fd > 0 {
			unix.Close(a.fd)
		}
		return nil, err
	}
	return a, nil
}

func (a *raAsker) close() { unix.Close(a.fd) }

// ask solicits once and waits for a second.
func (a *raAsker) ask() (took time.Duration, ok bool, err error) {
	begun := time.Now()
	if err := unix.Sendto(a.fd, []byte{icmpSolicitation, 0, 0, 0, 0, 0, 0, 0}, 0, &a.to); err != nil {
		return 0, false, fmt.Errorf("solicit: %w", err)
	}
	ok, err = a.hear(time.Second)
	return time.Since(begun), ok, err
}

// hear waits for an advertisement.
func (a *raAsker) hear(wait time.Duration) (bool, error) {
	p := []unix.PollFd{{Fd: int32(a.fd), Events: unix.POLLIN}}
	for end := time.Now().Add(wait); ; {
		// The runtime's own signals interrupt it.
		n, err := unix.Poll(p, max(0, int((time.Until(end)+time.Millisecond-1)/time.Millisecond)))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false, fmt.Errorf("wait for an answer: %w", err)
		}
		if n > 0 {
			break
		}
		if !time.Now().Before(end) {
			return false, nil
		}
	}
	if _, _, err := unix.Recvfrom(a.fd, a.buf, unix.MSG_DONTWAIT); err != nil {
		return false, nil
	}
	return true, nil
}

func (a *raAsker) drain() {
	for ok := true; ok; {
		ok, _ = a.hear(0)
	}
}

// raWire puts whole frames on the guest's link.
type raWire struct {
	fd int
	to unix.SockaddrLinklayer
}

func (l *raLink) newWire() (w raWire, err error) {
	w.to = unix.SockaddrLinklayer{Ifindex: l.link.Attrs().Index, Halen: 6}
	err = l.guest.Do(func() (err error) {
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return w, fmt.Errorf("open packet socket: %w", err)
	}
	return w, nil
}

// flood sends frames in turn at a rate until stop is closed.
func (w raWire) flood(frames [][]byte, rate int, stop <-chan struct{}) error {
	begun := time.Now()
	for sent := 0; ; {
		due := int(time.Since(begun).Seconds() * float64(rate))
		for ; sent < due; sent++ {
			if err := unix.Sendto(w.fd, frames[sent%len(frames)], 0, &w.to); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return fmt.Errorf("flood: %w", err)
			}
		}
		select {
		case <-stop:
			return nil
		case <-time.After(time.Millisecond):
		}
	}
}

// raSolicitation is an Ethernet frame with a router solicitation.
func raSolicitation(mac net.HardwareAddr, from netip.Addr, lla bool) []byte {
	src, dst := from.As16(), netip.MustParseAddr("ff02::2").As16()
	body := []byte{icmpSolicitation, 0, 0, 0, 0, 0, 0, 0}
	if lla {
		body = append(append(body, 1, 1), mac...)
	}
	// RFC 4443, section 2.3.
	pseudo := append(append(append([]byte(nil), src[:]...), dst[:]...), 0, 0, 0, byte(len(body)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	sum := uint32(0)
	for i, b := 0, append(pseudo, body...); i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(body[2:], ^uint16(sum))
	f := append([]byte{0x33, 0x33, 0, 0, 0, 2}, mac...)
	f = append(f, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(body)), unix.IPPROTO_ICMPV6, 255)
	return append(append(append(f, src[:]...), dst[:]...), body...)
}
