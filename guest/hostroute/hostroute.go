// Package hostroute leads IPv4 addresses of guests' own from the host to the
// bridge that the guests are on.
//
// The provider routes such an address to the host. The host needs a route to it
// on the bridge, the guest takes the host as its gateway, and the provider sees
// the host's MAC alone, as for everything else. [Config.State] is the routes
// wanted, [Capture] those that are there by [Protocol], [Plan] the steps between
// the two.
//
// It does not answer ARP. Where the provider's router asks for every address on
// the wire itself, the kernel can't answer for guests that are on the same
// bridge as the NIC (its proxy ARP wants another link), and Config.State refuses
// addresses that lie in a prefix of the host's own.
//
// Routes need Linux and CAP_NET_ADMIN.
package hostroute

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/plan"
)

// Part is the name of this package in plans and captured states.
const Part = "hostroute"

// Protocol marks the routes as made here, as rt_protos(5) has it; nobody else
// is known to use the number.
const Protocol = 143

// Config says what is wanted.
type Config struct {
	// Bridge that the guests are on. Required.
	Bridge string
	// Guests are the guests' own IPv4 addresses.
	Guests []netip.Addr
	// Host are the host's own addresses, with the lengths of their prefixes.
	Host []netip.Prefix
}

// State is the routes on a bridge that were made here.
type State struct {
	Bridge string       `json:"bridge"`
	Routes []netip.Addr `json:"routes,omitempty"`
}

// State returns what is wanted, or a [*plan.Refusal].
func (c Config) State(State) (State, error) {
	s := State{Bridge: c.Bridge}
	for _, a := range c.Guests {
		for _, h := range c.Host {
			switch {
			case h.Addr() == a:
				return State{}, &plan.Refusal{Subject: "guests", Reason: fmt.Sprintf("%s is the host's own address", a)}
			case h.Addr().Is4() && h.Bits() < 32 && h.Contains(a):
				return State{}, &plan.Refusal{Subject: "guests", Reason: fmt.Sprintf("%s is on-link at the provider (the host has %s), whose router would ask for it by ARP, and nobody answers for a guest on the same bridge; have the provider route it to the host", a, h)}
			}
		}
		s.Routes = append(s.Routes, a)
	}
	slices.SortFunc(s.Routes, netip.Addr.Compare)
	s.Routes = slices.Compact(s.Routes)
	return s, nil
}

// Plan leads from one state to another.
func Plan(from, to State) (plan.Plan, error) {
	var p plan.Plan
	add := func(text string, do func(context.Context) error) {
		p.Steps = append(p.Steps, plan.Step{Phase: plan.Apply, Part: Part, Text: text, Do: do})
	}
	for _, a := range to.Routes {
		if from.Bridge != to.Bridge || !slices.Contains(from.Routes, a) {
			add(fmt.Sprintf("lead a guest's own %s to %s", a, to.Bridge), func(ctx context.Context) error { return set(ctx, to.Bridge, a, true) })
		}
	}
	for _, a := range from.Routes {
		if from.Bridge != to.Bridge || !slices.Contains(to.Routes, a) {
			add(fmt.Sprintf("no longer lead %s to %s", a, from.Bridge), func(ctx context.Context) error { return set(ctx, from.Bridge, a, false) })
		}
	}
	return p, nil
}

// Restorer takes the routes back to a captured state.
func Restorer() plan.Restorer {
	return plan.RestorerOf(Part, func(ctx context.Context, like State) (State, error) { return Capture(ctx, like.Bridge) }, Plan)
}
