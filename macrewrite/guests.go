package macrewrite

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// Addresses returns the IPv6 addresses that the guest may use in any case: its
// link-local one, that in the /64, and those of its list.
func (g Guest) Addresses(prefix netip.Prefix) []netip.Addr {
	out := []netip.Addr{slaac.LinkLocal(g.MAC)}
	if a, err := slaac.Addr(prefix, g.MAC); err == nil {
		out = append(out, a)
	}
	for _, a := range g.Addrs {
		if a = a.WithZone(""); !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// String names the guest in messages.
func (g Guest) String() string {
	if g.Name != "" {
		return g.Name
	}
	return g.MAC.String()
}

// checkGuests refuses guests that could not be told apart, from each other, the
// host or its gateways. c has its defaults.
func (c Config) checkGuests() error {
	refuse := func(g Guest, format string, args ...any) error {
		return &plan.Refusal{Subject: "guest " + g.String(), Reason: fmt.Sprintf(format, args...)}
	}
	macs, ports, addrs := map[slaac.MAC]Guest{}, map[string]Guest{}, map[netip.Addr]Guest{}
	for _, g := range c.Guests {
		switch {
		case g.MAC.IsZero():
			return refuse(g, "has no MAC")
		case g.MAC.IsMulticast():
			return refuse(g, "%s is a group address, which no interface has", g.MAC)
		case g.MAC == c.MAC:
			return refuse(g, "%s is the host's own MAC", g.MAC)
		case slices.ContainsFunc(c.GatewayMACs, func(n Neighbor) bool { return n.MAC == g.MAC }):
			return refuse(g, "%s is a gateway's MAC", g.MAC)
		case g.Port != "" && !nft.ValidIfName(g.Port):
			return refuse(g, "%q is not a name an interface can have", g.Port)
		case g.Port != "" && (g.Port == c.Uplink || g.Port == c.Bridge || slices.Contains(c.OtherPorts, g.Port)):
			return refuse(g, "%s is not a port of a guest", g.Port)
		}
		if other, taken := macs[g.MAC]; taken {
			return refuse(g, "has the MAC of %s, %s", other, g.MAC)
		}
		macs[g.MAC] = g
		if other, taken := ports[g.Port]; taken && g.Port != "" {
			return refuse(g, "has the port of %s, %s", other, g.Port)
		}
		ports[g.Port] = g
		for _, a := range g.Addrs {
			if !a.Is6() || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
				return refuse(g, "%s is not an IPv6 address of an interface", a)
			}
			if !c.Prefix.Contains(a.WithZone("")) && !a.IsLinkLocalUnicast() {
				return refuse(g, "%s is not in %s", a, c.Prefix)
			}
		}
		for _, a := range g.ExtraIPv4 {
			if !a.Is4() || !a.IsGlobalUnicast() {
				return refuse(g, "%s is not an IPv4 address of an interface", a)
			}
		}
		for _, a := range slices.Concat(g.Addresses(c.Prefix), g.ExtraIPv4) {
			if other, taken := addrs[a]; taken {
				return refuse(g, "has the address of %s, %s", other, a)
			}
			addrs[a] = g
			switch {
			case slices.Contains(c.Host, a):
				return refuse(g, "%s is the host's own address", a)
			case slices.Contains(c.Gateways, a):
				return refuse(g, "%s is a gateway's address", a)
			case slices.ContainsFunc(c.GuestDNS, func(d netip.AddrPort) bool { return d.Addr() == a }):
				return refuse(g, "%s is where the host answers DNS", a)
			}
		}
	}
	return nil
}
