package bridge

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sixhost/sixhost/plan"
)

// WatchConfig says what a Watcher compares reality with.
type WatchConfig struct {
	// Wanted is the state to be kept, as Config.State gives it. Required. It has
	// no addresses that retire: those come and go as somebody confirms.
	Wanted State
	// Handle is told of every difference. Required. Run calls it from one
	// goroutine, in the network namespace that NewWatcher was called in, so that
	// it may run the drift's steps. It must heed ctx.
	//
	// While the difference stays the same it is not called again, unless the time
	// that it returned is over: a handler that runs the steps returns how soon it
	// wants to hear whether they helped, one that only reports returns 0. When all
	// is as wanted again it is told so by an empty Drift. An error ends Run.
	Handle func(ctx context.Context, d Drift) (again time.Duration, err error)

	// Harmless, if set, is called like Handle where something happened on the links
	// that is no difference, and again after the time that it returned. Whoever has
	// routes of their own there (Config.Foreign) learns of it.
	Harmless func(ctx context.Context) (again time.Duration, err error)

	// readBuffer of the netlink socket; default 4 MiB.
	readBuffer int
}

// Watch reports until ctx ends, or with the handler's error, when reality leaves
// the wanted state in the calling goroutine's network namespace. It is NewWatcher
// and Run in one.
func Watch(ctx context.Context, cfg WatchConfig) error {
	w, err := NewWatcher(cfg)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// Drift is the difference between the wanted state and what is there. Without
// Deviations and Err, all is as wanted again.
type Drift struct {
	// Deviations in the order of the steps that put things back.
	Deviations []Deviation
	// Since is when the first event of it came.
	Since time.Time
	// Err is why no way back can be planned: the NIC is gone, the kernel does not
	// answer. Then there are no Deviations.
	Err error

	suspects func() (list []Suspect, lost bool)
}

// Suspects are the processes that asked for the changes, as far as the kernel
// has told until now. Finding them may take some milliseconds, so put things back
// first. lost means that there were more notifications than could be taken in, so
// that suspects may be missing.
func (d Drift) Suspects() (list []Suspect, lost bool) {
	if d.suspects == nil {
		return nil, false
	}
	return d.suspects()
}

// signature tells two differences apart.
func (d Drift) signature() string {
	var b strings.Builder
	for _, v := range d.Deviations {
		fmt.Fprintf(&b, "%s\n", v.Step.Text)
	}
	if d.Err != nil {
		fmt.Fprintf(&b, "error: %v\n", d.Err)
	}
	return b.String()
}

// Deviation is one thing that is not as wanted.
type Deviation struct {
	// Found says what is there instead: "203.0.113.10/32 is not on br0". Steps that
	// only complete others have none.
	Found string
	// Step puts it back.
	Step plan.Step
	// Vital steps are those that the host itself must not be left without: its
	// links, its addresses, the way to its gateways.
	Vital bool
}

// deviations plans from what is there to what is wanted, and leaves alone what
// was only added. gateways are what was known of them before.
func deviations(there, wanted State, gateways []Neighbor) ([]Deviation, error) {
	wanted.Retiring = nil
	wanted = wanted.withMoved(there)
	wanted.Neighbors = slices.Concat(wanted.Neighbors, gateways)
	from := there.withoutAdded(wanted)
	if _, err := Plan(from, wanted); err != nil {
		return nil, err
	}
	var list []Deviation
	cut := false
	for _, c := range changes(from, wanted) {
		if c.phase() != plan.Apply {
			continue
		}
		// What arrives is lost until the NIC is back in its place; leading it past
		// that would take longer than putting it there.
		switch c.(type) {
		case addBypass:
			continue
		case delBypass:
			if !from.Bypass {
				continue
			}
		}
		list = append(list, Deviation{Found: found(c, from), Step: hasty(stepOf(c)), Vital: vital(c, wanted)})
		switch c.(type) {
		case createBridge, setMaster, setUp, setMAC:
			cut = true
		}
	}
	if cut {
		// The kernel has forgotten them with the carrier, and whatever it asked
		// since then went nowhere: it would wait a second before it asks again.
		for _, n := range gateways {
			list = append(list, Deviation{Step: stepOf(addNeighbor{n}), Vital: true})
		}
	}
	return list, nil
}

// stepPatience is how long a step may wait for the kernel to follow. It takes a
// millisecond, unless somebody has taken away again what is waited for; then
// only a new look helps.
const stepPatience = 50 * time.Millisecond

func hasty(s plan.Step) plan.Step {
	do := s.Do
	s.Do = func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, stepPatience)
		defer cancel()
		return do(ctx)
	}
	return s
}

