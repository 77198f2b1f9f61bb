package lab

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/miekg/dns"
)

// services are what runs in the lab's own process, until stop.
type services struct {
	log *slog.Logger
	wg  sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	stops   []func()
}

var errStopped = errors.New("the lab has ended")

// add runs a service. end makes run return, and may be called before it runs.
func (s *services) add(what string, run func() error, end func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		end()
		return errStopped
	}
	s.stops = append(s.stops, end)
	s.wg.Go(func() {
		if err := run(); err != nil {
			s.log.Error("service ended", "service", what, "err", err)
		}
	})
	return nil
}

// stop ends all services and waits for them. Only the first call does.
func (s *services) stop() {
	s.mu.Lock()
	stops := s.stops
	s.stopped, s.stops = true, nil
	s.mu.Unlock()
	for i := len(stops) - 1; i >= 0; i-- {
		stops[i]()
	}
	s.wg.Wait()
}

// run runs a service that ends with its context.
func (s *services) run(what string, run func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	return s.add(what, func() error {
		defer cancel()
		return run(ctx)
	}, cancel)
}

// http serves a web server on a listener.
func (s *services) http(what string, server *http.Server, l net.Listener) error {
	return s.add(what, func() error { return serveHTTP(func() error { return server.Serve(l) }) }, func() {
		server.Close()
		l.Close() // where Serve had not got it yet
	})
}

// dnsUDP answers questions on a packet socket.
func (s *services) dnsUDP(what string, z *zone, c net.PacketConn) error {
	return s.dns(what, &dns.Server{PacketConn: c, Handler: z, UDPSize: 4096}, c)
}

// dnsTCP answers questions on a listener.
func (s *services) dnsTCP(what string, z *zone, l net.Listener) error {
	return s.dns(what, &dns.Server{Listener: l, Handler: z}, l)
}

func (s *services) dns(what string, server *dns.Server, socket io.Closer) error {
	return s.add(what, func() error {
		if err := server.ActivateAndServe(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}, func() {
		socket.Close()
		server.Shutdown()
	})
}
