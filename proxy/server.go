package proxy

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sixhost/sixhost/internal/limit"
	"github.com/sixhost/sixhost/internal/netns"
)

// Server leads connections to guests.
type Server struct {
	cfg         Config
	http, tls   []*net.TCPListener
	home        *netns.Home
	routes      atomic.Pointer[routes]
	id          string // in loopHeader
	conns       *limit.Limiter[netip.Addr]
	helloMemory budget
	buffers     buffers
	requests    gate
	stats       counters
	ran         atomic.Bool
	hangUp      func() error // closes the listeners, once
}

// New opens the listeners in the calling goroutine's network namespace, from
// which guests will be dialled too. The caller calls Run or Close.
//
// It returns a [*plan.Refusal] for a configuration that can't be served, and
// otherwise the system's error: errors.Is(err, syscall.EADDRINUSE) where
// another server has the port, fs.ErrPermission for a port below 1024 without
// CAP_NET_BIND_SERVICE.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	table, err := newRoutes(cfg.Routes, cfg.Default)
	if err != nil {
		return nil, err
	}
	home, err := netns.NewHome()
	if err != nil {
		return nil, fmt.Errorf("hold the network namespace: %w", err)
	}
	var id [8]byte
	crand.Read(id[:]) // never fails
	s := &Server{
		cfg:   cfg,
		home:  home,
		id:    "sixhost-" + hex.EncodeToString(id[:]),
		conns: limit.New[netip.Addr](cfg.MaxConns, cfg.MaxConnsPerClient),
	}
	s.routes.Store(&table)
	s.helloMemory.left.Store(int64(cfg.HelloMemory))
	s.hangUp = sync.OnceValue(s.closeListeners)
	for _, group := range []struct {
		at   []netip.AddrPort
		into *[]*net.TCPListener
	}{{cfg.HTTP, &s.http}, {cfg.TLS, &s.tls}} {
		for _, at := range group.at {
			l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
			if err != nil {
				return nil, errors.Join(fmt.Errorf("listen on %s: %w", at, err), s.Close())
			}
			*group.into = append(*group.into, l)
		}
	}
	return s, nil
}

// HTTPAddrs returns the addresses served by HTTP, TLSAddrs those by TLS, in the
// order of the configuration.
func (s *Server) HTTPAddrs() []netip.AddrPort { return addrs(s.http) }

// TLSAddrs returns the addresses served by TLS; see HTTPAddrs.
func (s *Server) TLSAddrs() []netip.AddrPort { return addrs(s.tls) }

func addrs(listeners []*net.TCPListener) []netip.AddrPort {
	var all []netip.AddrPort
	for _, l := range listeners {
		all = append(all, l.Addr().(*net.TCPAddr).AddrPort())
	}
	return all
}

// Close closes the listeners. Run does it too; it is for a server that is not
// run.
func (s *Server) Close() error { return errors.Join(s.hangUp(), s.home.Close()) }

func (s *Server) closeListeners() error {
	var errs []error
	for _, l := range s.http {
		errs = append(errs, l.Close())
	}
	for _, l := range s.tls {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends, lets connections go on for the drain time, and
// returns nil with every goroutine ended and every socket closed. It returns
// an error if a listener fails for good. It can be called once.
func (s *Server) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return errors.New("proxy: Run was called before")
	}
	// base outlives ctx by the drain time.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	web, transport := s.newHTTP(base)

	var accepting, passing sync.WaitGroup
	failed := make(chan error, len(s.http)+len(s.tls))
	for _, l := range s.http {
		accepting.Go(func() {
			err := web.Serve(&listener{TCPListener: l, s: s, accepted: &s.stats.httpConns})
			if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				failed <- fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
			}
		})
	}
	for _, l := range s.tls {
		limited := &listener{TCPListener: l, s: s, accepted: &s.stats.tlsConns}
		accepting.Go(func() {
			err := limited.each(base, func(conn *net.TCPConn, leave func()) {
				passing.Go(func() {
					defer leave()
					s.passThrough(base, conn)
				})
			})
			if err != nil {
				failed <- fmt.Errorf("serve TLS on %s: %w", l.Addr(), err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.hangUp()
	drain, done := context.WithTimeout(base, s.cfg.DrainTimeout)
	defer done()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		web.Shutdown(drain)
		accepting.Wait()
		passing.Wait()
		s.requests.wait()
	}()
	select {
	case <-drained:
	case <-drain.Done():
	}
	cut()
	web.Close()
	s.requests.close()
	<-drained
	transport.CloseIdleConnections()
	return errors.Join(err, s.home.Close())
}

// listener accepts connections within the limits.
type listener struct {
	*net.TCPListener
	s        *Server
	accepted *atomic.Uint64
}

// acceptTCP returns the next connection that is within the limits, and what to
// call when it has ended.
func (l *listener) acceptTCP() (*net.TCPConn, func(), error) {
	for {
		conn, err := l.TCPListener.AcceptTCP()
		if err != nil {
			return nil, nil, err
		}
		l.accepted.Add(1)
		var client netip.Addr
		if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			client = a.AddrPort().Addr().Unmap().WithZone("")
		}
		if !l.s.conns.Enter(client) {
			l.s.stats.tooMany.Add(1)
			conn.Close()
			continue
		}
		return conn, sync.OnceFunc(func() { l.s.conns.Leave(client) }), nil
	}
}

// Accept implements net.Listener for the HTTP server, which waits a little by
// itself when descriptors run out.
func (l *listener) Accept() (net.Conn, error) {
	conn, leave, err := l.acceptTCP()
	if err != nil {
		return nil, err
	}
	return &limitedConn{conn, leave}, nil
}

// each hands every connection to serve until the listener is closed.
func (l *listener) each(ctx context.Context, serve func(conn *net.TCPConn, leave func())) error {
	for {
		conn, leave, err := l.acceptTCP()
		var ne net.Error
		switch {
		case err == nil:
			serve(conn, leave)
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.As(err, &ne) && temporary(ne):
			// Out of descriptors or memory: connections that end free some.
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(50 * time.Millisecond):
			}
		default:
			return err
		}
	}
}

// temporary reports whether accepting may work again. The method is deprecated
// as ill-defined in general; for accept(2) it is what net/http goes by.
func temporary(err any) bool {
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

// limitedConn tells when it is closed.
type limitedConn struct {
	*net.TCPConn
	leave func()
}

func (c *limitedConn) Close() error {
	c.leave()
	return c.TCPConn.Close()
}
