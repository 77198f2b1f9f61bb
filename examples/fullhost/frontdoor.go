package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sixhost/sixhost/proxy"
)

// frontDoor is the proxy's service. It stands open only while there are names to
// lead: until then the ports are the host's own.
type frontDoor struct {
	log     *slog.Logger
	changed chan struct{}

	mu   sync.Mutex
	host host
	// opened is the server that newFrontDoor made, until Run takes it over.
	opened *proxy.Server
}

// openDoorAgain is when a door that could not be opened is tried again.
const openDoorAgain = 5 * time.Second

// newFrontDoor opens the door where there are names already. That it can't be
// opened then is an error.
func newFrontDoor(h host, log *slog.Logger) (*frontDoor, error) {
	d := &frontDoor{log: log, changed: make(chan struct{}, 1), host: h}
	cfg, wanted := h.proxyConfig(log)
	if !wanted {
		return d, nil
	}
	var err error
	d.opened, err = proxy.New(cfg)
	return d, err
}

// follow leads to the guests that there are now.
func (d *frontDoor) follow(h host) {
	d.mu.Lock()
	d.host = h
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// door is a server that runs.
type door struct {
	server *proxy.Server
	close  context.CancelFunc
	ended  chan error
}

func runDoor(ctx context.Context, s *proxy.Server) *door {
	ctx, cancel := context.WithCancel(ctx)
	r := &door{s, cancel, make(chan error, 1)}
	go func() { r.ended <- s.Run(ctx) }()
	return r
}

// Run serves until ctx ends.
func (d *frontDoor) Run(ctx context.Context) error {
	var open *door
	if d.opened != nil {
		open = runDoor(ctx, d.opened)
	}
	said := ""
	for {
		d.mu.Lock()
		cfg, wanted := d.host.proxyConfig(d.log)
		d.mu.Unlock()
		var ended <-chan error
		var again <-chan time.Time
		switch {
		case !wanted && open != nil:
			open.close()
			if err := <-open.ended; err != nil || ctx.Err() != nil {
				return err
			}
			open = nil
			d.log.Info("no guest serves a name any more: the IPv4 front door is closed")
		case wanted && open == nil:
			s, err := proxy.New(cfg)
			if err != nil {
				// Those whom it would be for have come by themselves: no reason to stop
				// what else is served.
				if err.Error() != said {
					said = err.Error()
					d.log.Error("the IPv4 front door can't be opened for a guest that serves a name", "error", err)
				}
				again = time.After(openDoorAgain)
				break
			}
			said = ""
			open = runDoor(ctx, s)
			d.log.Info("a guest serves a name: the IPv4 front door is open")
		case wanted:
			if err := open.server.SetRoutes(cfg.Routes, cfg.Default); err != nil {
				d.log.Error("the IPv4 front door leads to the guests of before", "error", err)
			}
		}
		if open != nil {
			ended = open.ended
		}
		select {
		case <-ctx.Done():
			if open != nil {
				return <-open.ended
			}
			return nil
		case err := <-ended:
			open.close()
			return err
		case <-d.changed:
		case <-again:
		}
	}
}
