package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sixhost/sixhost/macrewrite"
)

// edgeKeeper keeps the edge's rules as run wants them: whoever changes the table
// finds it put back, and when a port of a bridge comes or goes, the rules are
// told.
//
// While a change is open it stands back as the keeper does, and then takes over
// what the change has left: see keeper.
type edgeKeeper struct {
	keeper  *keeper // of a host of its own, for the open change and the log
	watcher *macrewrite.Watcher
	// answers is set where the provider asks for guests' addresses.
	answers *macrewrite.Answerer

	mu      sync.Mutex
	repairs repairs
	// guarded are the guests' ports that have been seen to.
	guarded []bridgePort
	// stale is set after a change until it is known what is wanted now.
	stale bool
}

// After a look at the ports there is none for portsRest times as long as it took,
// and at most longestRest.
const (
	portsRest   = 4
	longestRest = 250 * time.Millisecond
)

// staleLook is the time between two tries to know it.
const staleLook = time.Second

func newEdgeKeeper(h host, path string, log *slog.Logger, answers *macrewrite.Answerer) (*edgeKeeper, error) {
	k := &edgeKeeper{keeper: &keeper{host: h, path: path, log: log}, answers: answers}
	wanted, err := h.edgeAfter()
	if err != nil {
		return nil, err
	}
	k.watcher, err = macrewrite.NewWatcher(macrewrite.WatchConfig{Wanted: wanted, Handle: k.handle})
	return k, err
}

// Run keeps the rules until ctx ends.
func (k *edgeKeeper) Run(ctx context.Context) error {
	log := k.keeper.log
	changed, heard := make(chan struct{}, 1), make(chan struct{}, 1)
	tell := func(ch chan<- struct{}) func() {
		return func() {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
	done := make(chan struct{})
	defer close(done)
	if len(k.keeper.host.gatewaysInside()) > 0 {
		lost := func(err error) {
			select {
			case <-done: // it is how the subscription ends
			default:
				log.Warn("changes of neighbors are not seen any more", "error", err)
			}
		}
		if err := neighborEvents(done, tell(heard), lost); err != nil {
			return errors.Join(err, k.watcher.Close())
		}
		tell(heard)() // whatever came or went before that
	}
	events, err := newLinkEvents()
	if err != nil {
		return errors.Join(err, k.watcher.Close())
	}
	tell(changed)() // likewise
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() {
		events.run(ctx, tell(changed), func(err error) {
			log.Info("changes of links were lost, and all links are looked at anew", "error", err)
		})
	})
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				k.portsAndRest(ctx)
			case <-heard:
				k.gateways(ctx)
			}
		}
	})
	return k.watcher.Run(ctx)
}

// portsAndRest looks at the ports, and then at nothing for a while. Hundreds of
// guests that start at once make thousands of events, and a look takes the longer
// the more ports there are: most of the time is to be the guests'.
func (k *edgeKeeper) portsAndRest(ctx context.Context) {
	begun := time.Now()
	k.ports()
	sleep(ctx, min(portsRest*time.Since(begun), longestRest)) // who ends it looks at ctx next
}

// ports looks for the ports of bridges anew: a guest's may have come, or another
// bridge's.
func (k *edgeKeeper) ports() {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, err := readPorts()
	if err != nil {
		k.keeper.log.Warn("the edge may take one port for another", "error", err)
		return
	}
	k.guard(list)
	if slices.Equal(list, k.keeper.host.edge.ports) {
		return
	}
	k.keeper.host.edge.ports = list
	k.want()
}

// guard sees to it that guests' ports keep no frames from the rules.
func (k *edgeKeeper) guard(list []bridgePort) {
	h := k.keeper.host
	list = slices.DeleteFunc(slices.Clone(list), func(p bridgePort) bool { return p.bridge != h.bridgeName || p.name == h.uplink })
	err := forwardGroups(slices.DeleteFunc(slices.Clone(list), func(p bridgePort) bool { return slices.Contains(k.guarded, p) }))
	k.keeper.trouble("a guest's port keeps frames from the edge's rules", err)
	k.guarded = list
}

