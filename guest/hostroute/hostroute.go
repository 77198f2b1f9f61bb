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
// the wire itself, as it does for those in a prefix of the host's own, the kernel
// can't answer for guests that are on the same bridge as the NIC: its proxy ARP
// wants another link. macrewrite.Answerer does; where nothing does, Config.State
// refuses such addresses.
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
	// Answered says that ARP for the guests' addresses is answered on the
	// provider's segment.
	Answered bool
}

// OnLink reports whether the provider's router asks for an address on the wire
// itself: it is in a prefix of the host's own.
func (c Config) OnLink(a netip.Addr) bool {
	return slices.ContainsFunc(c.Host, func(h netip.Prefix) bool { return h.Addr().Is4() && h.Bits() < 32 && h.Contains(a) })
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
			case h.Addr().Is4() && h.Bits() < 31 && h.Contains(a) && (a == h.Masked().Addr() || a == last(h)):
				return State{}, &plan.Refusal{Subject: "guests", Reason: fmt.Sprintf("%s is no machine's address in %s", a, h.Masked())}
			}
		}
		if c.OnLink(a) && !c.Answered {
			return State{}, &plan.Refusal{Subject: "guests", Reason: fmt.Sprintf("%s is in a prefix of the host's own, so that the provider's router asks for it by ARP, and nobody answers for a guest on the same bridge; have the provider route it to the host", a)}
		}
		s.Routes = append(s.Routes, a)
	}
	slices.SortFunc(s.Routes, netip.Addr.Compare)
	s.Routes = slices.Compact(s.Routes)
	return s, nil
}

// last is an IPv4 prefix's broadcast address.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
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
