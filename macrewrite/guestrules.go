package macrewrite

import (
	"net/netip"
	"slices"
	"time"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/slaac"
)

// Limits of a port, and of the uplink. An entry for an address that nobody has
// stays in the kernel's neighbour table for three seconds of asking, and five
// more until it may be thrown out; the table has 1,024 for all namespaces.
const (
	// Clients send three router solicitations in a row (RFC 4861, section 10).
	rsPerSecond, rsBurst = 1, 6
	// Solicitations and packets for addresses that nobody is known to have.
	nsPerSecond, nsBurst         = 20, 60
	absentPerSecond, absentBurst = 20, 60
	// Addresses that a guest takes by itself: a temporary one a day, more when
	// it starts.
	newPerMinute, newBurst = 6, 16

	// seenFor is how long an address counts as somebody's after its last packet.
	seenFor = 10 * time.Minute
	// seenMost is the size of the account of those.
	seenMost = 1 << 16
	// portsMost is more than a bridge can have.
	portsMost = 4096
)

// Types of ICMPv6 (IANA).
const (
	mldReport, mldReport2 = 131, 143
)

// fragment is the next header value of a fragment header (RFC 8200, section 4.5).
const fragment = 44

// sourceFields is what says who sent a frame.
func sourceFields() nft.Kind {
	return nft.Fields(nft.KindIIFName, nft.KindEtherSaddr, nft.KindIP6Saddr)
}

// guestFields says the same of IPv6 without a tag, in one lookup.
func guestFields() nft.Kind {
	return nft.Fields(nft.KindIIFName, nft.KindEtherFrom, nft.KindIP6From)
}

// guestSets hold what follows from the list of guests: [nft.Update] alone leads
// from one list to another.
func (c Config) guestSets() []nft.Set {
	var sources, targets, options, rsOptions, members, strict, ports []string
	var looseSources, looseTargets, looseOptions, looseMACs, looseStrict []string
	var live, live4, arps, ip4 []string
	taken := []string{c.MAC.String()}
	for _, n := range c.GatewayMACs {
		taken = append(taken, n.MAC.String())
	}
	for _, g := range c.Guests {
		for _, a := range g.Addresses(c.Prefix) {
			live = append(live, a.String())
			if g.Port == "" {
				looseSources = append(looseSources, nft.Tuple(g.MAC, a))
				looseTargets = append(looseTargets, nft.Tuple(g.MAC, a))
				continue
			}
			sources = append(sources, nft.Tuple(g.Port, nft.From(g.MAC, nft.EthIPv6), a))
			targets = append(targets, nft.Tuple(g.Port, g.MAC, a))
		}
		for _, a := range g.ExtraIPv4 {
			live4 = append(live4, a.String())
		}
		if g.Port == "" {
			looseMACs = append(looseMACs, g.MAC.String())
			looseOptions = append(looseOptions, nft.Tuple(g.MAC, g.MAC))
			if !g.Open {
				looseStrict = append(looseStrict, g.MAC.String())
			}
			continue
		}
		taken = append(taken, g.MAC.String())
		ports = append(ports, g.Port)
		members = append(members, nft.Tuple(g.Port, g.MAC))
		if !g.Open {
			strict = append(strict, nft.Tuple(g.Port, g.MAC))
		}
		options = append(options, nft.Tuple(g.Port, g.MAC))
		rsOptions = append(rsOptions, nft.Tuple(g.Port, g.MAC))
		for _, a := range g.ExtraIPv4 {
			ip4 = append(ip4, nft.Tuple(g.Port, g.MAC, a))
			// Zero asks whether somebody has the address (RFC 5227, section 2.1.1).
			for _, sender := range []netip.Addr{a, netip.IPv4Unspecified()} {
				arps = append(arps, nft.Tuple(g.Port, g.MAC, g.MAC, sender))
			}
		}
	}
	known, targets6 := slices.Clone(live), slices.Clone(live)
	for _, a := range slices.Concat(c.Host, c.Gateways) {
		if a.Is6() {
			targets6 = append(targets6, a.String())
		}
		// Others are no source that a guest could take.
		if c.Prefix.Contains(a) || a.Is6() && a.IsLinkLocalUnicast() {
			known = append(known, a.String())
		}
	}
	others := slices.Concat(taken, looseMACs)
	tuple := nft.Concat
	return []nft.Set{
		nft.NewSet("guest-sources", tuple(nft.IfName, nft.EtherFrom, nft.IP6From), sources...),
		nft.NewSet("guest-targets", tuple(nft.IfName, nft.EtherAddr, nft.NDTargets), targets...),
		nft.NewSet("guest-options", tuple(nft.IfName, nft.NDOptionMAC), options...),
		nft.NewSet("guest-rs-options", tuple(nft.IfName, nft.RSOptionMAC), rsOptions...),
		nft.NewSet("guest-members", tuple(nft.IfName, nft.EtherAddr), members...),
		nft.NewSet("guest-strict", tuple(nft.IfName, nft.EtherAddr), strict...),
		nft.NewSet("guest-ports", nft.IfName, ports...),
		nft.NewSet("guest-arp", tuple(nft.IfName, nft.EtherAddr, nft.EtherAddr, nft.IPv4Addr), arps...),
		nft.NewSet("guest-ip4", tuple(nft.IfName, nft.EtherAddr, nft.IPv4Addr), ip4...),
		nft.NewSet("loose-sources", tuple(nft.EtherAddr, nft.IPv6Addr), looseSources...),
		nft.NewSet("loose-targets", tuple(nft.EtherAddr, nft.NDTargets), looseTargets...),
		nft.NewSet("loose-options", tuple(nft.EtherAddr, nft.NDOptionMAC), looseOptions...),
		nft.NewSet("loose-rs-options", tuple(nft.EtherAddr, nft.RSOptionMAC), looseOptions...),
		nft.NewSet("loose-strict", nft.EtherAddr, looseStrict...),
		nft.NewSet("taken-macs", nft.EtherAddr, taken...),
		nft.NewSet("taken-options", nft.NDOptionMAC, others...),
		nft.NewSet("taken-rs-options", nft.RSOptionMAC, others...),
		nft.NewSet("known-addrs", nft.IPv6Addr, known...),
		nft.NewSet("known-targets", nft.NDTargets, targets6...),
		nft.NewSet("live-addrs", nft.IPv6Addr, live...),
		nft.NewSet("live-targets", nft.NDTargets, live...),
		nft.NewSet("live-addrs4", nft.IPv4Addr, live4...),
	}
}