// follow takes over the guests of a host that has others.
func (k *edgeKeeper) follow(h host) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keeper.host = k.keeper.host.withFound(h.domains)
	k.want()
}

// gateways looks for the MACs of gateways inside the /64 anew.
func (k *edgeKeeper) gateways(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, err := k.keeper.host.neighbors(ctx)
	if err != nil {
		if ctx.Err() == nil {
			k.keeper.log.Warn("a gateway's MAC may be an old one", "error", err)
		}
		return
	}
	if k.keeper.host.heard(list) {
		k.want()
	}
}

// want hands the wanted state over; the watcher compares.
func (k *edgeKeeper) want() {
	wanted, err := k.keeper.host.edgeAfter()
	k.keeper.trouble("the edge's rules can't be made", err)
	if err != nil {
		return
	}
	k.watcher.Want(wanted)
	if k.answers != nil {
		k.answers.Guests(k.keeper.host.answerConfig())
	}
}

func (k *edgeKeeper) handle(ctx context.Context, d macrewrite.Drift) (time.Duration, error) {
	waited, err := k.keeper.standBack(ctx)
	switch {
	case errors.Is(err, errAbandoned), ctx.Err() != nil:
		return 0, nil // the keeper ends run
	case err != nil:
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stale = k.stale || waited; k.stale {
		switch {
		case k.derive(ctx):
			k.stale = false
			return repairFloor, nil
		case len(d.Steps) == 0 && d.Err == nil:
			k.stale = false // it was taken back
			return 0, nil
		}
		return staleLook, nil
	}
	k.keeper.trouble("the edge's rules can't be read", d.Err)
	if d.Err != nil {
		return failedPause, nil
	}
	var list []deviation
	for _, s := range d.Steps {
		found := "the edge's rules are others"
		switch {
		case d.Gone:
			found = "the edge's rules are gone"
		case macrewrite.InPlace(s):
			found = "guests, or ports of other bridges, are others"
		}
		list = append(list, deviation{found: found, step: s, vital: true})
	}
	if len(list) == 0 {
		return 0, nil
	}
	if d.Wish {
		return k.keepUp(ctx, list), nil
	}
	due, again := k.repairs.due(time.Now(), list)
	if len(due) == 0 {
		return again, nil
	}
	quiet := k.repairs.fought(due)
	failed, err := repair(ctx, due)
	k.keeper.trouble("the edge's rules could not be put back", err)
	if err == nil && !quiet {
		k.keeper.log.Warn("the edge's rules are put right", "found", founds(due), "step", due[0].step.Text, "took", time.Since(d.Since).Round(100*time.Microsecond))
	}
	for _, f := range k.repairs.done(time.Now(), due, failed) {
		k.keeper.log.Error("somebody fights over the edge's rules: tell them to leave the table "+macrewrite.TableName+" of the bridge family alone", "over", f.found, "policy", "put back every time")
	}
	return again, nil
}

// keepUp puts in place what is other about the wish, which is nobody's meddling:
// ports come and go as guests do.
func (k *edgeKeeper) keepUp(ctx context.Context, list []deviation) time.Duration {
	_, err := repair(ctx, list)
	k.keeper.trouble("the edge could not be told of its guests and ports", err)
	if err != nil {
		return failedPause
	}
	k.keeper.log.Info("the edge follows guests and ports", "step", list[0].step.Text)
	return repairFloor
}

// derive takes over what a change has left, and reports whether it could. The
// file may be about a change that is still to come, and where services are to be
// others, run ends.
func (k *edgeKeeper) derive(ctx context.Context) bool {
	ch, _, err := servable(ctx, k.keeper.path, &k.keeper.host.config)
	if err != nil || !sameServices(k.keeper.host, ch.host) {
		return false
	}
	k.keeper.host = ch.host
	k.want()
	return true
}
