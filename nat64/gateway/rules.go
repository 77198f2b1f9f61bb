package gateway

import (
	"net/netip"

	"github.com/sixhost/sixhost/internal/nft"
)

// TableName is the nftables table, of family inet.
const TableName = "sixhost_nat64"

// setDenied names the set of refused destinations, setRouted that of guests' own
// IPv4 addresses.
const (
	setDenied = "denied"
	setRouted = "routed"
)

// Names of the chains for what is forwarded from the device and to it.
const (
	chainFrom = "from_device"
	chainTo   = "to_device"
)

// Names of the table's counters.
const (
	counterSpoofed  = "spoofed"  // addresses of ours from where they can't be
	counterStranger = "stranger" // who is not a guest, to or from the NAT64 prefix
	counterDenied   = "denied"   // destinations that are refused, the second time
	counterHost     = "host"     // the host's own IPv4 addresses
	counterInvalid  = "invalid"  // what conntrack can't place
	counterInbound  = "inbound"  // from outside, unasked
	counterPlain    = "plain"    // IPv4 that guests try to send by themselves
	counterLeak     = "leak"     // pool addresses on their way out
)

// Priorities of netfilter's hooks (NF_IP_PRI_*).
const (
	priRaw    = -300
	priFilter = 0
	priSrcNAT = 100
	priLast   = 300
)

// stamp is the table in the bridge family that writes the number of the port
// into the flow label of what guests send to the prefix, so that the translator
// knows whom a mapping is to be charged to. Whatever stood there is the guest's
// own word, and translation leaves the flow label out.
func (c Config) stamp() *nft.Table {
	return &nft.Table{
		Family: nft.Bridge,
		Name:   TableName,
		Chains: []nft.Chain{{Name: "stamp", Type: "filter", Hook: "prerouting", Priority: priRaw, Policy: "accept", Rules: []nft.Rule{
			nft.NewRule("which port a packet to the prefix came in by", nft.Daddr(c.Prefix.Prefix()), nft.StampIIF(nft.NetworkHeader, 2)),
		}}},
	}
}

