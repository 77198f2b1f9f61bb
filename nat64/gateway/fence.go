package gateway

import (
	"slices"

	"github.com/sixhost/sixhost/internal/nft"
)

// fence keeps a host that did not forward IPv4 from being a router for more than
// NAT64. The kernel asks the link that a packet arrives by whether it is
// forwarded, and forwarding is switched on there for what goes to the device and
// comes back: without these rules whoever is on that link would reach the host's
// other networks, a VPN or containers for example. Answers, what somebody's rules
// lead there, and guests' own IPv4 addresses are let through.
//
// On a host that forwards IPv4 as a whole this was so before, and is the
// owner's business.
func (c Config) fence(there State) []nft.Rule {
	if there.Forwards {
		return nil
	}
	links := []string{c.GuestLink}
	if c.Uplink != c.GuestLink {
		links = append(links, c.Uplink)
	}
	rules := []nft.Rule{nft.NewRule("but what somebody's rules lead on", nft.Protocol(nft.EthIPv4), nft.CTDNAT(), nft.Accept())}
	for _, l := range links {
		match := c.notRouted(nft.Protocol(nft.EthIPv4), nft.IIFName(l), nft.Invert(nft.OIFName(c.Device)),
			nft.Invert(nft.CTState(nft.Established|nft.Related)))
		rules = append(rules, nft.NewRule("this host is no router for IPv4", append(match, nft.CountIn(counterInbound), nft.Drop())...))
	}
	return rules
}

// fenced puts the fence behind the other rules of what is forwarded.
func (c Config) fenced(t *nft.Table, there State) *nft.Table {
	i := slices.IndexFunc(t.Chains, func(ch nft.Chain) bool { return ch.Hook == "forward" })
	t.Chains[i].Rules = append(t.Chains[i].Rules, c.fence(there)...)
	return t
}
