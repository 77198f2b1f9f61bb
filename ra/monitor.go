package ra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/ndp"

	"github.com/sixhost/sixhost/slaac"
)

// MonitorConfig says what a [Monitor] takes for right. Its zero value plus
// Interface takes every router for a rogue.
type MonitorConfig struct {
	// Interface to listen on. Required.
	Interface string
	// Routers are link-local addresses of routers that may advertise here. Every
	// other is a rogue; this host's own advertisements are never heard.
	Routers []netip.Addr
	// Own is what this host advertises on the link, to which others are compared;
	// nil where it advertises nothing, so that the others are compared to the one
	// of them that was heard first. It may change at any time ([Server.Config]).
	Own func() Config
	// Handle is told of every event, by the goroutine of Run. Required.
	Handle func(Event)
	// Logger is told of events too; nil discards.
	Logger *slog.Logger
}

// Event is what a [Monitor] tells: a [*RogueRouter], a [*RouterChanged], a
// [*RouterGone], an [*Inconsistency] or an [*InvalidAdvertisement].
type Event interface {
	// Source is who sent what the event is about, without zone.
	Source() netip.Addr
	// String is one sentence.
	String() string
}

// RogueRouter advertises and is not one of the routers that may. It is told of
// when it is first heard, and again when it has been gone; in an hour no more than
// 64 times that rogues come and go, however many addresses somebody invents.
type RogueRouter struct {
	Received Received
	// MAC is that of its source link-layer address option, or zero.
	MAC slaac.MAC
}

// RouterChanged is told when a router that was heard before, rogue or not, says
// something else.
type RouterChanged struct {
	Received Received
	// Before is what it said until now.
	Before *ndp.RouterAdvertisement
}

// RouterGone is told when a router says that it is none any more (router
// lifetime 0 after another one), or has not been heard for as long as it said.
type RouterGone struct {
	From netip.Addr
	// Silent: it said nothing, its lifetime ran out.
	Silent bool
}

// Inconsistency is a value that differs from what another router advertises on
// the same link (RFC 4861, section 6.2.7).
type Inconsistency struct {
	Received Received
	// Field names the value, as "MTU" or "prefix 2001:db8::/64: valid lifetime".
	Field string
	// Theirs is what was received, Ours what it was compared to.
	Theirs, Ours string
}

// InvalidAdvertisement is one that hosts must discard (RFC 4861, section
// 6.1.2), which no honest router sends.
type InvalidAdvertisement struct{ Received Received }

// Source is the sender.
func (e *RogueRouter) Source() netip.Addr          { return e.Received.From }
func (e *RouterChanged) Source() netip.Addr        { return e.Received.From }
func (e *RouterGone) Source() netip.Addr           { return e.From }
func (e *Inconsistency) Source() netip.Addr        { return e.Received.From }
func (e *InvalidAdvertisement) Source() netip.Addr { return e.Received.From }

func (e *RogueRouter) String() string {
	if e.MAC.IsZero() {
		return fmt.Sprintf("%s advertises itself as a router and is none of those that may", e.Received.From)
	}
	return fmt.Sprintf("%s (MAC %s) advertises itself as a router and is none of those that may", e.Received.From, e.MAC)
}

func (e *RouterChanged) String() string {
	return fmt.Sprintf("router %s advertises something else than before", e.Received.From)
}

func (e *RouterGone) String() string {
	if e.Silent {
		return fmt.Sprintf("router %s has fallen silent", e.From)
	}
	return fmt.Sprintf("router %s says that it is no default router any more", e.From)
}

func (e *Inconsistency) String() string {
	return fmt.Sprintf("router %s advertises %s %s, where it is %s", e.Received.From, e.Field, e.Theirs, e.Ours)
}

func (e *InvalidAdvertisement) String() string {
	return fmt.Sprintf("invalid router advertisement from %s: %v", e.Received.From, e.Received.Err)
}

const (
	// mostRouters bounds the rogues that a monitor remembers, as the addresses are
	// the senders' to choose. Beyond it the one that was heard longest ago is
	// forgotten. Routers that may advertise are as few as was configured.
	mostRouters = 64
	// mostRogues bounds how often it is told, in the time of repeatAfter, that
	// rogues come and go, and apart from that how often others go: whoever has
	// their address can make them.
	mostRogues = 64
	// repeatAfter is when the same event about the same router is told again.
	repeatAfter = time.Hour
	// mostTold bounds the events that are remembered for that.
	mostTold = 1024
)

