package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nldump"
	"github.com/sixhost/sixhost/plan"
)

const (
	// A burst of events is over when this long none has come, or after longest.
	quiet   = 2 * time.Millisecond
	longest = 20 * time.Millisecond
	// What has no events of its own is looked at this long after any event, so
	// that a busy host does not look all the time.
	unhurried = time.Second
	// Reading fails where things change under it. That is not worth a word before
	// it has failed so often, with a pause between.
	readings  = 5
	readAgain = 5 * time.Millisecond
)

// Watcher reports when reality leaves the wanted state.
//
// It learns of changes from rtnetlink's notifications: links, addresses, routes
// and rules of both families, neighbours, and the parameters that the kernel
// announces (forwarding, rp_filter). It never polls. Parameters that have no
// notification (accept_ra, accept_redirects, autoconf, addr_gen_mode) are looked
// at whenever anything at all happens in the network namespace, at most once a
// second for what concerns other links.
//
// After an event the state is captured again and the way back planned: an empty
// plan is no drift, whatever happened. Where notifications were lost, because
// there were more than the socket holds, it subscribes anew and captures, so that
// no drift is missed; only who caused it is not known then.
//
// Addresses, routes and permanent neighbours that somebody adds on the bridge are
// no drift. What is put on the NIC, where it can't be used, is moved to the bridge
// or removed. A bridge that was deleted gets the ports of its guests back too.
type Watcher struct {
	cfg    WatchConfig
	home   *netns.Home
	events *watchEvents

	// ports and index of the bridge when it was last as wanted, and the gateways
	// that were known on it.
	ports    []string
	index    int
	gateways []Neighbor
}

// NewWatcher subscribes to changes in the calling goroutine's network
// namespace. It needs CAP_NET_ADMIN. Whoever does not call Run closes it.
func NewWatcher(cfg WatchConfig) (*Watcher, error) {
	if cfg.Handle == nil {
		return nil, errors.New("watch the network: no handler")
	}
	if cfg.readBuffer == 0 {
		cfg.readBuffer = 4 << 20
	}
	home, err := netns.NewHome()
	if err != nil {
		return nil, fmt.Errorf("watch the network: %w", err)
	}
	events, err := newWatchEvents(home, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch the network: %w", err), home.Close())
	}
	return &Watcher{cfg: cfg, home: home, events: events}, nil
}

// Close lets go of everything.
func (w *Watcher) Close() error { return errors.Join(w.events.close(), w.home.Close()) }

// Run reports until ctx ends, and returns nil then, or the handler's error. The
// first report is of a difference that is there already.
func (w *Watcher) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- w.events.run() }()
	stopped := false
	defer func() {
		w.events.close()
		if !stopped {
			<-ended
		}
		w.home.Close()
	}()
	var (
		last  string    // signature of what was reported last
		again time.Time // when it is to be reported again
		since time.Time // first event that was not looked at yet
		due   = time.Now()
	)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next := earliest(due, again)
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			stopped = true
			return fmt.Errorf("watch the network: %w", err)
		case <-w.events.wake:
			now := time.Now()
			switch concerned := w.events.take(); {
			case concerned && since.IsZero():
				since, due = now, now.Add(quiet)
			case concerned:
				due = earliest(now.Add(quiet), since.Add(longest))
			case due.IsZero():
				due = now.Add(unhurried)
			}
			continue
		case <-timer.C:
		}
		begun := earliest(since, time.Now())
		forced := !again.IsZero() && !time.Now().Before(again)
		touched := !since.IsZero()
		due, since = time.Time{}, time.Time{}
		if forced {
			again = time.Time{}
		}
		d := w.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		signature := d.signature()
		if signature == "" && last == "" {
			w.events.forget() // it did no harm
		}
		harmless := signature == "" && last == "" && w.cfg.Harmless != nil && (touched || forced)
		if signature == last && !forced && !harmless {
			continue
		}
		d.Since, d.suspects = begun, w.suspects
		var wait time.Duration
		err := w.home.Do(func() (err error) {
			if harmless {
				wait, err = w.cfg.Harmless(ctx)
				return err
			}
			wait, err = w.cfg.Handle(ctx, d)
			return err
		})
		if err != nil {
			return err
		}
		w.events.forgetTold()
		last, again = signature, time.Time{}
		if wait > 0 {
			again = time.Now().Add(wait)
		}
	}
}

