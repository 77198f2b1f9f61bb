package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func sessionOf(ctx context.Context, pid int) (Connection, error) {
	// Ancestors are few; a damaged /proc must not make it endless.
	for range 1000 {
		if pid <= 1 {
			return Connection{}, ErrNoSession
		}
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil && !errors.Is(err, os.ErrPermission) {
			return Connection{}, ErrNoSession // it has ended, and its parents are unknown
		}
		for kv := range bytes.SplitSeq(environ, []byte{0}) {
			value, ok := bytes.CutPrefix(kv, []byte("SSH_CONNECTION="))
			if !ok {
				continue
			}
			c, ok := parseSSHConnection(string(value))
			if !ok {
				return Connection{}, ErrNoSession
			}
			if _, err := established(ctx, c); errors.Is(err, errClosed) {
				return Connection{}, ErrNoSession
			} else if err != nil {
				return Connection{}, err
			}
			return c, nil
		}
		if pid, err = parentOf(pid); err != nil {
			return Connection{}, ErrNoSession
		}
	}
	return Connection{}, ErrNoSession
}

// parentOf reads the fourth field of /proc/PID/stat (proc(5)); the second, the
// name in parentheses, may hold any character.
func parentOf(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 2 {
		return 0, fmt.Errorf("/proc/%d/stat is cut off", pid)
	}
	return strconv.Atoi(string(f[1]))
}

var errClosed = errors.New("it is closed")

// tcpEstablished is TCP_ESTABLISHED of linux/tcp_states.h.
const tcpEstablished = 1

// established asks sock_diag(7) for a connection.
func established(ctx context.Context, c Connection) (*netlink.TCPInfo, error) {
	// A socket for both families has IPv4 connections under the mapped addresses.
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var list []*netlink.InetDiagTCPInfoResp
		var err error
		for range 10 {
			if list, err = netlink.SocketDiagTCPInfo(family); !errors.Is(err, netlink.ErrDumpInterrupted) {
				break
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		if err != nil {
			return nil, fmt.Errorf("list TCP connections: %w", err)
		}
		for _, s := range list {
			id := s.InetDiagMsg.ID
			if s.TCPInfo != nil && s.InetDiagMsg.State == tcpEstablished && same(id.Source, id.SourcePort, c.Local) && same(id.Destination, id.DestinationPort, c.Peer) {
				return s.TCPInfo, nil
			}
		}
	}
	return nil, errClosed
}

func same(ip []byte, port uint16, want netip.AddrPort) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && port == want.Port() && a.Unmap() == want.Addr().WithZone("")
}

// lookAgain is the time between two looks at a connection with something under
// way: above TCP's delayed acknowledgement (RFC 1122, 4.2.3.2: at most 500 ms;
// Linux takes 40 to 200).
const lookAgain = 250 * time.Millisecond

// tick is more than the kernel's clock of ages (100 to 1000 Hz) can be off.
const tick = 50 * time.Millisecond

// askSession looks until nothing waits for an acknowledgement, or the peer is
// seen to acknowledge.
func askSession(ctx context.Context, c Connection) error {
	start := time.Now()
	first, err := established(ctx, c)
	if err != nil {
		return err
	}
	for now := first; ; {
		heard := time.Duration(now.Last_ack_recv)*time.Millisecond+tick < time.Since(start)
		switch {
		case now.Bytes_acked != first.Bytes_acked:
			return nil
		case now.Unacked == 0 && now.Notsent_bytes == 0:
			return nil
		case now.Unacked == 0 && heard:
			return nil // it acknowledges, and has no room: somebody has stopped the output
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("what was sent is not acknowledged (%d segments, and %d octets not sent yet); the last acknowledgement came %d ms ago", now.Unacked, now.Notsent_bytes, now.Last_ack_recv)
		case <-time.After(lookAgain):
		}
		if now, err = established(ctx, c); err != nil {
			return err
		}
	}
}