// Monitor listens on a link and tells of what should not be there.
type Monitor struct {
	listener *Listener
	cfg      MonitorConfig
	log      *slog.Logger

	mu      sync.Mutex
	watched watched
	stats   MonitorStats
}

// MonitorStats counts what a [Monitor] heard and told.
type MonitorStats struct {
	// Advertisements that were valid, and Invalid ones.
	Advertisements, Invalid uint64
	// Events, by type.
	Rogues, Changes, Gone, Inconsistencies uint64
	// Routers is how many are known now.
	Routers int
}

// NewMonitor opens a monitor, with the errors of [NewListener].
func NewMonitor(cfg MonitorConfig) (*Monitor, error) {
	if cfg.Handle == nil {
		return nil, &ConfigError{Field: "Handle", Reason: "is required"}
	}
	for i, a := range cfg.Routers {
		if !a.IsLinkLocalUnicast() || a.Zone() != "" {
			return nil, &ConfigError{Field: fmt.Sprintf("Routers[%d]", i), Reason: fmt.Sprintf("%s is no link-local address without zone, which routers send from", a)}
		}
	}
	l, err := NewListener(cfg.Interface)
	if err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Monitor{listener: l, cfg: cfg, log: log.With("interface", cfg.Interface)}, nil
}

// Close releases the socket of a monitor that is not run.
func (m *Monitor) Close() error { return m.listener.Close() }

// Stats returns the counters. It may be called at any time.
func (m *Monitor) Stats() MonitorStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Routers = len(m.watched.routers)
	return s
}

// Run watches until ctx ends, and returns nil then. It closes the monitor.
func (m *Monitor) Run(ctx context.Context) error {
	return m.listener.run(ctx, func() time.Time {
		m.mu.Lock()
		events := m.watched.expire(time.Now())
		next := m.watched.next()
		m.mu.Unlock()
		m.tell(events)
		return next
	}, func(r Received) {
		var own *Config
		if m.cfg.Own != nil {
			c := m.cfg.Own()
			own = &c
		}
		m.mu.Lock()
		events := m.watched.observe(r, m.cfg.Routers, own)
		if r.Err == nil {
			m.stats.Advertisements++
		} else {
			m.stats.Invalid++
		}
		m.mu.Unlock()
		m.tell(events)
	})
}

// tell hands events on, outside the lock.
func (m *Monitor) tell(events []Event) {
	for _, e := range events {
		m.mu.Lock()
		switch e.(type) {
		case *RogueRouter:
			m.stats.Rogues++
		case *RouterChanged:
			m.stats.Changes++
		case *RouterGone:
			m.stats.Gone++
		case *Inconsistency:
			m.stats.Inconsistencies++
		}
		m.mu.Unlock()
		m.log.Warn("router advertisement", "from", e.Source(), "event", e.String())
		m.cfg.Handle(e)
	}
}

// watched is what a monitor remembers of a link. It knows no clock and no
// socket. Its zero value has heard nothing.
type watched struct {
	routers []*heardRouter // in the order they were first heard
	told    map[toldEvent]time.Time
	rogues  allowance // of coming and going rogues
	gone    allowance // of other routers that go
}

// allowance is how many events may still be told of before a time.
type allowance struct {
	left  int
	until time.Time
}

func (a *allowance) take(now time.Time) bool {
	if !now.Before(a.until) {
		a.left, a.until = mostRogues, now.Add(repeatAfter)
	}
	if a.left == 0 {
		return false
	}
	a.left--
	return true
}

// leaves returns the event that a router has gone, if it is to be told.
func (w *watched) leaves(h *heardRouter, now time.Time, silent bool) []Event {
	a := &w.gone
	if h.rogue {
		a = &w.rogues
	}
	if h.rogue && !h.told || !a.take(now) {
		return nil
	}
	return []Event{&RouterGone{From: h.from, Silent: silent}}
}

type heardRouter struct {
	from    netip.Addr
	message *ndp.RouterAdvertisement
	rogue   bool
	told    bool // that it is one
	last    time.Time
	until   time.Time // the router lifetime's end, or the zero time for no default router
}

// toldEvent is what makes an event the same as another.
type toldEvent struct {
	from        netip.Addr
	field, what string
}