// accountSeenAddrs is the account of these addresses alone.
func accountSeenAddrs() nft.Set {
	return nft.DynamicSet("seen-addrs", nft.IPv6Addr, seenMost, seenFor)
}

// accountSeen is the account of who sent from which address of its own choice.
func accountSeen() nft.Set {
	return nft.DynamicSet("seen", nft.Concat(nft.IfName, nft.EtherAddr, nft.IPv6Addr), seenMost, seenFor)
}

// accountSets are those that rules keep account in.
func accountSets() []nft.Set {
	return []nft.Set{
		nft.DynamicSet("rs-of-port", nft.IfName, portsMost, 0),
		nft.DynamicSet("ns-of-port", nft.IfName, portsMost, 0),
		nft.DynamicSet("absent-of-port", nft.IfName, portsMost, 0),
		nft.DynamicSet("new-of-port", nft.IfName, portsMost, 0),
		accountSeen(),
		accountSeenAddrs(),
		nft.NewSet("guest-icmp", nft.ICMPv6Types,
			// Errors, echo, MLD reports, node information, extended echo.
			"1", "2", "3", "4", "128", "129", "131", "132", "143", "139", "140", "160", "161"),
		nft.NewSet("guest-nd", nft.ICMPv6Types, "133", "135", "136"),
	}
}

