package bridge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sixhost/sixhost/plan"
)

// Part is this package's name in plans and captures.
const Part = "bridge"

// Plan orders the steps from one state to another. It is pure; the steps work
// in the network namespace of the thread that runs them.
//
// The order is the one that does not stall an open connection: first everything
// stands on the new link, usable at once; then the NIC changes its place; then
// each route is replaced, never deleted and added; only then is the old link
// cleared, because removing an address removes routes that depend on it.
func Plan(from, to State) (plan.Plan, error) {
	if from.Scope != to.Scope {
		return plan.Plan{}, fmt.Errorf("plan from %s to %s: the states are of different links", from.describe(), to.describe())
	}
	for _, l := range to.Links {
		if _, ok := from.link(l.Name); !ok && l.Kind != "bridge" {
			return plan.Plan{}, &plan.Refusal{Subject: l.Name, Reason: "the interface is gone, and can't be made again", Err: ErrNoUplink}
		}
	}
	var p plan.Plan
	for _, c := range changes(from, to) {
		p.Steps = append(p.Steps, stepOf(c))
	}
	p.Notes = notes(from, to)
	return p, nil
}

func stepOf(c change) plan.Step {
	return plan.Step{
		Phase: c.phase(),
		Part:  Part,
		Text:  c.String(),
		Do:    func(ctx context.Context) error { return execute(ctx, c) },
	}
}

// NeedsGuard reports whether the way from one state to another changes links,
// addresses, routes or rules, which wants somebody who can take it back, and the
// sentence of the first step that does.
func NeedsGuard(from, to State) (sentence string, needed bool) {
	for _, c := range changes(from, to) {
		switch c.(type) {
		case setSysctl, setSnooping, setGroupForward, setTxQueueLen, addNeighbor, delNeighbor, delBypass:
			continue
		}
		if c.phase() == plan.Apply {
			return c.String(), true
		}
	}
	return "", false
}

// Restorer takes a host back to a captured State.
func Restorer() plan.Restorer {
	return plan.RestorerOf(Part, func(ctx context.Context, like State) (State, error) { return Capture(ctx, like.Scope) }, Plan)
}

func (s Scope) describe() string { return s.Uplink + " and " + s.Bridge }

