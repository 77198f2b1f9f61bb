package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
)

// again is how often a question is repeated while nothing comes back.
const again = time.Second

// TryTCP tries to connect and tells what came back within wait.
func TryTCP(ctx context.Context, ns *netns.NS, to netip.AddrPort, wait time.Duration) Attempt {
	a := newAttempt("TCP", to.String())
	fd, err := open(ns, unix.SOCK_STREAM, 0, to)
	if err != nil {
		return a.unsent(err)
	}
	defer unix.Close(fd)
	return a.wait(ctx, fd, unix.POLLOUT, wait, nil, func() (string, bool, error) {
		no, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil {
			return "", false, err
		}
		if no != 0 {
			return "", false, unix.Errno(no)
		}
		return "connected", true, nil
	})
}

// TryDNS asks a DNS server over UDP and tells what came back within wait. A
// response with whatever code is an answer; Attempt.RCode is that code.
func TryDNS(ctx context.Context, ns *netns.NS, server netip.AddrPort, name string, qtype uint16, wait time.Duration) Attempt {
	a := newAttempt("DNS", server.String())
	id := uint16(rand.Uint32())
	q, err := packQuery(id, name, qtype)
	if err != nil {
		return a.unsent(err)
	}
	fd, err := open(ns, unix.SOCK_DGRAM, 0, server)
	if err != nil {
		return a.unsent(err)
	}
	defer unix.Close(fd)
	buf := make([]byte, 65535)
	var answer Answer
	a = a.wait(ctx, fd, unix.POLLIN, wait, q, func() (string, bool, error) {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return "", false, err
		}
		if answer, err = parseAnswer(buf[:n], id, name, qtype); errors.Is(err, errOther) {
			return "", false, nil
		} else if err != nil {
			return "malformed response: " + err.Error(), true, nil
		}
		return fmt.Sprintf("response code %d, %d records", answer.RCode, len(answer.Records)), true, nil
	})
	a.RCode = answer.RCode
	return a
}

// TryPing sends echo requests and tells what came back within wait.
func TryPing(ctx context.Context, ns *netns.NS, to netip.Addr, wait time.Duration) Attempt {
	to = to.Unmap()
	a := newAttempt("ping", to.String())
	fd, err := open(ns, unix.SOCK_RAW, icmpProto(to.Is6()), netip.AddrPortFrom(to, 0))
	if err != nil {
		return a.unsent(err)
	}
	defer unix.Close(fd)
	e := echo{id: uint16(rand.Uint32()), cookie: rand.Uint64()}
	if err := filterEcho(fd, e.id, to.Is6()); err != nil {
		return a.unsent(err)
	}
	buf := make([]byte, 2048)
	return a.wait(ctx, fd, unix.POLLIN, wait, packEcho(nil, e, to.Is6()), func() (string, bool, error) {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return "", false, err
		}
		got, ok := parseEcho(buf[:n], to.Is6())
		return "echo reply", ok && got == e, nil
	})
}

// wait sends a question, repeats it, and waits for events on the socket until
// look finds an answer, an error came, or the time is over.
func (a Attempt) wait(ctx context.Context, fd int, events int16, wait time.Duration, question []byte, look func() (string, bool, error)) Attempt {
	start := time.Now()
	end := start.Add(wait)
	var next time.Time
	local := localAddr(fd)
	for {
		if question != nil && !time.Now().Before(next) {
			if _, err := unix.Write(fd, question); err != nil && !errors.Is(err, unix.EAGAIN) {
				return a.failed(err, drainErrors(fd), local, time.Since(start), next.IsZero())
			}
			next = time.Now().Add(again)
		}
		if ctx.Err() != nil || !time.Now().Before(end) {
			a.Outcome, a.Err, a.Took = Silent, ErrNoAnswer, time.Since(start)
			return a
		}
		// Short, so that ctx is seen to end.
		const piece = 50
		fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
		ms := min(piece, int(time.Until(end).Milliseconds())+1)
		if n, err := unix.Poll(fds, ms); n == 0 || err != nil {
			continue
		}
		// First the queue, which says who refused; reading it takes the error
		// off the socket.
		if q := drainErrors(fd); len(q) > 0 {
			return a.failed(q[0].errno, q, local, time.Since(start), false)
		}
		detail, ok, err := look()
		switch {
		case errors.Is(err, unix.ETIMEDOUT):
			a.Outcome, a.Err, a.Took = Silent, fmt.Errorf("%w: %w", ErrNoAnswer, err), time.Since(start)
			return a
		case err != nil && !errors.Is(err, unix.EAGAIN):
			return a.failed(err, drainErrors(fd), local, time.Since(start), false)
		case ok:
			a.Outcome, a.Detail, a.Took = Answered, detail, time.Since(start)
			return a
		}
	}
}

// failed sorts an error: one of our own kernel's means that nothing was sent.
func (a Attempt) failed(err error, queue []queued, local netip.Addr, took time.Duration, first bool) Attempt {
	a.Took = took
	for _, q := range queue {
		// Our own kernel also reports neighbours that don't answer, as ICMP
		// from our own address.
		if q.local || q.by == local {
			a.Outcome, a.Err = Unsent, fmt.Errorf("%w: %w", ErrUnsent, q.errno)
			return a
		}
		a.By, a.Detail = q.by, q.what
	}
	if first && len(queue) == 0 {
		a.Outcome, a.Err = Unsent, fmt.Errorf("%w: %w", ErrUnsent, err)
		return a
	}
	a.Outcome, a.Err = RefusedBy, fmt.Errorf("%w: %w", ErrRefused, err)
	return a
}

// queued is an entry of a socket's error queue.
type queued struct {
	errno unix.Errno
	local bool // found by our own kernel
	by    netip.Addr
	what  string
}

// drainErrors reads the error queue (ip(7), IP_RECVERR).
func drainErrors(fd int) []queued {
	var all []queued
	buf, oob := make([]byte, 512), make([]byte, 512)
	for {
		_, n, _, _, err := unix.Recvmsg(fd, buf, oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return all
		}
		messages, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil {
			continue
		}
		for _, m := range messages {
			if q, ok := parseQueued(m); ok {
				all = append(all, q)
			}
		}
	}
}

func parseQueued(m unix.SocketControlMessage) (queued, bool) {
	six := m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_RECVERR
	four := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVERR
	const size = 16 // struct sock_extended_err, the offender's address behind it
	if !six && !four || len(m.Data) < size {
		return queued{}, false
	}
	origin, typ, code := m.Data[4], m.Data[5], m.Data[6]
	q := queued{
		errno: unix.Errno(binary.NativeEndian.Uint32(m.Data)),
		local: origin == unix.SO_EE_ORIGIN_LOCAL,
		what:  fmt.Sprintf("ICMP type %d code %d", typ, code),
	}
	switch sa := m.Data[size:]; {
	case len(sa) >= 24 && binary.NativeEndian.Uint16(sa) == unix.AF_INET6:
		q.by = netip.AddrFrom16([16]byte(sa[8:24]))
		q.what = fmt.Sprintf("ICMPv6 type %d code %d", typ, code)
	case len(sa) >= 8 && binary.NativeEndian.Uint16(sa) == unix.AF_INET:
		q.by = netip.AddrFrom4([4]byte(sa[4:8]))
	}
	return q, true
}
