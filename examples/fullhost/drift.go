package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/plan/rollback"
)

// keeper keeps the host as it was when run began.
//
// Whoever wants something else says so by fullhost apply, and while such a
// change is open the keeper stands back. After it the file is read again: if the
// services would be the same, run goes on with the host as it is now, otherwise
// it ends with an error, so that the service manager starts it anew. A host.yaml
// that was edited and not applied means nothing to it.
type keeper struct {
	host host
	path string // of host.yaml, "" for the default
	log  *slog.Logger

	adv      *advertiser     // takes what it is told of without a new start
	watcher  *bridge.Watcher // open, not running
	repairs  repairs
	suspects []sighting        // of late, the latest first
	troubled map[string]string // what is in trouble, and the error that was logged
	behind   bool              // what hangs on the bridge is still to be looked at
	looked   time.Time         // when that was done last
}

const (
	// repairTimeout bounds one repair. It goes on where run is told to stop in
	// the middle of it.
	repairTimeout = 10 * time.Second
	// changeLook is the time between two looks at an open change.
	changeLook = 200 * time.Millisecond
	// A change that has no process at so many looks has none any more.
	changeLooks = 10
	// watchAgain is the pause before a watcher that failed is opened again.
	watchAgain = time.Second
	// dependentsPause is the time between two looks at what hangs on the bridge
	// while it is fought over.
	dependentsPause = time.Second
	// suspectsNamed is how many a sentence names.
	suspectsNamed = 3
)

var (
	// errHostChanged ends a watcher whose wanted state may not be wanted any more.
	errHostChanged = errors.New("the host has been changed")
	// errAbandoned ends run: its next start takes the change back.
	errAbandoned = errors.New("a change is open, all its processes have died, and nobody would take it back; run has to be started again for that")
)

func newKeeper(h host, path string, log *slog.Logger) (*keeper, error) {
	k := &keeper{host: h, path: path, log: log}
	return k, k.open()
}

// open subscribes to changes, for the wanted state of now.
func (k *keeper) open() (err error) {
	k.watcher, err = bridge.NewWatcher(bridge.WatchConfig{Wanted: k.host.wanted, Handle: k.bridgeDrift})
	return err
}

func (k *keeper) close() error {
	if k.watcher == nil {
		return nil
	}
	return k.watcher.Close()
}

// Run puts back what has left the wanted state until ctx ends. It returns an
// error where a change makes it necessary to start the program again.
func (k *keeper) Run(ctx context.Context) error {
	for {
		err := k.watcher.Run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case errors.Is(err, errAbandoned), errors.Is(err, rollback.ErrRestoreFailed):
			return err
		case errors.Is(err, errHostChanged):
			if err := k.derive(ctx); err != nil {
				return err
			}
		default:
			k.log.Error("drift is not seen for a moment", "error", err)
			if sleep(ctx, watchAgain) != nil {
				return nil
			}
		}
		for err := k.open(); err != nil; err = k.open() {
			k.log.Error("drift is not seen for a moment", "error", err)
			if sleep(ctx, watchAgain) != nil {
				return nil
			}
		}
	}
}

// bridgeDrift is the bridge's part of it.
func (k *keeper) bridgeDrift(ctx context.Context, d bridge.Drift) (time.Duration, error) {
	var list []deviation
	for _, v := range d.Deviations {
		list = append(list, deviation{v.Found, v.Step, v.Vital})
	}
	return k.drift(ctx, finding{list, d.Since, d.Err, d.Suspects})
}

// finding is what one package's watcher has found.
type finding struct {
	deviations []deviation // none, and no err: all is as wanted again
	since      time.Time
	err        error // why there is no way back
	suspects   func() (list []bridge.Suspect, lost bool)
}

// drift deals with it, and says when to be told again.
func (k *keeper) drift(ctx context.Context, f finding) (time.Duration, error) {
	waited, err := k.standBack(ctx)
	if err != nil {
		return 0, err
	}
	if waited {
		return 0, errHostChanged
	}
	switch {
	case f.err != nil:
		k.trouble(noWayBack, f.err)
		return failedPause, nil
	case len(f.deviations) == 0:
		k.trouble(noWayBack, nil)
		k.trouble(halfWayBack, nil)
		return k.settled(ctx), nil
	}
	k.trouble(noWayBack, nil)
	list, again := k.repairs.due(time.Now(), f.deviations)
	if len(list) == 0 {
		return again, nil
	}
	quiet := k.repairs.fought(list)
	failed, err := repair(ctx, list)
	took := time.Since(f.since)
	who, lost := f.suspects()
	k.suspect(time.Now(), who)
	if !quiet {
		k.log.Warn("the host's network was changed and is put back",
			"found", founds(list), "by", by(who, lost), "steps", len(list)-len(failed), "took", took.Round(100*time.Microsecond))
	}
	if err == nil || !quiet {
		k.trouble(halfWayBack, err)
	}
	k.behind = true
	if fights := k.repairs.done(time.Now(), list, failed); len(fights) > 0 {
		k.fight(ctx, fights)
	}
	return again, nil
}