// changes lists what has to be done, in order.
func changes(from, to State) []change {
	var list []change
	add := func(c ...change) { list = append(list, c...) }

	// The new link, silent about itself, up.
	for _, l := range to.Links {
		have, exists := from.link(l.Name)
		if !exists {
			add(createBridge{l})
		}
		if l.Kind == "bridge" {
			add(sysctlChanges(from, to, "/"+l.Name+"/", early)...)
		}
		if exists && l.Kind == "bridge" && have.MulticastSnooping != l.MulticastSnooping {
			add(setSnooping{l.Name, l.MulticastSnooping})
		}
		if exists && l.Kind == "bridge" && have.GroupForward != l.GroupForward {
			add(setGroupForward{l.Name, l.GroupForward})
		}
		if exists && have.MAC != l.MAC {
			add(setMAC{l.Name, l.MAC})
		}
		if exists && have.MTU != l.MTU {
			add(setMTU{l.Name, l.MTU})
		}
		if exists && (have.STP != l.STP || have.ForwardDelay != l.ForwardDelay) {
			add(setSpanningTree{l.Name, l.STP, l.ForwardDelay})
		}
		if exists && l.TxQueueLen > 0 && have.TxQueueLen != l.TxQueueLen {
			add(setTxQueueLen{l.Name, l.TxQueueLen})
		}
		if l.Up && !have.Up {
			add(setUp{l.Name, true})
		}
	}
	add(sysctlChanges(from, to, "", early)...)

	if moving(from, to) && strictFilter(from) {
		// While packets come in by one link and the routes lead to the other, a
		// strict reverse path filter would drop them; 2 is "loose", and the higher
		// of all's and the link's value counts.
		add(setSysctl{filterKey(to.Bridge), "2"})
	}

	// Addresses, usable at once, then the changes of those that stay.
	wanted := to.wantedAddrs(from)
	var hasty []Addr
	for _, a := range inOrderOfAdding(wanted) {
		if _, ok := find(from.Addrs, a); !ok {
			add(addAddr{a})
			if a.Prefix.Addr().Is6() && !a.NoDAD {
				hasty = append(hasty, a)
			}
		}
	}
	for _, a := range wanted {
		if have, ok := find(from.Addrs, a); ok && !have.same(a) {
			add(changeAddr{a})
		}
	}
	for _, n := range to.Neighbors {
		if n.Permanent && !slices.Contains(from.Neighbors, n) {
			add(addNeighbor{n})
		}
	}
	add(gatewayHints(from, to)...)
	newRules, oldRules := ruleChanges(from, to)
	add(newRules...)

	// The NIC becomes a port before the routes leave it, as it can send in both
	// roles but hear in only one, and is released after they are back.
	for _, l := range to.Links {
		if have, ok := from.link(l.Name); ok && have.Master != l.Master && l.Master != "" {
			add(changePlace(l.Name, l.Master, to.Uplink)...)
		}
	}

	// Routes, each replaced by the one that takes its place.
	routes := to.wantedRoutes(from)
	for _, r := range inOrderOfDependence(routes) {
		if !slices.ContainsFunc(from.Routes, r.same) {
			add(replaceRoute{r, slices.ContainsFunc(from.Routes, func(o Route) bool { return o.id() == r.id() })})
		}
	}
	for _, r := range from.Routes {
		// What looks left over may be what an address that comes back will follow.
		adopted := r.Protocol == protocolKernel && to.followsAddr(r)
		if !adopted && !slices.ContainsFunc(routes, func(o Route) bool { return o.id() == r.id() }) {
			add(delRoute{r})
		}
	}
	add(oldRules...)

	for _, l := range to.Links {
		if have, ok := from.link(l.Name); ok && have.Master != "" && l.Master == "" {
			add(changePlace(l.Name, "", to.Uplink)...)
		}
	}
	if from.Bypass && !slices.Contains(list, change(delBypass{to.Uplink})) {
		add(delBypass{to.Uplink}) // left over from a change that was cut off
	}

	// The old link is cleared, an address that others follow last.
	for _, n := range from.Neighbors {
		if n.Permanent && !slices.Contains(to.Neighbors, n) {
			add(delNeighbor{n})
		}
	}
	for _, a := range inOrderOfRemoving(from.Addrs) {
		if _, ok := find(wanted, a); !ok {
			add(delAddr{a, plan.Apply})
		}
	}
	for _, a := range hasty {
		add(settleAddr{a})
	}
	if len(list) > 0 {
		// Not only for those that are changed now: a way that was cut off may have
		// changed others.
		add(prefixRoutes(wanted, wanted)...)
	}
	for _, l := range from.Links {
		if _, ok := to.link(l.Name); !ok {
			add(deleteBridge{l.Name})
		}
	}
	for _, l := range to.Links {
		if have, ok := from.link(l.Name); ok && have.Up && !l.Up {
			add(setUp{l.Name, false})
		}
	}
	add(sysctlChanges(from, to, "", late)...)
	if value, ok := to.Sysctls[filterKey(to.Bridge)]; ok && moving(from, to) && strictFilter(from) {
		add(setSysctl{filterKey(to.Bridge), value})
	}
	for _, a := range to.Retiring {
		add(delAddr{a, plan.Confirm})
	}
	return list
}

// changePlace gives a link another master. For the uplink that would lose what
// arrives in the middle of it.
func changePlace(link, master, uplink string) []change {
	if link != uplink {
		return []change{setMaster{link, master}}
	}
	return []change{addBypass{link}, setMaster{link, master}, delBypass{link}}
}

// moving reports whether the uplink changes its place.
func moving(from, to State) bool {
	before, ok := from.link(to.Uplink)
	after, wanted := to.link(to.Uplink)
	return ok && wanted && before.Master != after.Master
}

func filterKey(link string) string { return "net/ipv4/conf/" + link + "/rp_filter" }

// strictFilter reports whether packets are dropped that come in by another
// link than answers would leave by.
func strictFilter(s State) bool {
	for _, link := range []string{"all", s.Uplink, s.Bridge} {
		if s.Sysctls[filterKey(link)] == "1" {
			return true
		}
	}
	return false
}

// gatewayHints hands on what is known of the gateways whose routes move: on
// the new link, a resolution could not be answered in the middle of the move.
func gatewayHints(from, to State) []change {
	var list []change
	for _, r := range to.Routes {
		if slices.ContainsFunc(from.Routes, r.same) {
			continue
		}
		for _, n := range slices.Concat(from.Neighbors, to.Neighbors) {
			hint := addNeighbor{Neighbor{Link: r.Link, IP: n.IP, MAC: n.MAC}}
			if slices.Contains(r.Gateways(), n.IP) && !n.Permanent && !slices.Contains(list, change(hint)) {
				list = append(list, hint)
			}
		}
	}
	return list
}

