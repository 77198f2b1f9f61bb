package dns64

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// perConn bounds the queries of one TCP connection that are worked on at the
// same time; the next one is read when one is answered.
const perConn = 16

// serveTCP accepts connections until the listener is closed.
func (s *Server) serveTCP(l net.Listener) error {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed) || err != nil && s.ctx.Err() != nil:
			return nil
		case err != nil && isFatal(err):
			return err
		case err != nil:
			// Out of descriptors or memory: connections that end will free some.
			select {
			case <-s.ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		var addr netip.Addr
		if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			addr = addrOnly(a.AddrPort())
		}
		if !s.allowed(addr) {
			s.stats.strangers.Add(1)
			conn.Close()
			continue
		}
		client := s.clientOf(addr)
		switch {
		case !s.conns.Enter(client):
			s.stats.dropped.Add(1)
			conn.Close()
		default:
			s.background(func(ctx context.Context) {
				defer s.conns.Leave(client)
				s.serveConn(ctx, conn, addr, client)
			})
		}
	}
}

// serveConn answers the queries of one connection, in the order in which the
// answers come in (RFC 7766, 6.2.1.1).
func (s *Server) serveConn(ctx context.Context, conn net.Conn, addr netip.Addr, client client) {
	var wg sync.WaitGroup
	defer conn.Close()
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()

	var mu sync.Mutex // of writes
	write := func(reply []byte) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		conn.SetWriteDeadline(time.Now().Add(s.cfg.IdleTimeout))
		if _, err := conn.Write(frame(reply)); err != nil {
			conn.Close() // ends the reader too
		}
	}
	slots := make(chan struct{}, perConn)
	in := bufio.NewReader(conn)
	for ctx.Err() == nil {
		conn.SetReadDeadline(time.Now().Add(s.cfg.IdleTimeout))
		if ctx.Err() != nil {
			return // its deadline was just overwritten
		}
		raw, err := readFrame(in)
		if err != nil {
			return
		}
		s.stats.tcpQueries.Add(1)
		q, reply, ok := understand(raw, false)
		if !ok {
			s.stats.malformed.Add(1)
			if reply == nil {
				return
			}
			write(reply)
			continue
		}
		q.key.plain = s.plain(addr)
		if reply, done := s.quick(q, nil); done {
			write(reply)
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if !s.queries.Enter(client) {
			s.stats.dropped.Add(1)
			return
		}
		wg.Go(func() {
			defer func() { <-slots }()
			reply := s.slow(ctx, q, nil)
			s.queries.Leave(client)
			if reply != nil {
				write(reply)
			}
		})
	}
}