// rules are the wall around the translator. They hold by themselves: also with
// a translator that is wrong, or none. c has its defaults.
func (c Config) rules() *nft.Table {
	in, out := nft.IIFName(c.Device), nft.OIFName(c.Device)
	notOut := nft.Invert(out)
	fromPool, toPool := nft.Saddr(c.Pool), nft.Daddr(c.Pool)
	v4, v6 := nft.Protocol(nft.EthIPv4), nft.Protocol(nft.EthIPv6)
	prefix := c.Prefix.Prefix()
	answers := nft.CTState(nft.Established | nft.Related)
	drop := func(comment, counter string, match ...nft.Expr) nft.Rule {
		return nft.NewRule(comment, append(match, nft.CountIn(counter), nft.Drop())...)
	}
	refuse := func(comment, counter string, match ...nft.Expr) nft.Rule {
		return nft.NewRule(comment, append(match, nft.CountIn(counter), nft.Reject())...)
	}
	chain := func(name, hook string, priority int32, rules ...nft.Rule) nft.Chain {
		return nft.Chain{Name: name, Type: "filter", Hook: hook, Priority: priority, Policy: "accept", Rules: rules}
	}

	// Each packet of a connection meets these, so what most packets are comes
	// first. One that is established began by a packet that met the rest.
	established := nft.CTState(nft.Established)
	fromDevice := []nft.Rule{
		drop("translated packets come from the pool", counterSpoofed, nft.Invert(fromPool)),
		nft.NewRule("what began by the rules below", v4, established, nft.Accept()),
		drop("translated packets go to guests", counterStranger, v6, nft.Invert(nft.OIFName(c.GuestLink))),
		drop("and to no other addresses", counterStranger, nft.Invert(nft.Daddr(c.Guests))),
		refuse("destinations that are refused", counterDenied, nft.In(nft.KindIPDaddr, setDenied)),
		drop("conntrack can't place it, so it would not be masqueraded", counterInvalid, v4, nft.CTState(nft.Invalid)),
	}
	toDevice := []nft.Rule{nft.NewRule("answers", v4, answers, nft.Accept())}
	if len(c.Expose) > 0 {
		toDevice = append(toDevice,
			drop("who is refused as a destination is refused as a client", counterDenied, nft.In(nft.KindIPSaddr, setDenied)),
			nft.NewRule("but to what is exposed", v4, nft.CTDNAT(), nft.Accept()))
	}
	toDevice = append(toDevice,
		drop("nothing comes in unasked", counterInbound, v4),
		drop("only guests use NAT64", counterStranger, v6, nft.Invert(nft.IIFName(c.GuestLink))),
		drop("guests have guests' addresses", counterStranger, nft.Invert(nft.Saddr(c.Guests))),
		drop("nothing but the prefix is translated", counterStranger, nft.Invert(nft.Daddr(prefix))),
	)
	forward := []nft.Rule{
		nft.NewRule("", in, nft.Jump(chainFrom)),
		nft.NewRule("", out, nft.Jump(chainTo)),
		drop("forwarding is for NAT64 only", counterPlain, c.notRouted(v4, nft.IIFName(c.GuestLink), nft.OIFName(c.GuestLink))...),
	}
	if c.Uplink != c.GuestLink {
		forward = append(forward, drop("forwarding is for NAT64 only", counterPlain, c.notRouted(v4, nft.IIFName(c.GuestLink), nft.OIFName(c.Uplink))...))
	}
	output := []nft.Rule{
		drop("the host has no business with the pool but errors", counterInbound, out, toPool, nft.Invert(answers)),
	}
	sets := []nft.Set{nft.PrefixSet(setDenied, nft.IPv4Addr, c.deniedBlocks()...)}
	if len(c.Routed) > 0 {
		var own []netip.Prefix
		for _, a := range c.Routed {
			own = append(own, netip.PrefixFrom(a, 32))
		}
		sets = append(sets, nft.PrefixSet(setRouted, nft.IPv4Addr, own...))
		// A guest would look for the provider's router on its own link, where
		// nobody answers.
		output = append(output, nft.NewRule("guests shall not learn the provider's router", nft.OIFName(c.GuestLink), nft.In(nft.KindIPDaddr, setRouted), nft.ICMPType(icmpRedirect), nft.Drop()))
	}
	table := &nft.Table{
		Family:   nft.INet,
		Name:     TableName,
		Counters: []string{counterSpoofed, counterStranger, counterDenied, counterHost, counterInvalid, counterInbound, counterPlain, counterLeak},
		Sets:     sets,
		Chains: []nft.Chain{
			chain("prerouting", "prerouting", priRaw,
				nft.NewRule("", in, nft.Accept()),
				drop("the pool is behind the device only", counterSpoofed, fromPool),
				drop("and so is the NAT64 prefix", counterSpoofed, nft.Saddr(prefix)),
			),
			chain("input", "input", priFilter,
				refuse("the host's own IPv4 addresses", counterHost, in, v4, nft.FibDaddr("local")),
				drop("nor its broadcasts", counterHost, in, v4),
			),
			{Name: chainFrom, Rules: fromDevice},
			{Name: chainTo, Rules: toDevice},
			chain("forward", "forward", priFilter, forward...),
			chain("output", "output", priFilter, output...),
			{Name: "source_nat", Type: "nat", Hook: "postrouting", Priority: priSrcNAT, Policy: "accept", Rules: []nft.Rule{
				nft.NewRule("guests leave behind the host's address", notOut, fromPool, nft.Masquerade()),
			}},
			chain("no_leaks", "postrouting", priLast,
				drop("no pool address leaves", counterLeak, fromPool, notOut),
			),
		},
	}
	if rules := c.exposeRules(); len(rules) > 0 {
		table.Chains = append(table.Chains, nft.Chain{Name: "dest_nat", Type: "nat", Hook: "prerouting", Priority: priDstNAT, Policy: "accept", Rules: rules})
	}
	return table
}

// icmpRedirect is the type of an ICMP redirect (RFC 792).
const icmpRedirect = 5

// notRouted narrows a match to what has nothing to do with guests' own IPv4
// addresses.
func (c Config) notRouted(match ...nft.Expr) []nft.Expr {
	if len(c.Routed) == 0 {
		return match
	}
	return append(match, nft.Invert(nft.In(nft.KindIPSaddr, setRouted)), nft.Invert(nft.In(nft.KindIPDaddr, setRouted)))
}