// settled looks at the other packages' part after a repair, in a fight not after
// every one.
func (k *keeper) settled(ctx context.Context) time.Duration {
	if !k.behind {
		return 0
	}
	now := time.Now()
	if wait := k.looked.Add(dependentsPause).Sub(now); k.repairs.fighting() && wait > 0 {
		return wait
	}
	k.behind, k.looked = false, now
	k.dependents(ctx)
	return 0
}

// dependents puts back what the kernel took away with a link: the rules and
// parameters of the other packages that name it.
func (k *keeper) dependents(ctx context.Context) {
	h := k.host
	h = h.recalled()
	h.wanted.Retiring = nil // with no change open they are gone, or about to go
	err := h.readEdge(ctx)
	k.trouble("can't look at the bridges' ports", err)
	edge, _, err := h.edgeParts(ctx)
	k.trouble("can't look at the edge's rules", err)
	translate, err := h.gatewayPart(ctx)
	k.trouble("can't look at the NAT64 device", err)
	routes, err := h.guestRoutesPart(ctx)
	k.trouble("can't look at the routes to guests' own IPv4 addresses", err)
	var list []deviation
	for _, s := range plan.Join(edge.plan, translate.plan, routes.plan).Phase(plan.Apply).Steps {
		list = append(list, deviation{step: s})
		k.log.Info("put back with it", "part", s.Part, "step", s.Text)
	}
	_, err = repair(ctx, list)
	k.trouble("the rules and parameters of a link could not be put back", err)
}

// repair runs all steps, also those after one that fails: half of the way back
// is better than none. Told to stop, it first ends what it began.
func repair(ctx context.Context, list []deviation) (failed map[string]bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), repairTimeout)
	defer cancel()
	failed = make(map[string]bool)
	var errs []error
	for i, d := range list {
		if err := d.step.Do(ctx); err != nil {
			failed[d.step.Text] = true
			errs = append(errs, &plan.StepError{Number: i + 1, Of: len(list), Step: d.step, Err: err})
		}
	}
	return failed, errors.Join(errs...)
}

// What the host's network may be in trouble with.
const (
	noWayBack   = "the host's network can't be put back"
	halfWayBack = "not everything could be put back"
)

// trouble logs an error once, however often it comes, until it is over: err is
// nil then.
func (k *keeper) trouble(what string, err error) {
	if err == nil {
		delete(k.troubled, what)
		return
	}
	if k.troubled == nil {
		k.troubled = make(map[string]string)
	}
	if text := err.Error(); text != k.troubled[what] {
		k.troubled[what] = text
		k.log.Error(what, "error", err)
	}
}

// sighting is a suspect and when it was seen.
type sighting struct {
	bridge.Suspect
	at time.Time
}

// suspect remembers who was seen. Of the many short-lived processes of a script
// one is enough.
func (k *keeper) suspect(now time.Time, who []bridge.Suspect) {
	for _, s := range who {
		k.suspects = slices.DeleteFunc(k.suspects, func(o sighting) bool {
			return o.PID == s.PID || o.Name == s.Name && o.ParentPID == s.ParentPID
		})
		k.suspects = slices.Insert(k.suspects, 0, sighting{s, now})
	}
	k.suspects = slices.DeleteFunc(k.suspects, func(s sighting) bool { return now.Sub(s.at) > fightWindow })
}

// opponents names those of late. Who was seen only after its end says nothing
// beside somebody with a name.
func (k *keeper) opponents(ctx context.Context) string {
	var named, all []bridge.Suspect
	for _, s := range k.suspects {
		all = append(all, s.Suspect)
		if s.Name != "" {
			named = append(named, s.Suspect)
		}
	}
	if len(named) > 0 {
		all = named
	}
	text := by(all, false)
	if manager, err := bridge.Manager(ctx, k.host.uplink); err == nil && manager != "" {
		text = strings.TrimPrefix(text+"; ", "unknown; ") + manager + ", which is in charge of " + k.host.uplink
	}
	return text
}