// suspects are those that asked since the state was last as wanted.
func (w *Watcher) suspects() (list []Suspect, lost bool) {
	err := w.home.Do(func() error {
		list, lost = w.events.suspects()
		return nil
	})
	return list, lost || err != nil
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// look captures and plans.
func (w *Watcher) look(ctx context.Context) (d Drift) {
	for try := 1; ; try++ {
		d.Err = w.home.Do(func() (err error) {
			d.Deviations, err = w.difference(ctx)
			return err
		})
		if d.Err == nil || errors.As(d.Err, new(*plan.Refusal)) || try == readings {
			return d
		}
		select {
		case <-ctx.Done():
			return d
		case <-time.After(readAgain):
		}
	}
}

func (w *Watcher) difference(ctx context.Context) ([]Deviation, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	links, err := nldump.Retry(h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	w.events.learn(links)
	there, err := Capture(ctx, w.cfg.Wanted.Scope)
	if err != nil {
		return nil, err
	}
	list, err := deviations(there, w.cfg.Wanted, w.gateways)
	if err != nil {
		return nil, err
	}
	bridge := w.cfg.Wanted.Bridge
	index := 0
	for _, l := range links {
		if l.Attrs().Name == bridge {
			index = l.Attrs().Index
			unusable, err := unusableAddrs(h, l, w.cfg.Wanted)
			if err != nil {
				return nil, err
			}
			list = append(list, unusable...)
		}
	}
	// The ports that another bridge of the name had, as long as they are nobody
	// else's.
	var lost []string
	if w.index != 0 && index != w.index {
		for _, l := range links {
			if l.Attrs().MasterIndex == 0 && slices.Contains(w.ports, l.Attrs().Name) {
				lost = append(lost, l.Attrs().Name)
			}
		}
	}
	if index != 0 && len(list) == 0 && len(lost) == 0 {
		w.index, w.ports = index, there.Ports
		for _, n := range there.Neighbors {
			if !n.Permanent && n.Link == bridge {
				w.gateways = slices.DeleteFunc(w.gateways, func(o Neighbor) bool { return o.IP == n.IP })
				w.gateways = append(w.gateways, n)
			}
		}
	}
	for _, name := range lost {
		list = append(list, Deviation{Found: fmt.Sprintf("%s is no port of %s", name, bridge), Step: hasty(stepOf(setMaster{name, bridge}))})
	}
	return list, nil
}

// unusableAddrs are those wanted ones that are there and of no use: the kernel
// still looks for a duplicate, which takes it seconds, or has found one, or the
// route is gone by which it knows the address for its own. Not even somebody with
// the same address makes the host give up its own.
func unusableAddrs(h *netlink.Handle, bridge netlink.Link, wanted State) ([]Deviation, error) {
	addrs, err := nldump.Retry(func() ([]netlink.Addr, error) { return h.AddrList(bridge, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", wanted.Bridge, err)
	}
	local, err := localAddrs(h)
	if err != nil {
		return nil, err
	}
	var list []Deviation
	for _, n := range addrs {
		ip, _ := netip.AddrFromSlice(n.IP)
		i := slices.IndexFunc(wanted.Addrs, func(a Addr) bool { return a.Link == wanted.Bridge && a.Prefix.Addr() == ip.Unmap() })
		if i < 0 {
			continue
		}
		a := wanted.Addrs[i]
		var why string
		switch {
		case n.Flags&unix.IFA_F_DADFAILED != 0:
			why = "is taken for a duplicate"
		case n.Flags&unix.IFA_F_TENTATIVE != 0:
			why = "is not usable yet"
		case !local[a.Prefix.Addr()] && bridge.Attrs().Flags&net.FlagUp != 0:
			why = "has no local route"
		default:
			continue
		}
		list = append(list, Deviation{Found: fmt.Sprintf("%s on %s %s", a.Prefix, a.Link, why), Vital: true, Step: hasty(plan.Step{
			Phase: plan.Apply,
			Part:  Part,
			Text:  fmt.Sprintf("make %s on %s usable at once", a.Prefix, a.Link),
			Do: func(ctx context.Context) error {
				if err := execute(ctx, delAddr{a, plan.Apply}); err != nil {
					return err
				}
				if err := execute(ctx, addAddr{a}); err != nil || a.Prefix.Addr().Is4() || a.NoDAD {
					return err
				}
				return execute(ctx, settleAddr{a})
			},
		})})
	}
	return list, nil
}

// localAddrs are those that the kernel receives packets to.
func localAddrs(h *netlink.Handle) (map[netip.Addr]bool, error) {
	local := make(map[netip.Addr]bool)
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := nldump.Retry(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
		})
		if err != nil {
			return nil, fmt.Errorf("list local routes: %w", err)
		}
		for _, r := range routes {
			if r.Dst == nil {
				continue
			}
			if ip, ok := netip.AddrFromSlice(r.Dst.IP); ok {
				local[ip.Unmap()] = true
			}
		}
	}
	return local, nil
}
