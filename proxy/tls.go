package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// budget is memory that all waiting connections share.
type budget struct {
	left atomic.Int64
}

func (b *budget) take(n int) bool {
	if b.left.Add(-int64(n)) < 0 {
		b.left.Add(int64(n))
		return false
	}
	return true
}

func (b *budget) give(n int) { b.left.Add(int64(n)) }

var (
	errHelloMemory = errors.New("no memory left for another ClientHello")
	errSilence     = errors.New("no complete ClientHello in time")
)

// readHello reads until the ClientHello is complete and returns the name in it
// and all bytes read. The caller gives len of the returned memory back.
func (s *Server) readHello(conn net.Conn) (name string, received []byte, err error) {
	const first, step = 2 << 10, 8 << 10 // most fit the first
	conn.SetReadDeadline(time.Now().Add(s.cfg.HelloTimeout))
	var h hello
	size := 0
	for {
		if len(received) == size {
			grow := step
			if size == 0 {
				grow = first
			}
			if !s.helloMemory.take(grow) {
				return "", received[:0:size], errHelloMemory
			}
			size += grow
			received = append(make([]byte, 0, size), received...)
		}
		n, err := conn.Read(received[len(received):size])
		received = received[:len(received)+n]
		if n > 0 {
			complete, err := h.next(received)
			if err != nil {
				return "", received, err
			}
			if complete {
				name, err := serverName(message(received))
				return name, received, err
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "", received, errSilence
		}
		if err != nil {
			return "", received, err
		}
	}
}

// passThrough leads one TLS connection to its guest.
func (s *Server) passThrough(ctx context.Context, client *net.TCPConn) {
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { client.Close() })
	name, received, err := s.readHello(client)
	giveBack := cap(received)
	defer func() { s.helloMemory.give(giveBack) }()
	if err != nil {
		s.helloFailed(client, err)
		return
	}
	route, ok := s.routes.Load().lookup(name)
	if !ok {
		s.stats.unknownName.Add(1)
		s.refuseTLS(client, alertUnrecognizedName)
		return
	}
	guest, err := s.dial(ctx, route.tls())
	if err != nil {
		s.stats.unreachable.Add(1)
		s.cfg.Logger.Warn("guest can't be reached", "name", name, "guest", route.tls(), "error", err)
		s.refuseTLS(client, alertInternalError)
		return
	}
	defer guest.Close()
	guest.SetWriteDeadline(time.Now().Add(s.cfg.DialTimeout))
	n, err := guest.Write(received)
	s.stats.bytesToGuests.Add(uint64(n))
	if err != nil {
		s.stats.unreachable.Add(1)
		s.refuseTLS(client, alertInternalError)
		return
	}
	s.helloMemory.give(giveBack)
	giveBack, received = 0, nil
	stop()
	s.relay(ctx, client, guest)
}

func (s *Server) helloFailed(client *net.TCPConn, err error) {
	var he *helloError
	switch {
	case errors.Is(err, errHelloMemory):
		s.stats.tooMany.Add(1)
	case errors.Is(err, errSilence):
		s.stats.helloTimeout.Add(1)
	case errors.As(err, &he):
		s.stats.badHello.Add(1)
		if he.alert != 0 {
			s.refuseTLS(client, he.alert)
		}
	default:
		s.stats.badHello.Add(1) // the client went away
	}
}

// refuseTLS sends an alert and lets the client read it: a close with data
// unread would reset the connection and may take the alert with it.
func (s *Server) refuseTLS(client *net.TCPConn, alert byte) {
	client.SetDeadline(time.Now().Add(time.Second))
	if _, err := client.Write(alertRecord(alert)); err != nil {
		return
	}
	if err := client.CloseWrite(); err != nil {
		return
	}
	rest := s.buffers.take()
	defer s.buffers.give(rest)
	for range maxHelloRecords / bufferSize {
		if _, err := client.Read(rest[:]); err != nil {
			return
		}
	}
}

// dial connects to a guest in the proxy's own namespace.
func (s *Server) dial(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DialTimeout)
	defer cancel()
	var conn net.Conn
	err := s.home.Do(func() error {
		var d net.Dialer
		var err error
		conn, err = d.DialContext(ctx, "tcp", to.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}
