package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/nat64/dns64"
	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/plan/rollback"
)

// service is what every package's server can do.
type service interface {
	Run(ctx context.Context) error
}

// serve makes what does not outlive a reboot (rules, the NAT64 device), runs the
// servers and keeps the host's network as it is until it is told to stop.
func (a app) serve(ctx context.Context, args []string) error {
	log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	c, path, err := a.hostCommand("run", args, nil)
	var refused *plan.Refusal
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	confirmed, confirmedErr := loadConfirmed(path)
	if confirmedErr != nil {
		log.Warn("it is not known what was confirmed", "error", confirmedErr)
	}
	if err != nil {
		// A file that can't be read says no more than one that was not applied.
		if confirmed == nil || checkPrivilege() != nil {
			return err
		}
		c = *confirmed
	}
	// A change that was cut off with all its processes is taken back by the next
	// start, and that may be ours.
	if st, err := rollback.Status(c.StateDir); err == nil {
		if err := refuseFailed(st); err != nil {
			return err
		}
	}
	if err := a.recover(ctx, c); err != nil {
		return err
	}
	ch, why, err := servable(ctx, path, confirmed)
	if err != nil {
		return err
	}
	if why != nil {
		log.Warn("serving what was confirmed last, as the file is another", "file", why)
	}
	keep, err := newKeeper(ch.host, path, log)
	if err != nil {
		return err
	}
	// It is closed where it does not come to run.
	defer keep.close()
	if err := ch.plan.Run(ctx, plan.Apply, func(n, of int, s plan.Step) {
		fmt.Fprintf(a.stdout, "[%d/%d] %s\n", n, of, s.Text)
	}); err != nil {
		return err
	}
	services, err := ch.host.services(ctx, log)
	if err != nil {
		return err
	}
	keep.advertiseBy(services)
	edge, err := newEdgeKeeper(ch.host, path, log, answererOf(services))
	if err != nil {
		return err
	}
	services = append(services, namedService{"edge", edge})
	followGuests(services, edge)
	// To count is worth much, but not to serve nobody without it.
	if counter, err := newEdgeProof(ch.host, log); err != nil {
		log.Warn("what leaves by the uplink is not counted", "error", err)
	} else {
		services = append(services, namedService{"proof", counter})
	}
	ch.host.describe(a.stdout)
	fmt.Fprintln(a.stdout, "Serving. Ctrl-C stops.")
	// Nobody listening is no error: not every start is systemd's.
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("tell the service manager that we are ready", "error", err)
	}
	// The keeper goes on until the last service has ended: one that fails because
	// of what was changed must not keep it from being put back.
	keepCtx, release := context.WithCancel(ctx)
	defer release()
	serveCtx, stop := context.WithCancel(ctx)
	defer stop()
	kept := make(chan error, 1)
	go func() {
		defer stop()
		kept <- keep.Run(keepCtx)
	}()
	group, groupCtx := errgroup.WithContext(serveCtx)
	for _, s := range services {
		group.Go(func() error {
			if err := s.run.Run(groupCtx); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			return nil
		})
	}
	err = group.Wait()
	release()
	err = errors.Join(<-kept, err)
	if _, notifyErr := daemon.SdNotify(false, daemon.SdNotifyStopping); notifyErr != nil {
		log.Warn("tell the service manager that we stop", "error", notifyErr)
	}
	return err
}

// ready refuses what run and confirm do not do: moving the host's own addresses wants
// somebody who can take it back. A parameter that a reboot or somebody else has
// set otherwise is no reason not to serve.
func (ch change) ready(subject string) error {
	if sentence, needed := bridge.NeedsGuard(ch.host.there, ch.host.wanted); needed {
		return &plan.Refusal{Subject: subject, Reason: fmt.Sprintf("%s is not set up as wanted (the next step would be: %s); run fullhost apply first", ch.host.bridgeName, sentence)}
	}
	return nil
}

type namedService struct {
	name string
	run  service
}

const answererName = "answers for guests"

// answererOf is the one among the services, if there is one.
func answererOf(list []namedService) *macrewrite.Answerer {
	for _, s := range list {
		if a, ok := s.run.(*macrewrite.Answerer); ok {
			return a
		}
	}
	return nil
}

// services opens every server's sockets and devices. The advertiser comes
// last: guests shall not be told of a name server that is not there yet. ctx is the
// one that ends run.
func (h host) services(ctx context.Context, log *slog.Logger) (list []namedService, err error) {
	add := func(name string, s service, err error) error {
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		list = append(list, namedService{name, s})
		return nil
	}
	translate, err := h.gatewayConfig(log).WithFreePool(context.Background())
	if err != nil {
		return nil, err
	}
	gw, err := gateway.New(translate)
	if err := add("NAT64", gw, err); err != nil {
		return nil, err
	}
	upstreams, err := h.upstreams()
	if err != nil {
		return nil, err
	}
	dns, err := dns64.New(h.dns64Config(upstreams, log))
	if err := add("DNS64", dns, err); err != nil {
		return nil, err
	}
	door, err := newFrontDoor(h, log)
	if err := add("IPv4 front door", door, err); err != nil {
		return nil, err
	}
	guests := newGuestWatch(h, log)
	guests.followers = []follower{namesFollower{dns, log}, knownFollower{gw}, door}
	if err := add("guests", guests, nil); err != nil {
		return nil, err
	}
	if h.answers() {
		answers, err := macrewrite.NewAnswerer(h.answerConfig(), log)
		if err := add(answererName, answers, err); err != nil {
			return nil, err
		}
	}
	adv, err := newAdvertiser(ctx, h, log)
	if err := add("router advertisements", adv, err); err != nil {
		return nil, err
	}
	if err := add("reloading", newReloader(h, adv, log), nil); err != nil {
		return nil, err
	}
	if h.config.Metrics.IsValid() {
		export, err := newExporter(h.config.Metrics, log)
		if err == nil {
			if err = export.collect(h, list); err != nil {
				err = errors.Join(err, export.close())
			}
		}
		if err := add("metrics", export, err); err != nil {
			return nil, err
		}
	}
	return list, nil
}
