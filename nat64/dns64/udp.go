package dns64

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
)

// serveUDP reads queries until the socket is closed. What can be answered at
// once is; the rest goes to a goroutine each, as many as the limits allow.
func (s *Server) serveUDP(conn net.PacketConn) error {
	in := make([]byte, 4096) // no query is longer; the rest of one would be malformed
	out := make([]byte, 0, 4096)
	for {
		n, from, err := readFrom(conn, in)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil && s.ctx.Err() != nil:
			return nil
		case err != nil:
			var ne net.Error
			if errors.As(err, &ne) && !ne.Timeout() && !isFatal(err) {
				continue // an ICMP error about an earlier answer
			}
			return err
		}
		addr := addrOnly(from)
		if !s.allowed(addr) {
			s.stats.strangers.Add(1)
			continue
		}
		s.stats.udpQueries.Add(1)
		q, reply, ok := understand(in[:n], true)
		if !ok {
			s.stats.malformed.Add(1)
			if reply != nil {
				writeTo(conn, reply, from)
			}
			continue
		}
		q.key.plain = s.plain(addr)
		if reply, done := s.quick(q, out[:0]); done {
			writeTo(conn, reply, from)
			continue
		}
		client := s.clientOf(addr)
		if !s.queries.Enter(client) {
			s.stats.dropped.Add(1)
			continue
		}
		q.raw = slices.Clone(q.raw)
		q.reply.Query = q.raw
		s.background(func(ctx context.Context) {
			reply := s.slow(ctx, q, nil)
			s.queries.Leave(client) // before it hears of it and asks the next
			if reply != nil {
				writeTo(conn, reply, from)
			}
		})
	}
}

// readFrom avoids the allocation of a net.Addr where it can.
func readFrom(conn net.PacketConn, b []byte) (int, netip.AddrPort, error) {
	if u, ok := conn.(*net.UDPConn); ok {
		return u.ReadFromUDPAddrPort(b)
	}
	n, from, err := conn.ReadFrom(b)
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	u, ok := from.(*net.UDPAddr)
	if !ok {
		return 0, netip.AddrPort{}, errors.New("packet connection does not deliver UDP addresses")
	}
	return n, u.AddrPort(), nil
}

// writeTo sends a reply; one that can't be sent is a reply that got lost.
func writeTo(conn net.PacketConn, b []byte, to netip.AddrPort) {
	if u, ok := conn.(*net.UDPConn); ok {
		u.WriteToUDPAddrPort(b, to)
		return
	}
	conn.WriteTo(b, net.UDPAddrFromAddrPort(to))
}
