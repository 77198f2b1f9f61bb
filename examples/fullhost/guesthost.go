package main

import (
	"context"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/guest/hostroute"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/nat64/dns64"
	"github.com/sixhost/sixhost/slaac"
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

// plainClients are addresses of guests that the name server synthesises nothing
// for: they have an IPv4 address of their own, and want what the world has.
func (h host) plainClients() []netip.Prefix {
	var list []netip.Prefix
	for _, g := range h.guests {
		if !g.NoDNS64 {
			continue
		}
		addrs := append([]netip.Addr{g.address, slaac.LinkLocal(g.LinkAddr())}, g.entry.Addresses...)
		for _, a := range addrs {
			list = append(list, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return list
}

// hosts are the names that the name server answers for by itself: those of the
// zone, so that guests find each other before anybody has entered it anywhere,
// and whoever else comes or goes. Without a domain there are none.
func (h host) hosts() ([]dns64.Host, error) {
	if h.config.DNS.Domain == "" {
		return nil, nil
	}
	sections, err := h.zoneOf(hostName, h.config.DNS.Domain).Sections()
	if err != nil {
		return nil, err
	}
	var list []dns64.Host
	at := make(map[string]int)
	for _, s := range sections {
		for _, r := range s.Records {
			a, err := netip.ParseAddr(r.Value)
			if err != nil {
				continue // a PTR record
			}
			if _, known := at[r.Name]; !known {
				at[r.Name] = len(list)
				list = append(list, dns64.Host{Name: r.Name})
			}
			e := &list[at[r.Name]]
			e.Addrs = append(e.Addrs, a)
		}
	}
	return list, nil
}

func (h host) guestRoutes() hostroute.Config {
	// run answers ARP for them where the provider asks.
	cfg := hostroute.Config{Bridge: h.bridgeName, Guests: h.routedGuests(), Answered: true}
	for _, a := range h.wanted.Addrs {
		cfg.Host = append(cfg.Host, a.Prefix)
	}
	return cfg
}

// answers reports whether somebody on the provider's segment asks for guests'
// addresses, so that the host has to answer: for all of them, or for an IPv4
// address of a guest's own that is in a prefix of the host's.
func (h host) answers() bool {
	return h.edge.kind == macrewrite.OnLink || slices.ContainsFunc(h.routedGuests(), h.guestRoutes().OnLink)
}

// guestRoutesPart plans the routes to guests' own IPv4 addresses.
func (h host) guestRoutesPart(ctx context.Context) (part, error) {
	there, err := hostroute.Capture(ctx, h.bridgeName)
	if err != nil {
		return part{}, err
	}
	cfg := h.guestRoutes()
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
