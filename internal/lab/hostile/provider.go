package hostile

import (
	"math/rand/v2"
	"net/netip"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// providerNumbers is where the numbers of the provider side's attacks begin.
const providerNumbers = 101

// FromProvider returns the attacks that come in by the NIC, from somebody on the
// provider's segment with the given MAC. Seen at guests, or answered, they have
// got in.
func FromProvider(s Stage, seed uint64, attacker wire.MAC) []Attack {
	s.Attacker = attacker
	var list []Attack
	for i, a := range []struct {
		name string
		make func(*craft, *rand.Rand)
	}{
		{"router advertisement", providerRA},
		{"router advertisement behind extension headers", providerHiddenRA},
		{"redirect", providerRedirect},
		{"sources of the host and its guests", providerSources},
		{"neighbour discovery that claims guests", providerClaims},
		{"fragmented neighbour discovery", func(c *craft, _ *rand.Rand) { c.fragmentedND(c.Attacker, c.Victim, c.global(c.Other)) }},
		{"router solicitation", providerSolicits},
		{"NAT64 from outside", providerNAT64},
		{"the guests' DNS from outside", providerDNS},
		{"frames for guests' MACs", providerBridged},
		{"DHCP server answers", func(c *craft, _ *rand.Rand) { c.dhcp(c.Attacker, c.Victim) }},
		{"DHCPv6 server answers", func(c *craft, _ *rand.Rand) { c.dhcpv6(c.Attacker, c.Victim) }},
		{"VLAN tags, stacked too", providerTags},
		{randomName, func(c *craft, r *rand.Rand) { c.add(random(c, r, RandomFrames)...) }},
	} {
		c := newCraft(s, uint8(providerNumbers+i), a.name)
		c.attack.MayPass = a.name == randomName
		a.make(c, rand.New(rand.NewPCG(seed, uint64(providerNumbers+i))))
		list = append(list, c.attack)
	}
	return list
}

func providerRA(c *craft, _ *rand.Rand) {
	for _, src := range []netip.Addr{linkLocal(c.Attacker), linkLocal(c.Server), netip.MustParseAddr("fe80::1")} {
		for _, lifetime := range []uint16{1800, 0} {
			c.add(
				multicast6(c.Attacker, c.rogueRA(src, allNodes, c.Attacker, lifetime)),
				to6(c.Server, c.Attacker, c.rogueRA(src, linkLocal(c.Server), c.Attacker, lifetime)),
				to6(c.Victim, c.Attacker, c.rogueRA(src, linkLocal(c.Victim), c.Attacker, lifetime)),
			)
		}
	}
}

func providerHiddenRA(c *craft, _ *rand.Rand) {
	c.hiddenRAs(c.Attacker, c.Server, linkLocal(c.Attacker))
	c.hiddenRAs(c.Attacker, c.Victim, linkLocal(c.Attacker))
}

func providerRedirect(c *craft, _ *rand.Rand) {
	for _, src := range []netip.Addr{c.Gateway, netip.MustParseAddr("fe80::1"), linkLocal(c.Server)} {
		c.add(
			to6(c.Server, c.Attacker, c.redirect(src, c.Host, linkLocal(c.Attacker), c.Outside, c.Attacker)),
			to6(c.Victim, c.Attacker, c.redirect(src, c.global(c.Victim), linkLocal(c.Attacker), c.Outside, c.Attacker)),
		)
	}
}

func providerSources(c *craft, _ *rand.Rand) {
	for _, src := range []netip.Addr{c.Host, c.global(c.Victim), c.global(c.Other), linkLocal(c.Server), linkLocal(c.Other), c.Outside4} {
		for _, dst := range []netip.Addr{c.Host, c.global(c.Victim)} {
			for _, mac := range []wire.MAC{c.Attacker, c.Server, c.Other} {
				c.add(
					to6(c.Server, mac, c.echo(src, dst)),
					to6(c.Server, mac, ipv6(src, dst, protoUDP, 64, udp(netip.AddrPortFrom(src, 53), netip.AddrPortFrom(dst, 33333), c.mark()))),
				)
			}
		}
	}
	c.add(
		ethernet(c.Server, c.Attacker, typeIPv4, c.echo4(c.HostIPv4, c.HostIPv4)),
		ethernet(c.Server, c.Attacker, typeIPv4, c.echo4(netip.MustParseAddr("127.0.0.1"), c.HostIPv4)),
	)
}

func providerClaims(c *craft, _ *rand.Rand) {
	c.claims(c.Attacker, []wire.MAC{c.Server, c.Victim}, c.global(c.Victim), linkLocal(c.Victim), c.global(c.Other), linkLocal(c.Other))
}

func providerSolicits(c *craft, _ *rand.Rand) {
	src := linkLocal(c.Attacker)
	c.add(
		multicast6(c.Attacker, c.nd(src, allRouters, icmpRS, append([]byte{0, 0, 0, 0}, sourceLLA(c.Attacker)...))),
		to6(c.Server, c.Attacker, c.nd(src, linkLocal(c.Server), icmpRS, append([]byte{0, 0, 0, 0}, sourceLLA(c.Attacker)...))),
		multicast6(c.Attacker, c.nd(netip.IPv6Unspecified(), allRouters, icmpRS, []byte{0, 0, 0, 0})),
	)
}

func providerNAT64(c *craft, _ *rand.Rand) {
	for _, src := range []netip.Addr{c.Outside, c.global(c.Victim)} {
		c.add(
			to6(c.Server, c.Attacker, c.echo(src, c.Outside4)),
			to6(c.Server, c.Attacker, ipv6(src, c.Outside4, protoUDP, 64, udp(netip.AddrPortFrom(src, 5353), netip.AddrPortFrom(c.Outside4, 9), c.mark()))),
			to6(c.Server, c.Attacker, ipv6(src, c.Outside4, protoTCP, 64, syn(netip.AddrPortFrom(src, 5353), netip.AddrPortFrom(c.Outside4, 80)))),
		)
	}
}

func providerDNS(c *craft, _ *rand.Rand) {
	to := netip.AddrPortFrom(c.Host, 53)
	for _, src := range []netip.Addr{c.Outside, c.global(c.Victim), linkLocal(c.Attacker)} {
		from := netip.AddrPortFrom(src, 5353)
		c.add(
			to6(c.Server, c.Attacker, ipv6(src, to.Addr(), protoUDP, 64, udp(from, to, c.dnsQuestion()))),
			to6(c.Server, c.Attacker, ipv6(src, to.Addr(), protoTCP, 64, syn(from, to))),
		)
	}
}

func providerBridged(c *craft, _ *rand.Rand) {
	for _, to := range []wire.MAC{c.Victim, c.Other, broadcast, group(allNodes)} {
		c.add(
			to6(to, c.Attacker, c.echo(c.Outside, c.global(c.Victim))),
			to6(to, c.Attacker, c.echo(linkLocal(c.Attacker), linkLocal(c.Victim))),
			ethernet(to, c.Attacker, 0x88b5, c.mark()),
			c.markedARP(to, c.Attacker, typeARP, arp(1, c.Attacker, netip.MustParseAddr("203.0.113.98"), wire.MAC{}, netip.MustParseAddr("203.0.113.99"))),
		)
	}
}

func providerTags(c *craft, _ *rand.Rand) {
	vlanTags(c, nil)
	stackedTags(c, nil)
}
