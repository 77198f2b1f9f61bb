package macrewrite

import (
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/slaac"
)

// TableName is the name of the table, in the bridge family.
const TableName = "sixhost_edge"

// Owner is the table's comment, for those who list the rules of the host.
const Owner = "sixhost owns this table: what may cross between guests and the provider. Changes by others are put back"

// Priorities of the chains: see "Order against other tables".
const (
	priorityIn  = -400
	priorityOut = 400
)

// guests returns the prefixes in which guests have addresses: the /64, and the
// link-local addresses that follow from MACs in 52:54:00, which QEMU and
// libvirt give.
func guests(prefix netip.Prefix) []netip.Prefix {
	return []netip.Prefix{prefix, netip.PrefixFrom(slaac.LinkLocal(slaac.MAC{0x52, 0x54}), 104)}
}

func looksLikeGuest(prefix netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(guests(prefix), func(p netip.Prefix) bool { return p.Contains(a) })
}

// rules makes the table. c is checked and has its defaults.
func (c Config) rules() *nft.Table {
	t := &nft.Table{Family: nft.Bridge, Name: TableName, Comment: Owner}
	for _, r := range Reasons() {
		t.Counters = append(t.Counters, string(r))
	}
	t.Sets = slices.Concat(c.hostSets(), c.guestSets(), accountSets())
	t.Chains = slices.Concat(
		[]nft.Chain{c.prerouting(), c.toPrefix(), c.forward(), c.postrouting(), c.fromHost(), c.leaving()},
		c.fromUplink(),
		[]nft.Chain{c.neighbours("nd-from-uplink", NDFromUplink), c.neighbours("nd-to-uplink", NDInsidePrefixToUplink)},
		c.fromGuest(),
	)
	return t
}

// hostSets hold what follows from the host and its provider.
func (c Config) hostSets() []nft.Set {
	var own4, own6, gateways []netip.Prefix
	var free, pairs []string // gateways in the /64
	if c.Kind == Routed {
		own6 = append(own6, c.Prefix)
	}
	own6 = append(own6, c.NAT64...)
	for _, a := range c.Host {
		if a.Is4() {
			own4 = append(own4, single(a))
		} else {
			own6 = append(own6, single(a))
		}
	}
	for _, a := range c.Gateways {
		if looksLikeGuest(c.Prefix, a) {
			gateways = append(gateways, single(a))
		}
		if !c.Prefix.Contains(a) {
			continue
		}
		i := slices.IndexFunc(c.GatewayMACs, func(n Neighbor) bool { return n.Addr.Unmap().WithZone("") == a })
		if i < 0 {
			free = append(free, a.String())
			continue
		}
		pairs = append(pairs, nft.Tuple(a, c.GatewayMACs[i].MAC))
	}
	var dns4, dns6 []string
	for _, d := range c.GuestDNS {
		list := &dns6
		if d.Addr().Is4() {
			list = &dns4
		}
		*list = append(*list, nft.Tuple(d.Addr(), nft.UDP, d.Port()), nft.Tuple(d.Addr(), nft.TCP, d.Port()))
	}
	return []nft.Set{
		nft.PrefixSet("own4", nft.IPv4Addr, own4...),
		nft.PrefixSet("own6", nft.IPv6Addr, own6...),
		nft.PrefixSet("guests6", nft.IPv6Addr, guests(c.Prefix)...),
		nft.PrefixSet("nat64", nft.IPv6Addr, c.NAT64...),
		nft.PrefixSet("gateways6", nft.IPv6Addr, gateways...),
		nft.NewSet("gateways-any-mac", nft.IPv6Addr, free...),
		nft.NewSet("gateways-mac", nft.Concat(nft.IPv6Addr, nft.EtherAddr), pairs...),
		nft.NewSet("dns4", nft.Concat(nft.IPv4Addr, nft.INetProto, nft.INetService), dns4...),
		nft.NewSet("dns6", nft.Concat(nft.IPv6Addr, nft.INetProto, nft.INetService), dns6...),
		nft.NameSet("other-ports", c.OtherPorts...),
	}
}

// prerouting looks at what comes in by a port, before the bridge learns its
// source. Most of it is for elsewhere and from a guest of the list, which one
// lookup tells; what is for the /64 comes by the uplink most of the time. The
// first rule chooses the order of the tests by that, and no more: it may be
// wrong about what is not IPv6.
func (c Config) prerouting() nft.Chain {
	return nft.Chain{Name: "prerouting", Type: "filter", Hook: "prerouting", Priority: priorityIn, Policy: "accept", Rules: []nft.Rule{
		nft.NewRule("to the /64", append(words(daddrAt, c.Prefix), nft.Goto("to-prefix"))...),
		nft.NewRule("a guest's own", nft.In(guestFields(), "guest-sources"), nft.Goto("ip6-beyond")),
		nft.NewRule("", nft.IIFName(c.Uplink), nft.Goto("from-uplink")),
		nft.NewRule("", nft.Goto("from-guest")),
	}}
}