// wantedAddrs are the addresses to be there until confirmed. Privacy addresses
// can't be made by anyone but the kernel; lifetimes have gone on since they
// were captured.
func (s State) wantedAddrs(now State) []Addr {
	elapsed := s.elapsed(now)
	var list []Addr
	for _, a := range slices.Concat(s.Addrs, s.Retiring) {
		if a.Temporary {
			continue
		}
		if a.finite() {
			if a.Valid -= elapsed; a.Valid < time.Second {
				continue // it would have expired
			}
			a.Valid = wholeSeconds(a.Valid)
			if a.Preferred != Forever {
				a.Preferred = wholeSeconds(max(0, a.Preferred-elapsed))
			}
		}
		list = append(list, a)
	}
	return list
}

// wholeSeconds rounds up. The kernel takes whole seconds only, and tells those of
// an address rounded up and those of a route rounded down: rounded up when set,
// both read as they would if nobody had touched them, and never as more.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// wantedRoutes are the routes to be there, with what is left of lifetimes.
func (s State) wantedRoutes(now State) []Route {
	elapsed := s.elapsed(now)
	var list []Route
	for _, r := range s.Routes {
		if r.Expires != 0 {
			if r.Expires -= elapsed; r.Expires < time.Second {
				continue // it would have expired
			}
			r.Expires = wholeSeconds(r.Expires)
		}
		list = append(list, r)
	}
	return list
}

// elapsed is the time from one capture to a later one.
func (s State) elapsed(now State) time.Duration {
	if s.Uptime == 0 {
		return 0
	}
	return max(0, now.Uptime-s.Uptime)
}

// inOrderOfDependence brings routes into an order in which the kernel takes
// them: a gateway must be reachable by a route without one, of whatever table.
func inOrderOfDependence(list []Route) []Route {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Route) int { return boolCompare(len(a.Gateways()) > 0, len(b.Gateways()) > 0) })
	return list
}

// inOrderOfAdding brings addresses into the order after which the kernel lists
// them as given: it appends IPv4 addresses and puts the newest IPv6 one first.
func inOrderOfAdding(list []Addr) []Addr {
	var out []Addr
	for _, a := range list {
		if a.Prefix.Addr().Is4() {
			out = append(out, a)
		}
	}
	for _, a := range slices.Backward(list) {
		if a.Prefix.Addr().Is6() {
			out = append(out, a)
		}
	}
	return out
}

// inOrderOfRemoving brings addresses into an order that, cut off anywhere,
// leaves those that inOrderOfAdding completes to the list they were.
func inOrderOfRemoving(list []Addr) []Addr {
	out := inOrderOfAdding(list)
	slices.Reverse(out)
	return out
}

func find(list []Addr, a Addr) (Addr, bool) {
	i := slices.IndexFunc(list, func(o Addr) bool { return o.id() == a.id() })
	if i < 0 {
		return Addr{}, false
	}
	return list[i], true
}

// When a sysctl is set.
const (
	early = iota
	late
)

// sysctlChanges lists the sysctls to set, of those whose key holds within.
//
// Late are those whose early change would hurt: the kernel makes a link-local
// address of its own, with duplicate address detection, as soon as addr_gen_mode
// allows; forwarding goes on until the way back is complete.
func sysctlChanges(from, to State, within string, when int) []change {
	var list []change
	keys := slices.Sorted(maps.Keys(to.Sysctls))
	// Setting it for all sets it for each.
	if i := slices.Index(keys, forwardingKey("all")); i > 0 {
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, forwardingKey("all"))
	}
	for _, key := range keys {
		value := to.Sysctls[key]
		timing := early
		zeroed := to.Sysctls[forwardingKey("all")] == "0" && from.Sysctls[forwardingKey("all")] != "0"
		if strings.HasSuffix(key, "/addr_gen_mode") && value != "1" || strings.HasSuffix(key, "/forwarding") && (value == "0" || zeroed) {
			timing = late
		}
		if strings.HasSuffix(key, "/forwarding") && value == "1" && slices.ContainsFunc(from.Routes, Route.dynamic) {
			// The kernel removes default routes that were advertised to it as soon as
			// it forwards: not before permanent ones are in their place.
			timing = late
		}
		same := (from.Sysctls[key] == value || raisedMeanwhile(key, from.Sysctls[key], to)) && !(zeroed && strings.HasSuffix(key, "/forwarding"))
		if _, ok := from.Sysctls[key]; ok && same || timing != when || !strings.Contains(key, within) {
			continue
		}
		if within == "" && when == early && concernsBridge(key, to) {
			continue // set when the link was
		}
		list = append(list, setSysctl{key, value})
	}
	return list
}

// concernsBridge tells sysctls of a link that is a bridge.
func concernsBridge(key string, to State) bool {
	return slices.ContainsFunc(to.Links, func(l Link) bool {
		return l.Kind == "bridge" && strings.Contains(key, "/"+l.Name+"/")
	})
}

func forwardingKey(link string) string { return "net/ipv6/conf/" + link + "/forwarding" }
