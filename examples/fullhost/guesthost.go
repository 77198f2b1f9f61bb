package main

import (
	"context"
	"net/netip"

	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/guest/hostroute"
)

// What follows from the guests for packages that host.go has nothing of its own
// to say to.

// knownGuests are addresses that NAT64 keeps a mapping for, whether the guest
// is heard of or not.
func (h host) knownGuests() []netip.Addr {
	var list []netip.Addr
	for _, g := range h.guests {
		list = append(list, g.address)
	}
	return list
}

// routedGuests are the IPv4 addresses of guests' own.
func (h host) routedGuests() []netip.Addr {
	var list []netip.Addr
	for _, g := range h.guests {
		list = append(list, g.ExtraIPv4...)
	}
	return list
}

// guestRoutesPart plans the routes to guests' own IPv4 addresses.
func (h host) guestRoutesPart(ctx context.Context) (part, error) {
	there, err := hostroute.Capture(ctx, h.bridgeName)
	if err != nil {
		return part{}, err
	}
	cfg := hostroute.Config{Bridge: h.bridgeName, Guests: h.routedGuests()}
	for _, a := range h.wanted.Addrs {
		cfg.Host = append(cfg.Host, a.Prefix)
	}
	return partOf(hostroute.Part, there, cfg.State, hostroute.Plan)
}

// guestHost is what all domains have in common.
func (h host) guestHost() guest.Host {
	return guest.Host{Bridge: h.bridgeName, Emulate: h.config.Libvirt.Emulate, Emulator: h.config.Libvirt.Emulator}
}

// surroundings are what a guest's own system has to know.
func (h host) surroundings() (guest.Surroundings, error) {
	s := guest.Surroundings{Domain: h.config.DNS.Domain}
	if len(h.ipv4) > 0 {
		s.Gateway4 = h.ipv4[0]
	}
	upstreams, err := h.upstreams()
	if err != nil {
		return guest.Surroundings{}, err
	}
	for _, u := range upstreams {
		s.Resolvers = append(s.Resolvers, u.Addr())
	}
	return s, nil
}