// observe returns what is to be told of one advertisement.
func (w *watched) observe(r Received, allowed []netip.Addr, own *Config) []Event {
	if r.Err != nil {
		return w.once(r.At, toldEvent{from: r.From, field: "invalid", what: reason(r.Err)}, &InvalidAdvertisement{r})
	}
	var events []Event
	i := slices.IndexFunc(w.routers, func(h *heardRouter) bool { return h.from == r.From })
	var h *heardRouter
	if i < 0 {
		h = w.add(r, !slices.Contains(allowed, r.From))
		if h.rogue && w.rogues.take(r.At) {
			h.told = true
			events = append(events, &RogueRouter{Received: r, MAC: sourceMAC(r.Message)})
		}
	} else {
		h = w.routers[i]
		switch {
		case !h.until.IsZero() && r.Message.RouterLifetime == 0:
			events = append(events, w.leaves(h, r.At, false)...)
		case differs(h.message, r.Message):
			events = append(events, w.once(r.At, toldEvent{from: r.From, field: "changed", what: summary(r.Message)}, &RouterChanged{Received: r, Before: h.message})...)
		}
	}
	for _, d := range w.compare(h, r, own) {
		events = append(events, w.once(r.At, toldEvent{from: r.From, field: d.Field, what: d.Theirs}, d)...)
	}
	h.message, h.last, h.until = r.Message, r.At, time.Time{}
	if d := r.Message.RouterLifetime; d > 0 {
		h.until = r.At.Add(d)
	}
	return events
}

func (w *watched) add(r Received, rogue bool) *heardRouter {
	rogues, oldest := 0, -1
	for i, h := range w.routers {
		if h.rogue {
			rogues++
			if oldest < 0 || h.last.Before(w.routers[oldest].last) {
				oldest = i
			}
		}
	}
	if rogue && rogues >= mostRouters {
		w.routers = slices.Delete(w.routers, oldest, oldest+1)
	}
	h := &heardRouter{from: r.From, rogue: rogue}
	w.routers = append(w.routers, h)
	return h
}

// once returns the event unless the same was told of late.
func (w *watched) once(now time.Time, key toldEvent, e Event) []Event {
	if at, ok := w.told[key]; ok && now.Sub(at) < repeatAfter {
		return nil
	}
	if w.told == nil {
		w.told = make(map[toldEvent]time.Time)
	}
	if len(w.told) >= mostTold {
		for k, at := range w.told {
			if now.Sub(at) >= repeatAfter {
				delete(w.told, k)
			}
		}
		if len(w.told) >= mostTold {
			return nil // somebody who makes up events is told of enough
		}
	}
	w.told[key] = now
	return []Event{e}
}

// compare returns in what an advertisement differs from what is right.
func (w *watched) compare(h *heardRouter, r Received, own *Config) []*Inconsistency {
	ours := (*ndp.RouterAdvertisement)(nil)
	if own != nil {
		if ms, err := own.Messages(Link{MTU: 1<<31 - 1, Forwarding: true}, State{}, r.At); err == nil {
			ours = ms[0]
		}
	} else {
		for _, other := range w.routers {
			if other != h && other.message != nil {
				ours = other.message
				break
			}
		}
	}
	if ours == nil {
		return nil
	}
	var list []*Inconsistency
	for _, d := range Inconsistencies(ours, r.Message) {
		d.Received = r
		list = append(list, &d)
	}
	return list
}

// expire returns who has not been heard for as long as it said.
func (w *watched) expire(now time.Time) []Event {
	var events []Event
	w.routers = slices.DeleteFunc(w.routers, func(h *heardRouter) bool {
		if h.until.IsZero() || h.until.After(now) {
			return false
		}
		events = append(events, w.leaves(h, now, true)...)
		return true
	})
	return events
}

// next is when expire has something to tell; the zero time is never.
func (w *watched) next() time.Time {
	var next time.Time
	for _, h := range w.routers {
		if !h.until.IsZero() && (next.IsZero() || h.until.Before(next)) {
			next = h.until
		}
	}
	return next
}

func sourceMAC(m *ndp.RouterAdvertisement) slaac.MAC {
	for _, o := range m.Options {
		if l, ok := o.(*ndp.LinkLayerAddress); ok && l.Direction == ndp.Source {
			if mac, err := slaac.MACFrom(l.Addr); err == nil {
				return mac
			}
		}
	}
	return slaac.MAC{}
}

// reason is the kind of an error, without what differs from one to the next.
func reason(err error) string {
	for _, kind := range []error{ErrHopLimit, ErrSource, ErrFragmented, ErrMalformed} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "other"
}