// withMoved wants on the bridge what somebody put on the NIC, which can't be
// used there: the address or route that was meant for the server works then.
// What has a lifetime or belongs to the link alone is not wanted anywhere.
func (s State) withMoved(there State) State {
	s.Addrs, s.Routes = slices.Clone(s.Addrs), slices.Clone(s.Routes)
	for _, a := range there.Addrs {
		if a.Link != s.Uplink || a.finite() || a.Temporary || a.Prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		if hasIP(s.Addrs, a.Prefix.Addr()) || slices.ContainsFunc(there.Addrs, func(o Addr) bool { return o.Link == s.Bridge && o.Prefix.Addr() == a.Prefix.Addr() }) {
			continue
		}
		a.Link, a.Label = s.Bridge, strings.Replace(a.Label, s.Uplink, s.Bridge, 1)
		s.Addrs = append(s.Addrs, a)
	}
	for _, r := range there.Routes {
		if r.Link != s.Uplink || r.Expires != 0 || r.Protocol == protocolRA || r.Protocol == protocolDHCP || r.Protocol == protocolKernel || r.isDefault() {
			continue
		}
		// A route over an address that goes away with the link would not come up.
		if r.Source.IsValid() && !hasIP(s.Addrs, r.Source) || slices.ContainsFunc(s.Routes, func(o Route) bool { return o.id() == r.id() }) {
			continue
		}
		r.Link, r.Hops = s.Bridge, r.Hops.moved(s.Uplink, s.Bridge)
		s.Routes = append(s.Routes, r)
	}
	s.Rules = slices.Clone(s.Rules)
	for _, r := range wantedRules(there.Rules, s.Scope) {
		if !slices.Contains(there.Rules, r) && !slices.Contains(s.Rules, r) {
			s.Rules = append(s.Rules, r) // it named the NIC
		}
	}
	s.sort()
	return s
}

// withoutAdded leaves out what somebody added on the bridge beside what is
// wanted: it is the owner's, as for Config.State, which would keep it. Nor does
// it matter who made a route that is there as wanted, or whether an address was
// checked for duplicates.
func (s State) withoutAdded(wanted State) State {
	s.Addrs = slices.DeleteFunc(slices.Clone(s.Addrs), func(a Addr) bool {
		_, ok := find(wanted.Addrs, a)
		return a.Link == s.Bridge && !ok
	})
	for i, a := range s.Addrs {
		if w, ok := find(wanted.Addrs, a); ok {
			s.Addrs[i].NoDAD = w.NoDAD
		}
	}
	s.Rules = slices.DeleteFunc(slices.Clone(s.Rules), func(r Rule) bool {
		return !r.names(s.Uplink) && !slices.Contains(wanted.Rules, r)
	})
	s.Neighbors = slices.DeleteFunc(slices.Clone(s.Neighbors), func(n Neighbor) bool {
		return n.Link == s.Bridge && n.Permanent && !slices.ContainsFunc(wanted.Neighbors, func(o Neighbor) bool { return o.Link == n.Link && o.IP == n.IP })
	})
	routes := slices.Clone(s.Routes)
	for i, r := range routes {
		for _, w := range wanted.Routes {
			if r.Protocol = w.Protocol; r == w {
				routes[i] = r
			}
		}
	}
	s.Routes = slices.DeleteFunc(slices.Clone(routes), func(r Route) bool {
		same := func(o Route) bool { return o.id() == r.id() }
		if !slices.ContainsFunc(wanted.Routes, same) {
			return r.Link == s.Bridge
		}
		// The wanted one shares its place with another: IPv6 routes of one identity
		// are the next hops of one route. Replacing it makes it the only one.
		return slices.Contains(wanted.Routes, r) && slices.ContainsFunc(routes, func(o Route) bool { return same(o) && o != r })
	})
	return s
}

