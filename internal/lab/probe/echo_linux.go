package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"github.com/sixhost/sixhost/internal/netns"
)

// EchoServer sends back what it is sent, for Sessions.
type EchoServer struct {
	listener net.Listener
}

// NewEchoServer listens in a namespace on an address; port 0 means any.
func NewEchoServer(ns *netns.NS, at netip.AddrPort) (*EchoServer, error) {
	var cfg net.ListenConfig
	cfg.SetMultipathTCP(false)
	s := &EchoServer{}
	err := in(ns, func() (err error) {
		s.listener, err = cfg.Listen(context.Background(), "tcp", at.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("echo server: %w", err)
	}
	return s, nil
}

// Addr returns where it listens.
func (s *EchoServer) Addr() netip.AddrPort { return addrPort(s.listener.Addr()) }

// Run serves until ctx ends, closes all connections and returns nil.
func (s *EchoServer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	for {
		c, err := s.listener.Accept()
		if outer.Err() != nil {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("echo server at %v: %w", s.Addr(), err)
		}
		wg.Go(func() {
			keepTime() // or its lateness would pass for the network's
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			_ = echoAll(c)
		})
	}
}

// Close ends a server that is not run.
func (s *EchoServer) Close() error { return s.listener.Close() }

func echoAll(c net.Conn) error {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			if _, err := c.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