// toPrefix is prerouting in another order, for what is to an address of the /64.
func (c Config) toPrefix() nft.Chain {
	return nft.Chain{Name: "to-prefix", Rules: []nft.Rule{
		nft.NewRule("", nft.IIFName(c.Uplink), nft.Goto("from-uplink")),
		nft.NewRule("a guest's own", nft.In(guestFields(), "guest-sources"), nft.Goto("ip6-from-guest")),
		nft.NewRule("", nft.Goto("from-guest")),
	}}
}

// forward parts guests and uplink, for frames of every kind, and guests from
// each other where that is wanted.
func (c Config) forward() nft.Chain {
	ch := nft.Chain{Name: "forward", Type: "filter", Hook: "forward", Priority: priorityIn, Policy: "accept", Rules: []nft.Rule{
		drop(GuestToUplink, "", nft.OIFName(c.Uplink)),
		drop(UplinkToGuest, "", nft.IIFName(c.Uplink)),
	}}
	if c.Isolate {
		ch.Rules = append(ch.Rules, drop(GuestToGuest, "", nft.Invert(nft.In(nft.KindIIFName, "other-ports"))))
	}
	return ch
}

// postrouting is the last line before the wire. The host's own IPv6 is told by
// one comparison, of source and ethertype.
func (c Config) postrouting() nft.Chain {
	return nft.Chain{Name: "postrouting", Type: "filter", Hook: "postrouting", Priority: priorityOut, Policy: "accept", Rules: []nft.Rule{
		nft.NewRule("the host's own IPv6", nft.Payload(nft.LinkHeader, 6, append(c.MAC[:], byte(nft.EthIPv6>>8), byte(nft.EthIPv6&0xff)), nil), nft.Goto("ip6-from-host")),
		nft.NewRule("", nft.Goto("leaving")),
	}}
}

// fromHost lets go what no rule of leaving is about, by whatever port: TCP and UDP
// between addresses that are far from here. The rest is looked at there.
func (c Config) fromHost() nft.Chain {
	ch := nft.Chain{Name: "ip6-from-host", Rules: append(c.near(daddrAt, nft.Goto("leaving")),
		nft.NewRule("", append(linkLocalAt(saddrAt), nft.Goto("leaving"))...),
	)}
	for _, proto := range []uint8{nft.UDP, nft.TCP} {
		ch.Rules = append(ch.Rules, nft.NewRule(shortWay, firstHeader(proto), nft.Accept()))
	}
	ch.Rules = append(ch.Rules, nft.NewRule("", nft.Goto("leaving")))
	return ch
}

// leaving looks at what leaves by a port, once for each.
func (c Config) leaving() nft.Chain {
	linkLocal, multicast := netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8")
	nd := func(typ uint8) nft.Rule {
		return nft.NewRule("", nft.ICMPv6Type(typ), nft.Jump("nd-to-uplink"))
	}
	ch := nft.Chain{Name: "leaving", Rules: []nft.Rule{
		drop(RedirectOut, "", nft.ICMPv6Type(nft.Redirect6), nft.Invert(nft.In(nft.KindOIFName, "other-ports"))),
		nft.NewRule("what follows is for the uplink", nft.Invert(nft.OIFName(c.Uplink)), nft.Accept()),
		drop(ForeignSourceToUplink, "", nft.Invert(nft.EtherSaddr(c.MAC))),
		drop(RAToUplink, "", nft.ICMPv6Type(nft.RouterAdvert)),
		nd(nft.NeighbrSolicit),
		nd(nft.NeighbrAdvert),
		drop(InsidePrefixToUplink, "guests of the list", nft.In(nft.KindIP6Daddr, "live-addrs")),
		drop(InsidePrefixToUplink, "", nft.In(nft.KindIP6Daddr, "nat64")),
		drop(InsidePrefixToUplink, "", nft.In(nft.KindIPDaddr, "live-addrs4")),
	}}
	if c.Kind == Routed {
		ch.Rules = append(ch.Rules, drop(InsidePrefixToUplink, "", nft.In(nft.KindIP6Daddr, "guests6"), nft.Invert(nft.In(nft.KindIP6Daddr, "gateways6"))))
	}
	ch.Rules = append(ch.Rules,
		drop(OwnToUplink, "", nft.In(nft.KindIP6Daddr, "own6"), nft.Invert(nft.In(nft.KindIP6Daddr, "gateways6"))),
		drop(OwnToUplink, "", nft.In(nft.KindIPDaddr, "own4")),
		drop(LinkLocalToUplink, "", nft.Saddr(linkLocal), nft.Invert(nft.Daddr(linkLocal)), nft.Invert(nft.Daddr(multicast))),
	)
	return ch
}