// fight says that somebody changes the same things again and again, and who.
func (k *keeper) fight(ctx context.Context, fights []deviation) {
	suspect := k.opponents(ctx)
	for _, vital := range []bool{true, false} {
		list := slices.DeleteFunc(slices.Clone(fights), func(d deviation) bool { return d.vital != vital })
		if len(list) == 0 {
			continue
		}
		t := k.repairs.things[list[0].step.Text]
		policy := "put back every time"
		if !vital {
			policy = fmt.Sprintf("left for %s now", t.pause)
		}
		k.log.Error("somebody fights over the host's network: tell them to leave it alone, or change it with fullhost apply",
			"over", founds(list), "repairs", len(t.recent), "within", fightWindow, "suspect", suspect, "policy", policy)
	}
}

// standBack waits while a change is open, and reports whether there was one.
func (k *keeper) standBack(ctx context.Context) (waited bool, err error) {
	for alone := 0; ; {
		const noAnswer = "can't ask whether a change is open"
		st, err := rollback.Status(k.host.config.StateDir)
		switch {
		case errors.Is(err, rollback.ErrNoChange):
			k.trouble(noAnswer, nil)
			return waited, nil
		case err != nil:
			// It is not known that a change is open, but that something is missing.
			k.trouble(noAnswer, err)
			return waited, nil
		}
		k.trouble(noAnswer, nil)
		if !waited {
			waited = true
			k.log.Info("a change is open: nothing is put back until it is confirmed or taken back", "phase", st.Phase, "pid", st.PID)
		}
		if err := refuseFailed(st); err != nil {
			return waited, err
		}
		if st.Live || st.Attached {
			alone = 0
		} else if alone++; alone > changeLooks {
			return waited, errAbandoned
		}
		if err := sleep(ctx, changeLook); err != nil {
			return waited, err
		}
	}
}

// refuseFailed refuses a host on which a change could not be taken back. Another
// try is for a person to ask for: one with every start of run would fight
// whoever is mending the host by hand.
func refuseFailed(st rollback.ChangeStatus) error {
	if st.Live || st.Phase != rollback.Failed {
		return nil
	}
	return &plan.Refusal{
		Subject: "run",
		Reason:  fmt.Sprintf("an earlier change could not be taken back (%s); fullhost undo tries again, fullhost confirm leaves the host as it is", st.Err),
		Err:     rollback.ErrRestoreFailed,
	}
}

// derive reads the file and the host again after a change. It returns an error
// where the services would not be the same.
func (k *keeper) derive(ctx context.Context) error {
	again := func(why error) error {
		return fmt.Errorf("the host was changed while run served it, so it has to be started again: %w", why)
	}
	c, err := loadConfig(k.path)
	if err != nil {
		return again(err)
	}
	ch, err := prepare(ctx, c)
	if err != nil {
		return again(err)
	}
	if err := ch.ready("run"); err != nil {
		return again(err)
	}
	if !sameServices(k.host, ch.host) {
		return again(errors.New("its addresses, guests or settings are others now"))
	}
	if k.adv != nil {
		if err := k.adv.advertise(ch.host); err != nil {
			return again(err)
		}
	}
	k.log.Info("the change is over and no service has to be started again for it: keeping the host as it is now")
	k.host, k.repairs = ch.host, repairs{}
	return nil
}

// sameServices reports whether run would serve the same from both.
func sameServices(a, b host) bool {
	plain := func(h host) host {
		h.edge.how, h.edge.ports = "", nil // the edge's keeper follows these
		// The advertised MTU is all that is taken from there.
		h.there, h.wanted = bridge.State{}, bridge.State{}
		// So do the services, where libvirt has others.
		h = h.withFound(libvirtguests.State{})
		return h.withoutAdvertised()
	}
	return reflect.DeepEqual(plain(a), plain(b))
}

func founds(list []deviation) string {
	const most = 6
	var words []string
	for _, d := range list {
		if d.found != "" && !slices.Contains(words, d.found) {
			words = append(words, d.found)
		}
	}
	if more := len(words) - most; more > 0 {
		words = append(words[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}

func by(who []bridge.Suspect, lost bool) string {
	var words []string
	for _, s := range who[:min(len(who), suspectsNamed)] {
		words = append(words, s.String())
	}
	switch {
	case len(words) == 0 && lost:
		return "unknown, as too much happened at once"
	case len(words) == 0:
		return "unknown"
	}
	return strings.Join(words, ", ")
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
