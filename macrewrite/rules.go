package macrewrite

import (
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/slaac"
)

// TableName is the name of the table, in the bridge family.
const TableName = "sixhost_edge"

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
	t := &nft.Table{Family: nft.Bridge, Name: TableName}
	for _, r := range Reasons() {
		t.Counters = append(t.Counters, string(r))
	}

	var own4, own6, gateways []netip.Prefix
	own6 = append(own6, c.Prefix)
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
	}
	t.Sets = []nft.Set{
		nft.PrefixSet("own4", nft.IPv4Addr, own4...),
		nft.PrefixSet("own6", nft.IPv6Addr, own6...),
		nft.PrefixSet("guests6", nft.IPv6Addr, guests(c.Prefix)...),
		nft.PrefixSet("nat64", nft.IPv6Addr, c.NAT64...),
		nft.PrefixSet("gateways6", nft.IPv6Addr, gateways...),
	}

	t.Chains = []nft.Chain{
		c.prerouting(), c.forward(), c.output(), c.postrouting(),
		c.fromUplink(), c.icmpFromUplink(), c.fromGuest(),
		c.neighbours("nd-from-uplink", NDFromUplink), c.neighbours("nd-to-uplink", NDInsidePrefixToUplink),
	}
	return t
}

// prerouting looks at what comes in by a port, before the bridge learns its
// source.
func (c Config) prerouting() nft.Chain {
	return nft.Chain{Name: "prerouting", Type: "filter", Hook: "prerouting", Priority: priorityIn, Policy: "accept", Rules: []nft.Rule{
		nft.NewRule("", nft.IIFName(c.Uplink), nft.Goto("from-uplink")),
		nft.NewRule("", nft.Goto("from-guest")),
	}}
}

// forward parts guests and uplink, for frames of every kind.
func (c Config) forward() nft.Chain {
	return nft.Chain{Name: "forward", Type: "filter", Hook: "forward", Priority: priorityIn, Policy: "accept", Rules: []nft.Rule{
		drop(GuestToUplink, "the host routes for its guests", nft.OIFName(c.Uplink)),
		drop(UplinkToGuest, "the host routes to its guests", nft.IIFName(c.Uplink)),
	}}
}

// output looks at what the host itself sends, once for each port it goes to.
func (c Config) output() nft.Chain {
	nd := func(typ uint8) nft.Rule {
		return nft.NewRule("", nft.ICMPv6Type(typ), nft.Jump("nd-to-uplink"))
	}
	return nft.Chain{Name: "output", Type: "filter", Hook: "output", Priority: priorityOut, Policy: "accept", Rules: []nft.Rule{
		drop(RedirectOut, "guests shall not learn the provider's router", nft.ICMPv6Type(nft.Redirect6)),
		nft.NewRule("what follows is for the uplink", nft.Invert(nft.OIFName(c.Uplink)), nft.Accept()),
		drop(RAToUplink, "", nft.ICMPv6Type(nft.RouterAdvert)),
		nd(nft.NeighbrSolicit),
		nd(nft.NeighbrAdvert),
		drop(InsidePrefixToUplink, "", nft.In(nft.KindIP6Daddr, "guests6"), nft.Invert(nft.In(nft.KindIP6Daddr, "gateways6"))),
		drop(InsidePrefixToUplink, "", nft.In(nft.KindIP6Daddr, "nat64")),
		drop(OwnToUplink, "it would come back", nft.In(nft.KindIP6Daddr, "own6"), nft.Invert(nft.In(nft.KindIP6Daddr, "gateways6"))),
		drop(OwnToUplink, "", nft.In(nft.KindIPDaddr, "own4")),
	}}
}

// postrouting is the last line before the wire.
func (c Config) postrouting() nft.Chain {
	return nft.Chain{Name: "postrouting", Type: "filter", Hook: "postrouting", Priority: priorityOut, Policy: "accept", Rules: []nft.Rule{
		drop(ForeignSourceToUplink, "the provider's switch knows one MAC", nft.OIFName(c.Uplink), nft.Invert(nft.EtherSaddr(c.MAC))),
	}}
}

func (c Config) fromUplink() nft.Chain {
	rules := []nft.Rule{
		drop(StackedVLANFromUplink, "one tag is off already", nft.Protocol(nft.EthVLAN)),
		drop(StackedVLANFromUplink, "", nft.Protocol(nft.EthQinQ)),
		drop(OwnSourceFromUplink, "", nft.EtherSaddr(c.MAC)),
		drop(OwnSourceFromUplink, "", nft.In(nft.KindIP6Saddr, "own6"), nft.Invert(nft.In(nft.KindIP6Saddr, "gateways6"))),
		drop(OwnSourceFromUplink, "", nft.In(nft.KindIPSaddr, "own4")),
		drop(NAT64FromUplink, "", nft.In(nft.KindIP6Daddr, "nat64")),
		nft.NewRule("", nft.Protocol(nft.EthIPv6), nft.L4Proto(nft.ICMPv6), nft.Goto("icmp-from-uplink")),
	}
	for _, d := range c.GuestDNS {
		rules = append(rules,
			drop(DNSFromUplink, "", nft.DaddrIs(d.Addr()), nft.UDPDport(d.Port())),
			drop(DNSFromUplink, "", nft.DaddrIs(d.Addr()), nft.TCPDport(d.Port())),
		)
	}
	return nft.Chain{Name: "from-uplink", Rules: rules}
}

func (c Config) icmpFromUplink() nft.Chain {
	return nft.Chain{Name: "icmp-from-uplink", Rules: []nft.Rule{
		drop(RAFromUplink, "", nft.ICMPv6Type(nft.RouterAdvert)),
		drop(RSFromUplink, "", nft.ICMPv6Type(nft.RouterSolicit)),
		drop(RedirectFromUplink, "", nft.ICMPv6Type(nft.Redirect6)),
		nft.NewRule("", nft.ICMPv6Type(nft.NeighbrSolicit), nft.Goto("nd-from-uplink")),
		nft.NewRule("", nft.ICMPv6Type(nft.NeighbrAdvert), nft.Goto("nd-from-uplink")),
	}}
}

func (c Config) fromGuest() nft.Chain {
	return nft.Chain{Name: "from-guest", Rules: []nft.Rule{
		drop(StackedVLANFromGuest, "one tag is off already", nft.Protocol(nft.EthVLAN)),
		drop(StackedVLANFromGuest, "", nft.Protocol(nft.EthQinQ)),
		drop(RAFromGuest, "", nft.ICMPv6Type(nft.RouterAdvert)),
		drop(RedirectFromGuest, "", nft.ICMPv6Type(nft.Redirect6)),
	}}
}

// neighbours drops neighbour discovery about addresses that may be a guest's.
// The host's own and the gateways' pass, whatever prefix they are in: without
// them the host would be cut off. The chain is reached with solicitations and
// advertisements only.
func (c Config) neighbours(name string, reason Reason) nft.Chain {
	ch := nft.Chain{Name: name}
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

func drop(r Reason, comment string, matches ...nft.Expr) nft.Rule {
	return nft.NewRule(comment, append(slices.Clip(matches), nft.CountIn(string(r)), nft.Drop())...)
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