// fromUplink are the chains for what the provider's segment sends.
func (c Config) fromUplink() []nft.Chain {
	source := nft.Chain{Name: "source-from-uplink", Rules: []nft.Rule{
		nft.NewRule("gateways inside the /64", nft.In(nft.KindIP6Saddr, "gateways-any-mac"), nft.Return()),
		nft.NewRule("", nft.In(nft.Fields(nft.KindIP6Saddr, nft.KindEtherSaddr), "gateways-mac"), nft.Return()),
	}}
	// Who holds on to the old MAC of a router that was replaced is cut off.
	for _, typ := range []uint8{nft.NeighbrSolicit, nft.NeighbrAdvert} {
		source.Rules = append(source.Rules, nft.NewRule("a router may be replaced", nft.In(nft.KindIP6Saddr, "gateways6"), nft.ICMPv6Type(typ), nft.Return()))
	}
	source.Rules = append(source.Rules, drop(OwnSourceFromUplink, ""))
	nd := func(typ uint8) nft.Rule { return nft.NewRule("", nft.ICMPv6Type(typ), nft.Goto("nd-from-uplink")) }
	// TCP and UDP from far away to a guest of the list.
	far := nft.Chain{Name: "ip6-from-uplink", Rules: c.near(saddrAt, nft.Goto("ip6-from-uplink-closely"))}
	for _, proto := range []uint8{nft.TCP, nft.UDP} {
		far.Rules = append(far.Rules, nft.NewRule(shortWay, firstHeader(proto), nft.In(nft.KindIP6Daddr, "live-addrs"), nft.Accept()))
	}
	far.Rules = append(far.Rules, nft.NewRule("", nft.Goto("ip6-from-uplink-closely")))
	return []nft.Chain{
		{Name: "from-uplink", Rules: []nft.Rule{
			drop(OwnSourceFromUplink, "", nft.EtherSaddr(c.MAC)),
			nft.NewRule("", nft.Protocol(nft.EthIPv6), nft.Goto("ip6-from-uplink")),
			drop(StackedVLANFromUplink, "one tag is off already", nft.Protocol(nft.EthVLAN)),
			drop(StackedVLANFromUplink, "", nft.Protocol(nft.EthQinQ)),
			drop(OwnSourceFromUplink, "", nft.In(nft.KindIPSaddr, "own4")),
			drop(OwnSourceFromUplink, "", nft.In(nft.KindIPSaddr, "live-addrs4")),
			drop(DNSFromUplink, "", nft.In(nft.Fields(nft.KindIPDaddr, nft.KindL4Proto, nft.KindTHDport), "dns4")),
		}},
		far,
		{Name: "ip6-from-uplink-closely", Rules: []nft.Rule{
			drop(OwnSourceFromUplink, "guests of the list", nft.In(nft.KindIP6Saddr, "live-addrs")),
			nft.NewRule("", nft.In(nft.KindIP6Saddr, "own6"), nft.Jump("source-from-uplink")),
			drop(NAT64FromUplink, "", nft.In(nft.KindIP6Daddr, "nat64")),
			drop(DNSFromUplink, "", nft.In(nft.Fields(nft.KindIP6Daddr, nft.KindL4Proto, nft.KindTHDport), "dns6")),
			nft.NewRule("", nft.Daddr(c.Prefix), nft.Jump("absent-from-uplink")),
			drop(RAFromUplink, "", nft.ICMPv6Type(nft.RouterAdvert)),
			drop(RSFromUplink, "", nft.ICMPv6Type(nft.RouterSolicit)),
			drop(RedirectFromUplink, "", nft.ICMPv6Type(nft.Redirect6)),
			nd(nft.NeighbrSolicit),
			nd(nft.NeighbrAdvert),
		}},
		source,
		{Name: "absent-from-uplink", Rules: []nft.Rule{
			nft.NewRule("", nft.In(nft.KindIP6Daddr, "known-addrs"), nft.Return()),
			nft.NewRule("", nft.In(nft.KindIP6Daddr, "seen-addrs"), nft.Return()),
			drop(AbsentFromUplink, "", nft.Invert(nft.Limit(absentPerSecond, "second", absentBurst))),
		}},
	}
}

// neighbours drops neighbour discovery about addresses that may be a guest's.
// The host's own and the gateways' pass, whatever prefix they are in: without
// them the host would be cut off. The chain is reached with solicitations and
// advertisements only.
func (c Config) neighbours(name string, reason Reason) nft.Chain {
	ch := nft.Chain{Name: name, Rules: []nft.Rule{drop(reason, "guests of the list", nft.In(nft.KindNDTarget, "live-targets"))}}
	if c.Kind == OnLink {
		return ch // others on the segment may have addresses that look like a guest's
	}
	for _, a := range slices.Concat(c.Host, c.Gateways) {
		// Others are not among the guests' anyway.
		if looksLikeGuest(c.Prefix, a) {
			ch.Rules = append(ch.Rules, nft.NewRule(a.String(), nft.NDTarget(single(a)), nft.Return()))
		}
	}
	for _, p := range guests(c.Prefix) {
		ch.Rules = append(ch.Rules, drop(reason, p.String(), nft.NDTarget(p)))
	}
	return ch
}

// drop counts and drops. Its comment is the reason, with more to it where several
// rules have one.
func drop(r Reason, more string, matches ...nft.Expr) nft.Rule {
	comment := r.Text()
	if more != "" {
		comment += " (" + more + ")"
	}
	return nft.NewRule(comment, append(slices.Clip(matches), nft.CountIn(string(r)), nft.Drop())...)
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
