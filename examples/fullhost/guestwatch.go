package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/slaac"
)

// guestWatch keeps the inventory as it is in libvirt while run serves, tells those
// who follow it, and looks whether guests use the addresses that they are known
// by. libvirtd may come later, and come and go: until it says otherwise, guests
// are those that it has last told of.
type guestWatch struct {
	host host
	log  *slog.Logger
	// followers get the host whenever its guests are others.
	followers []follower

	list []inventoryGuest
	told map[misprediction]bool
	// quiet counts for how many looks in a row a guest has not answered.
	quiet map[slaac.MAC]int
}

const (
	// guestsAgain is when libvirtd is tried again.
	guestsAgain = 5 * time.Second
	// predictionLook is how often the neighbor table is looked at.
	predictionLook = 10 * time.Second
	// captureAgain is how often libvirt is asked without an event: there is none
	// for everything that the inventory has.
	captureAgain = time.Minute
	// quietLooks is how many looks a guest may be silent for, as one that starts is.
	quietLooks = 18
)

func newGuestWatch(h host, log *slog.Logger) *guestWatch {
	w := &guestWatch{host: h, log: log, told: make(map[misprediction]bool), quiet: make(map[slaac.MAC]int)}
	w.list = h.inventory(h.domains)
	return w
}

// Run watches until ctx ends. That there is no libvirtd is no error: the guests
// of host.yaml are known anyway.
func (w *guestWatch) Run(ctx context.Context) error {
	lost := ""
	for {
		err := w.follow(ctx, func() { lost = "" })
		if ctx.Err() != nil {
			return nil
		}
		// Once, however often it is tried.
		if err != nil && err.Error() != lost {
			lost = err.Error()
			w.log.Info("no libvirtd to ask for guests; those of host.yaml are known", "error", err)
		}
		w.look(ctx)
		if sleep(ctx, guestsAgain) != nil {
			return nil
		}
	}
}

// follow watches as long as one libvirtd lives.
func (w *guestWatch) follow(ctx context.Context, connected func()) error {
	dial, cancelDial := context.WithTimeout(ctx, guestsAgain)
	conn, err := libvirtguests.Dial(dial, w.host.config.Libvirt.Socket)
	cancelDial()
	if err != nil {
		return err
	}
	defer conn.Close()
	connected()
	ctx, cancel := context.WithCancel(ctx)
	changes, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- conn.Events(ctx, changes) }()
	stop := func() error {
		cancel()
		return <-ended
	}
	ticker := time.NewTicker(predictionLook)
	defer ticker.Stop()
	anyway := time.NewTicker(captureAgain)
	defer anyway.Stop()
	for {
		select {
		case <-ctx.Done():
			return stop()
		case err := <-ended:
			cancel()
			return err
		case <-conn.Gone():
			return errors.Join(errors.New("libvirtd has gone"), stop())
		case <-ticker.C:
			w.look(ctx)
			continue
		case <-anyway.C:
		case <-changes:
		}
		found, err := conn.Capture(w.host.bridgeName)
		if err != nil {
			return errors.Join(err, stop())
		}
		w.update(found)
	}
}

// update takes what libvirt has now, says what is new in it, and hands it on.
func (w *guestWatch) update(found libvirtguests.State) {
	h := w.host.withFound(found)
	list := h.inventory(found)
	was := make(map[string]inventoryGuest)
	for _, g := range w.list {
		was[g.MAC.String()] = g
	}
	same := len(was) == len(list)
	for _, g := range list {
		old, known := was[g.MAC.String()]
		delete(was, g.MAC.String())
		if known && sameGuest(old, g) {
			continue
		}
		same = false
		text := "a guest has changed"
		switch {
		case g.Running && !old.Running:
			text = "a guest has started"
		case !g.Running && old.Running:
			text = "a guest has stopped"
		case g.Defined && !old.Defined:
			text = "a guest is defined"
		case !g.Defined && old.Defined:
			text = "a guest is no longer defined"
		}
		w.log.Info(text, "guest", g.Name, "mac", g.MAC, "address", g.Addr, "port", g.Port, "listed", g.Listed)
		if g.Note != "" && g.Note != old.Note {
			w.log.Warn("about a guest", "guest", g.Name, "note", g.Note)
		}
	}
	for _, g := range was {
		same = false
		w.log.Info("a guest is no longer defined", "guest", g.Name, "mac", g.MAC, "address", g.Addr)
	}
	w.host, w.list = h, list
	// First the file: who is told may look at it.
	if err := rememberGuests(w.host.config, found); err != nil {
		w.log.Warn("what else looks at the host knows the guests of before", "error", err)
	}
	if same {
		return
	}
	for _, f := range w.followers {
		f.follow(h)
	}
}

func sameGuest(a, b inventoryGuest) bool {
	return a.Name == b.Name && a.Addr == b.Addr && a.Port == b.Port && slices.Equal(a.IPv4, b.IPv4) &&
		slices.Equal(a.Serve, b.Serve) && a.Listed == b.Listed && a.Defined == b.Defined && a.Running == b.Running && a.Autostart == b.Autostart && a.Note == b.Note
}

// look tells, once for each address, of guests that use another one.
func (w *guestWatch) look(ctx context.Context) {
	found, err := w.host.mispredictions(ctx, w.list)
	if err != nil {
		if ctx.Err() == nil {
			w.log.Warn("can't see which addresses guests use", "error", err)
		}
		return
	}
	// A privacy address is another one every day: what is long gone need not be
	// remembered.
	for m := range w.told {
		if !slices.Contains(found, m) {
			delete(w.told, m)
		}
	}
	for _, m := range found {
		if !w.told[m] {
			w.told[m] = true
			w.log.Warn("a guest uses another address than the one known in advance", "guest", m.Guest, "advice", m.String())
		}
	}
	quiet, err := w.host.unheard(ctx, w.list)
	if err != nil {
		if ctx.Err() == nil {
			w.log.Warn("can't see which guests answer", "error", err)
		}
		return
	}
	quiet = slices.DeleteFunc(quiet, func(g inventoryGuest) bool {
		return slices.ContainsFunc(found, func(m misprediction) bool { return m.Guest == g.Name })
	})
	w.hush(quiet)
}

// hush counts, and tells once of each that has been silent for long.
func (w *guestWatch) hush(quiet []inventoryGuest) {
	now := make(map[slaac.MAC]int)
	for _, g := range quiet {
		now[g.MAC] = w.quiet[g.MAC] + 1
		if now[g.MAC] == quietLooks {
			w.log.Warn("a guest does not answer at the address known in advance", "guest", g.Name, "advice", unansweredText(g))
		}
	}
	w.quiet = now
}
