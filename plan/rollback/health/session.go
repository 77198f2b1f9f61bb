package health

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Connection is a TCP connection of this host.
type Connection struct {
	Local, Peer netip.AddrPort
}

// String returns "the peer's address and port".
func (c Connection) String() string { return c.Peer.String() }

// Session checks that a TCP connection is established and that the peer
// acknowledges what it is sent. Whoever runs it should have printed something to
// the session just before, or nothing is sent.
func Session(c Connection) Check {
	return Check{
		Name: fmt.Sprintf("the session with %s is there", c.Peer),
		Run:  func(ctx context.Context) error { return askSession(ctx, c) },
	}
}

// ErrNoSession means that a process belongs to no session over the network that
// could be found.
var ErrNoSession = errors.New("no session over the network found")

// SessionOf finds the SSH connection that a process was started from: of the
// nearest of its ancestors that has SSH_CONNECTION in its environment, as sudo
// drops it. A connection that is closed already (that of a terminal multiplexer's
// first login) counts for none. The error matches [ErrNoSession] if there is
// none.
func SessionOf(ctx context.Context, pid int) (Connection, error) {
	c, err := sessionOf(ctx, pid)
	if err != nil {
		return Connection{}, fmt.Errorf("find the session of process %d: %w", pid, err)
	}
	return c, nil
}

// parseSSHConnection reads what sshd(8) sets: the client's address and port,
// the server's address and port, by spaces.
func parseSSHConnection(s string) (Connection, bool) {
	f := strings.Fields(s)
	if len(f) != 4 {
		return Connection{}, false
	}
	end := func(addr, port string) (netip.AddrPort, bool) {
		a, err := netip.ParseAddr(addr)
		p, perr := strconv.ParseUint(port, 10, 16)
		return netip.AddrPortFrom(a.Unmap(), uint16(p)), err == nil && perr == nil && p != 0
	}
	peer, ok := end(f[0], f[1])
	local, ok2 := end(f[2], f[3])
	return Connection{Local: local, Peer: peer}, ok && ok2
}
