package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sixhost/sixhost/ra"
)

// advertiser is the router advertisements' service: a server that knows how it
// ends, and the watch of the default route it asks.
type advertiser struct {
	*ra.Server
	uplink *ra.DefaultRoute
	// root is the context that a signal ends. That which Run is given ends for other
	// reasons too, and of two at once either may be its cause.
	root context.Context
}

// restartSignal ends run as SIGTERM does, but for the guests, who keep their
// routes and name servers because the next run is about to begin. In a unit it is
// RestartKillSignal=.
const restartSignal = syscall.SIGUSR2

// reloadSignal has run read the file again for what it may change while it
// serves, which is what the advertiser says. In a unit it is ExecReload=.
const reloadSignal = syscall.SIGUSR1

// reloader reads the file again when it is told to.
type reloader struct {
	host    host
	adv     *advertiser
	log     *slog.Logger
	signals chan os.Signal
}

// newReloader takes the signal over at once: from then on it ends nothing.
func newReloader(h host, adv *advertiser, log *slog.Logger) *reloader {
	r := &reloader{h, adv, log, make(chan os.Signal, 1)}
	signal.Notify(r.signals, reloadSignal)
	return r
}

// Run waits for the signal until ctx ends.
func (r *reloader) Run(ctx context.Context) error {
	defer signal.Stop(r.signals)
	for {
		select {
		case <-r.signals:
			if err := r.reload(ctx); err != nil {
				r.log.Error("the file was read again and changes nothing", "error", err)
				continue
			}
			r.log.Info("the file was read again")
		case <-ctx.Done():
			return nil
		}
	}
}

// reload refuses what wants more than another advertisement.
func (r *reloader) reload(ctx context.Context) error {
	c, err := loadConfig(r.host.config.path)
	if err != nil {
		return err
	}
	ch, err := prepare(ctx, c)
	if err != nil {
		return err
	}
	if !sameServices(r.host, ch.host) {
		return errors.New("its addresses, guests or settings are others now; use fullhost apply, or start run again")
	}
	return r.adv.advertise(ch.host)
}

func newAdvertiser(root context.Context, h host, log *slog.Logger) (*advertiser, error) {
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
	return &advertiser{s, up, root}, nil
}

// Run advertises until ctx ends. Who tells run to end ends the host's being a
// router. Anything else that ends it, another service's failure or a change
// that wants a new start, is followed by the service manager's next start, and
// guests keep what they have until then.
func (a *advertiser) Run(ctx context.Context) error {
	defer a.uplink.Close()
	defer context.AfterFunc(ctx, func() {
		var told signalError
		if errors.As(context.Cause(a.root), &told) && told.Signal != restartSignal {
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