// fromGuest are the chains for what guests send. A frame goes by its ethertype
// and source to ip6-from-guest, and ends there as accepted or dropped:
//
//	prerouting -> ip6-beyond -> ip6-from-guest              one of a guest's own addresses
//	           -> from-guest -> ip6-of-others -> ip6-from-guest     a guest without a port yet
//	                                          -> ip6-of-open -> ip6-from-guest   an address not in a list
//	                                          -> ip6-unspecified    no address yet
func (c Config) fromGuest() []nft.Chain {
	icmp := func(typ uint8, to nft.Expr) nft.Rule { return nft.NewRule("", nft.ICMPv6Type(typ), to) }
	nothing := nft.SaddrIs(netip.IPv6Unspecified())
	linkLocal := netip.PrefixFrom(slaac.LinkLocal(slaac.MAC{}), 64).Masked()

	others := nft.Chain{Name: "ip6-of-others", Rules: []nft.Rule{
		nft.NewRule("", nft.In(nft.Fields(nft.KindIIFName, nft.KindEtherSaddr), "guest-members"), nft.Goto("ip6-of-member")),
		drop(MACFromGuest, "the port has a guest with another", nft.In(nft.KindIIFName, "guest-ports")),
		drop(MACFromGuest, "it belongs elsewhere", nft.In(nft.KindEtherSaddr, "taken-macs")),
	}}
	loose := []nft.Rule{
		nft.NewRule("a guest whose port is not known", nft.In(nft.Fields(nft.KindEtherSaddr, nft.KindIP6Saddr), "loose-sources"), nft.Goto("ip6-from-guest")),
		nft.NewRule("", nothing, nft.Goto("ip6-unspecified")),
		drop(SourceFromGuest, "", nft.In(nft.KindEtherSaddr, "loose-strict")),
		nft.NewRule("", nft.Goto("ip6-of-open")),
	}
	if c.Unlisted == UnlistedDrop {
		loose = []nft.Rule{drop(UnlistedFromGuest, "")}
	}
	others.Rules = append(others.Rules, loose...)

	return []nft.Chain{
		{Name: "from-guest", Rules: []nft.Rule{
			nft.NewRule("another bridge's", nft.In(nft.KindIIFName, "other-ports"), nft.Accept()),
			nft.NewRule("", nft.EtherType(nft.EthIPv6), nft.Goto("ip6-of-others")),
			nft.NewRule("", nft.EtherType(nft.EthARP), nft.In(nft.Fields(nft.KindIIFName, nft.KindEtherSaddr, nft.KindARPSMAC, nft.KindARPSIP), "guest-arp"), nft.Accept()),
			drop(ARPFromGuest, "", nft.EtherType(nft.EthARP)),
			nft.NewRule("", nft.EtherType(nft.EthIPv4), nft.In(nft.Fields(nft.KindIIFName, nft.KindEtherSaddr, nft.KindIPSaddr), "guest-ip4"), nft.Goto("ip4-from-guest")),
			drop(IPv4FromGuest, "", nft.EtherType(nft.EthIPv4)),
			drop(EthertypeFromGuest, "tags too"),
		}},
		{Name: "ip4-from-guest", Rules: []nft.Rule{
			drop(DHCPFromGuest, "", nft.UDPSport(67)),
			drop(DHCPFromGuest, "", nft.UDPDport(68)),
		}},
		others,
		{Name: "ip6-of-member", Rules: []nft.Rule{
			nft.NewRule("", nothing, nft.Goto("ip6-unspecified")),
			drop(SourceFromGuest, "", nft.In(nft.Fields(nft.KindIIFName, nft.KindEtherSaddr), "guest-strict")),
			nft.NewRule("", nft.Goto("ip6-of-open")),
		}},
		{Name: "ip6-of-open", Rules: []nft.Rule{
			drop(SourceFromGuest, "somebody else's", nft.In(nft.KindIP6Saddr, "known-addrs")),
			nft.NewRule("", nft.Saddr(c.Prefix), nft.Goto("ip6-of-seen")),
			nft.NewRule("", nft.Saddr(linkLocal), nft.Goto("ip6-of-seen")),
			drop(SourceFromGuest, "not of this link"),
		}},
		{Name: "ip6-of-seen", Rules: []nft.Rule{
			nft.NewRule("", nft.In(sourceFields(), "seen"), nft.Remember(sourceFields(), "seen"), nft.Remember(nft.KindIP6Saddr, "seen-addrs"), nft.Goto("ip6-from-guest")),
			drop(NewLimitFromGuest, "", nft.OverPer(nft.KindIIFName, "new-of-port", newPerMinute, "minute", newBurst)),
			nft.NewRule("", nft.Remember(sourceFields(), "seen"), nft.Remember(nft.KindIP6Saddr, "seen-addrs"), nft.Goto("ip6-from-guest")),
			drop(NewLimitFromGuest, "no room for more"),
		}},
		{Name: "ip6-unspecified", Rules: []nft.Rule{
			icmp(mldReport2, nft.Accept()),
			icmp(mldReport, nft.Accept()),
			icmp(nft.NeighbrSolicit, nft.Goto("nd-from-guest")),
			icmp(nft.RouterSolicit, nft.Goto("nd-from-guest")),
			drop(SourceFromGuest, "only to ask for one's own"),
		}},
		{Name: "ip6-beyond", Rules: []nft.Rule{
			// The kernel names a transport protocol only where the headers before it hold.
			nft.NewRule(shortWay, firstHeader(nft.TCP), nft.L4Proto(nft.TCP), nft.Accept()),
			nft.NewRule("DHCP", portAt(2, 546), nft.Goto("ip6-from-guest")),
			nft.NewRule("DHCP", portAt(0, 547), nft.Goto("ip6-from-guest")),
			nft.NewRule(shortWay, firstHeader(nft.UDP), nft.L4Proto(nft.UDP), nft.Accept()),
			nft.NewRule("", nft.Goto("ip6-from-guest")),
		}},
		{Name: "ip6-from-guest", Rules: []nft.Rule{
			nft.NewRule("", nft.Daddr(c.Prefix), nft.Jump("absent-from-guest")),
			nft.NewRule("", nft.Protocol(nft.EthIPv6), nft.L4Proto(nft.ICMPv6), nft.Goto("icmp-from-guest")),
			drop(DHCPFromGuest, "", nft.UDPSport(547)),
			drop(DHCPFromGuest, "", nft.UDPDport(546)),
			nft.NewRule("the headers end somewhere", nft.Invert(nft.L4Proto(255)), nft.Accept()),
			drop(MalformedFromGuest, ""),
		}},
		{Name: "absent-from-guest", Rules: []nft.Rule{
			nft.NewRule("", nft.In(nft.KindIP6Daddr, "known-addrs"), nft.Return()),
			nft.NewRule("", nft.In(nft.KindIP6Daddr, "seen-addrs"), nft.Return()),
			drop(AbsentLimitFromGuest, "", nft.OverPer(nft.KindIIFName, "absent-of-port", absentPerSecond, "second", absentBurst)),
		}},
		{Name: "icmp-from-guest", Rules: []nft.Rule{
			nft.NewRule("", nft.In(nft.KindICMPv6Type, "guest-icmp"), nft.Accept()),
			drop(RAFromGuest, "", nft.ICMPv6Type(nft.RouterAdvert)),
			drop(RedirectFromGuest, "", nft.ICMPv6Type(nft.Redirect6)),
			nft.NewRule("a later fragment, nothing without the first", nft.IP6Nexthdr(fragment), nft.Invert(nft.Payload(nft.NetworkHeader, 42, []byte{0, 0}, []byte{0xff, 0xf8})), nft.Accept()),
			nft.NewRule("", nft.In(nft.KindICMPv6Type, "guest-nd"), nft.Goto("nd-from-guest")),
			drop(ICMPFromGuest, ""),
		}},
		{Name: "nd-from-guest", Rules: []nft.Rule{
			drop(FragmentedNDFromGuest, "", nft.IP6Nexthdr(fragment)),
			drop(HiddenNDFromGuest, "", nft.Invert(nft.IP6Nexthdr(nft.ICMPv6))),
			icmp(nft.RouterSolicit, nft.Goto("rs-from-guest")),
			icmp(nft.NeighbrAdvert, nft.Jump("target-from-guest")),
			nft.NewRule("", nothing, nft.Jump("target-from-guest")),
			nft.NewRule("", nft.Invert(nothing), nft.Jump("option-from-guest")),
			nft.NewRule("", nft.In(nft.KindNDTarget, "known-targets"), nft.Accept()),
			drop(NSLimitFromGuest, "", nft.OverPer(nft.KindIIFName, "ns-of-port", nsPerSecond, "second", nsBurst)),
		}},
		{Name: "target-from-guest", Rules: []nft.Rule{
			nft.NewRule("", nft.In(nft.Fields(nft.KindIIFName, nft.KindEtherSaddr, nft.KindNDTarget), "guest-targets"), nft.Return()),
			nft.NewRule("", nft.In(nft.Fields(nft.KindEtherSaddr, nft.KindNDTarget), "loose-targets"), nft.Return()),
			drop(NDFromGuest, "", nft.In(nft.Fields(nft.KindIIFName, nft.KindEtherSaddr), "guest-strict")),
			drop(NDFromGuest, "", nft.In(nft.KindEtherSaddr, "loose-strict")),
			drop(NDFromGuest, "somebody else's", nft.In(nft.KindNDTarget, "known-targets")),
		}},
		{Name: "option-from-guest", Rules: []nft.Rule{
			nft.NewRule("none", nft.IP6Length(24), nft.Return()),
			nft.NewRule("one", nft.IP6Length(32), nft.In(nft.Fields(nft.KindIIFName, nft.KindNDOption), "guest-options"), nft.Return()),
			drop(NDOptionFromGuest, "", nft.In(nft.KindIIFName, "guest-ports")),
			nft.NewRule("", nft.IP6Length(32), nft.In(nft.Fields(nft.KindEtherSaddr, nft.KindNDOption), "loose-options"), nft.Return()),
			drop(NDOptionFromGuest, "", nft.In(nft.KindNDOption, "taken-options")),
		}},
		{Name: "rs-from-guest", Rules: []nft.Rule{
			nft.NewRule("none", nft.IP6Length(8), nft.Goto("rs-limit")),
			nft.NewRule("one", nft.IP6Length(16), nft.In(nft.Fields(nft.KindIIFName, nft.KindRSOption), "guest-rs-options"), nft.Goto("rs-limit")),
			drop(NDOptionFromGuest, "", nft.In(nft.KindIIFName, "guest-ports")),
			nft.NewRule("", nft.IP6Length(16), nft.In(nft.Fields(nft.KindEtherSaddr, nft.KindRSOption), "loose-rs-options"), nft.Goto("rs-limit")),
			drop(NDOptionFromGuest, "", nft.In(nft.KindRSOption, "taken-rs-options")),
			nft.NewRule("", nft.Goto("rs-limit")),
		}},
		{Name: "rs-limit", Rules: []nft.Rule{
			drop(RSLimitFromGuest, "", nft.OverPer(nft.KindIIFName, "rs-of-port", rsPerSecond, "second", rsBurst)),
		}},
	}
}
