package bridge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

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
		p.Steps = append(p.Steps, plan.Step{
			Phase: c.phase(),
			Part:  Part,
			Text:  c.String(),
			Do:    func(ctx context.Context) error { return execute(ctx, c) },
		})
	}
	return p, nil
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
		if !exists || l.Kind == "bridge" {
			add(sysctlChanges(from, to, "/"+l.Name+"/", early)...)
		}
		if exists && l.Kind == "bridge" && have.MulticastSnooping != l.MulticastSnooping {
			add(setSnooping{l.Name, l.MulticastSnooping})
		}
		if exists && have.MAC != l.MAC {
			add(setMAC{l.Name, l.MAC})
		}
		if exists && have.MTU != l.MTU {
			add(setMTU{l.Name, l.MTU})
		}
		if l.Up && !have.Up {
			add(setUp{l.Name, true})
		}
	}
	add(sysctlChanges(from, to, "", early)...)

	// Addresses, usable at once, then the changes of those that stay.
	wanted := slices.Concat(to.Addrs, to.Retiring)
	var hasty []Addr
	for _, a := range wanted {
		if _, ok := find(from.Addrs, a); !ok {
			add(addAddr{a})
			if a.Prefix.Addr().Is6() {
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
		if !slices.Contains(from.Neighbors, n) && (n.Permanent || !settled(from, to)) {
			add(addNeighbor{n})
		}
	}

	// The NIC changes its place.
	for _, l := range to.Links {
		if have, ok := from.link(l.Name); ok && have.Master != l.Master {
			add(setMaster{l.Name, l.Master})
		}
	}

	// Routes, each replaced by the one that takes its place.
	for _, r := range to.Routes {
		if !slices.Contains(from.Routes, r) {
			add(replaceRoute{r, slices.ContainsFunc(from.Routes, func(o Route) bool { return o.id() == r.id() })})
		}
	}
	for _, r := range from.Routes {
		if !slices.ContainsFunc(to.Routes, func(o Route) bool { return o.id() == r.id() }) {
			add(delRoute{r})
		}
	}

	// The old link is cleared.
	for _, n := range from.Neighbors {
		if n.Permanent && !slices.Contains(to.Neighbors, n) {
			add(delNeighbor{n})
		}
	}
	for _, a := range from.Addrs {
		if _, ok := find(wanted, a); !ok && !a.Temporary {
			add(delAddr{a, plan.Apply})
		}
	}
	for _, a := range hasty {
		add(settleAddr{a})
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
	for _, a := range to.Retiring {
		add(delAddr{a, plan.Confirm})
	}
	return dropRepeats(list)
}

// settled reports whether the bridge stands already, so that hints for the
// move are of no more use.
func settled(from, to State) bool {
	up, ok := from.link(to.Uplink)
	return ok && up.Master == to.Bridge
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
	for _, key := range slices.Sorted(maps.Keys(to.Sysctls)) {
		value := to.Sysctls[key]
		timing := early
		if strings.HasSuffix(key, "/addr_gen_mode") && value != "1" || strings.HasSuffix(key, "/forwarding") && value == "0" {
			timing = late
		}
		if have, ok := from.Sysctls[key]; ok && have == value || timing != when || !strings.Contains(key, within) {
			continue
		}
		if within == "" && concernsMissing(key, from, to) {
			continue // set when the link was made
		}
		list = append(list, setSysctl{key, value})
	}
	return list
}

// concernsMissing tells sysctls of a link that the plan makes.
func concernsMissing(key string, from, to State) bool {
	return slices.ContainsFunc(to.Links, func(l Link) bool {
		_, exists := from.link(l.Name)
		return !exists && strings.Contains(key, "/"+l.Name+"/")
	})
}

func dropRepeats(list []change) []change {
	var out []change
	for _, c := range list {
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}