func hasIP(list []Addr, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(a Addr) bool { return a.Prefix.Addr() == ip })
}

// vital reports whether the host's own reachability hangs on a change.
func vital(c change, wanted State) bool {
	switch c := c.(type) {
	case createBridge, setMAC, setMTU, setUp, setMaster, addAddr, changeAddr, settleAddr:
		return true
	case setSysctl:
		// What makes and takes away addresses.
		for _, name := range []string{"/disable_ipv6", "/addr_gen_mode", "/accept_ra", "/autoconf"} {
			if strings.HasSuffix(c.key, name) {
				return true
			}
		}
	case replaceRoute:
		return leadsOut(c.Route, wanted)
	case delRoute:
		return leadsOut(c.Route, wanted)
	case addRule, delRule:
		return true // without one, packets may take another way out
	}
	return false
}

// leadsOut tells default routes, and those to a gateway of one.
func leadsOut(r Route, wanted State) bool {
	return r.Dst.Bits() == 0 || slices.ContainsFunc(wanted.Routes, func(o Route) bool {
		return o.Dst.Bits() == 0 && slices.ContainsFunc(o.Gateways(), r.Dst.Contains)
	})
}

// found says what is there in place of what a change makes.
func found(c change, from State) string {
	switch c := c.(type) {
	case createBridge:
		return c.Name + " is gone"
	case deleteBridge:
		return c.name + " is there"
	case setMAC:
		l, _ := from.link(c.link)
		return fmt.Sprintf("%s has the MAC %s", c.link, l.MAC)
	case setMTU:
		l, _ := from.link(c.link)
		return fmt.Sprintf("%s has the MTU %d", c.link, l.MTU)
	case setSnooping:
		return c.link + " has another setting of multicast snooping"
	case setGroupForward:
		return c.link + " forwards other group addresses"
	case setUp:
		if _, ok := from.link(c.link); !ok {
			return "" // just made
		}
		return c.link + " is " + map[bool]string{true: "down", false: "up"}[c.up]
	case setMaster:
		switch l, _ := from.link(c.link); {
		case l.Master == "":
			return fmt.Sprintf("%s is no port of %s", c.link, c.master)
		default:
			return fmt.Sprintf("%s is a port of %s", c.link, l.Master)
		}
	case delBypass:
		return fmt.Sprintf("what led past %s is left over", c.link)
	case setSysctl:
		if v, ok := from.Sysctls[c.key]; ok && v != c.value {
			return fmt.Sprintf("%s is %s", c.key, v)
		}
	case addAddr:
		return fmt.Sprintf("%s is not on %s", c.Prefix, c.Link)
	case changeAddr:
		return fmt.Sprintf("%s on %s has other lifetimes or flags", c.Prefix, c.Link)
	case delAddr:
		return fmt.Sprintf("%s is on %s", c.Prefix, c.Link)
	case addNeighbor:
		if c.Permanent {
			return fmt.Sprintf("%s has lost the entry for the neighbour %s", c.Link, c.IP)
		}
	case delNeighbor:
		return fmt.Sprintf("%s has an entry for the neighbour %s", c.Link, c.IP)
	case replaceRoute:
		if c.there {
			return "another route is in place of " + describeRoute(c.Route)
		}
		return fmt.Sprintf("the route %s is gone", describeRoute(c.Route))
	case delRoute:
		return fmt.Sprintf("the route %s is there", describeRoute(c.Route))
	case addRule:
		if slices.Contains(from.Rules, c.Rule) {
			return "" // others of its priority have changed
		}
		return fmt.Sprintf("the routing rule %q is gone", c.Rule)
	case delRule:
		return fmt.Sprintf("the routing rule %q is there, or in another place", c.Rule)
	case setSpanningTree:
		return c.link + " has another setting of the spanning tree"
	case setTxQueueLen:
		return c.link + " has another transmit queue"
	}
	return ""
}
