package dns64

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/sixhost/sixhost/internal/dnsmsg"
	"github.com/sixhost/sixhost/internal/limit"
	"github.com/sixhost/sixhost/internal/netns"
)

// Server answers the questions of its clients.
type Server struct {
	cfg      Config
	udp      []net.PacketConn
	tcp      []net.Listener
	home     *netns.Home
	resolver *resolver
	queries  *limit.Limiter[client]
	conns    *limit.Limiter[client]
	stats    counters
	ran      atomic.Bool
	// hangUp closes the sockets, once.
	hangUp func() error

	// Of Run; set before the first goroutine starts.
	ctx context.Context
	wg  sync.WaitGroup
}

// New opens the sockets in the calling goroutine's network namespace, in which
// upstreams will be asked too. From then on queries are queued; Run answers
// them. The caller calls Run or Close.
//
// It returns a [*plan.Refusal] for a configuration that can't be served, and
// otherwise the system's error: errors.Is(err, syscall.EADDRINUSE) where
// another server has the port, syscall.EADDRNOTAVAIL where the host does not
// have the address, fs.ErrPermission for a port below 1024 without
// CAP_NET_BIND_SERVICE.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	store, err := newCache(cfg.CacheBytes)
	if err != nil {
		return nil, err
	}
	home, err := netns.NewHome()
	if err != nil {
		return nil, fmt.Errorf("hold the network namespace: %w", err)
	}
	s := &Server{
		cfg:     cfg,
		home:    home,
		udp:     append([]net.PacketConn(nil), cfg.PacketConns...),
		tcp:     append([]net.Listener(nil), cfg.Listeners...),
		queries: limit.New[client](cfg.MaxQueries, cfg.MaxQueriesPerClient),
		conns:   limit.New[client](cfg.MaxConns, cfg.MaxConnsPerClient),
	}
	s.hangUp = sync.OnceValue(s.closeSockets)
	for _, at := range cfg.Listen {
		if err := s.listen(at); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	up := &upstreams{
		exchange: func(ctx context.Context, to netip.AddrPort, q question) (*dnsmsg.Msg, error) {
			return exchange(ctx, s.dial, to, q)
		},
		background: s.background,
		log:        cfg.Logger,
		stats:      &s.stats,
	}
	for _, a := range cfg.Upstreams {
		up.all = append(up.all, &upstream{addr: a})
	}
	s.resolver = &resolver{
		rules:       rules{prefix: cfg.Prefix, exclude: cfg.Exclude, special: cfg.Special},
		cache:       store,
		up:          up,
		timeout:     cfg.Timeout,
		aaaaTimeout: cfg.AAAATimeout,
		stats:       &s.stats,
		background:  s.background,
		flights:     make(map[key]*flight),
	}
	if err := s.SetHosts(cfg.Hosts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// listen opens the UDP and the TCP socket of one address.
func (s *Server) listen(at netip.AddrPort) error {
	const tries = 8 // for a port that is free for UDP and taken for TCP
	for try := 0; ; try++ {
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return fmt.Errorf("listen on %s: %w", at, err)
		}
		chosen := netip.AddrPortFrom(at.Addr(), uint16(u.LocalAddr().(*net.UDPAddr).Port))
		t, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(chosen))
		if err != nil {
			u.Close()
			if at.Port() == 0 && try < tries {
				continue
			}
			return fmt.Errorf("listen on %s: %w", chosen, err)
		}
		s.udp = append(s.udp, u)
		s.tcp = append(s.tcp, t)
		return nil
	}
}

// Addrs returns the addresses served by UDP, those given as PacketConns first.
func (s *Server) Addrs() []netip.AddrPort {
	var all []netip.AddrPort
	for _, c := range s.udp {
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
			all = append(all, a.AddrPort())
		}
	}
	return all
}

// Close closes the sockets. Run does it too; it is for a server that is not
// run.
func (s *Server) Close() error {
	return errors.Join(s.hangUp(), s.home.Close())
}

func (s *Server) closeSockets() error {
	var errs []error
	for _, c := range s.udp {
		errs = append(errs, c.Close())
	}
	for _, l := range s.tcp {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Run answers queries until ctx ends, and returns nil then, with every
// goroutine ended and every socket closed. It returns an error if a socket
// fails for good. It can be called once.
func (s *Server) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return errors.New("dns64: Run was called before")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.ctx = ctx
	failed := make(chan error, len(s.udp)+len(s.tcp))
	for _, c := range s.udp {
		s.wg.Go(func() {
			if err := s.serveUDP(c); err != nil {
				failed <- fmt.Errorf("serve %s by UDP: %w", c.LocalAddr(), err)
			}
		})
	}
	for _, l := range s.tcp {
		s.wg.Go(func() {
			if err := s.serveTCP(l); err != nil {
				failed <- fmt.Errorf("serve %s by TCP: %w", l.Addr(), err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	s.hangUp() // this is what ends the readers
	s.wg.Wait()
	return errors.Join(err, s.home.Close())
}

// background runs fn on a goroutine that Run waits for. It is called only from
// such goroutines.
func (s *Server) background(fn func(context.Context)) {
	s.wg.Go(func() { fn(s.ctx) })
}

// dial opens a socket to an upstream in the server's own namespace.
func (s *Server) dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	var conn net.Conn
	err := s.home.Do(func() (err error) {
		if network == "udp" {
			// Connecting sends nothing, so there is nothing to wait for.
			conn, err = net.DialUDP(network, nil, net.UDPAddrFromAddrPort(to))
			return err
		}
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, to.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reach upstream: %w", err)
	}
	return conn, nil
}

// plain reports whether nothing is synthesised for a client.
func (s *Server) plain(a netip.Addr) bool { return contains(s.cfg.NoSynthesis, a) }

// allowed reports whether an address is a client's.
func (s *Server) allowed(a netip.Addr) bool { return contains(s.cfg.Clients, a) }

// client is whom the limits count something for: an address, or where there is
// somebody to ask who is behind it, that name.
type client struct {
	addr netip.Addr
	id   string
}

func (s *Server) clientOf(a netip.Addr) client {
	if s.cfg.ClientID == nil {
		return client{addr: a}
	}
	return client{id: s.cfg.ClientID(a)}
}
