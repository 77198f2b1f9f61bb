package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"syscall"

	"github.com/sixhost/sixhost/ra"
)

// advertiser is the router advertisements' service: a server that knows how it
// ends, and the watch of the default route it asks.
type advertiser struct {
	*ra.Server
	uplink *ra.DefaultRoute
}

// restartSignal ends run as SIGTERM does, but for the guests, who keep their
// routes and name servers because the next run is about to begin. In a unit it is
// RestartKillSignal=.
const restartSignal = syscall.SIGUSR2

func newAdvertiser(h host, log *slog.Logger) (*advertiser, error) {
	up, err := ra.NewDefaultRoute()
	if err != nil {
		return nil, err
	}
	cfg := h.raConfig(log)
	cfg.Uplink = up
	s, err := ra.New(cfg)
	if err != nil {
		return nil, errors.Join(err, up.Close())
	}
	return &advertiser{s, up}, nil
}

// Run advertises until ctx ends. Who tells run to end ends the host's being a
// router. Anything else that ends it, another service's failure or a change
// that wants a new start, is followed by the service manager's next start, and
// guests keep what they have until then.
func (a *advertiser) Run(ctx context.Context) error {
	defer a.uplink.Close()
	defer context.AfterFunc(ctx, func() {
		var told signalError
		if errors.As(context.Cause(ctx), &told) && told.Signal != restartSignal {
			a.Stop()
			return
		}
		a.Handover()
	})()
	return a.Server.Run(context.WithoutCancel(ctx))
}

// advertise puts the configuration of a host that was changed in place.
func (a *advertiser) advertise(h host) error {
	if err := a.Update(h.raConfig(nil)); err != nil {
		return fmt.Errorf("router advertisements: %w", err)
	}
	return nil
}

// raState is where the advertiser remembers what guests were told.
func (h host) raState() string {
	return filepath.Join(h.config.StateDir, "ra-"+h.bridgeName+".json")
}

// withoutAdvertised is the host as all services but the advertiser see it, which
// takes changes of the rest while it runs.
func (h host) withoutAdvertised() host {
	h.config.DNS.Domain = ""
	h.config.RA = raFile{}
	return h
}

// advertiseBy has the keeper tell the advertiser of changes.
func (k *keeper) advertiseBy(services []namedService) {
	for _, s := range services {
		if a, ok := s.run.(*advertiser); ok {
			k.adv = a
		}
	}
}
