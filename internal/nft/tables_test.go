package nft

import (
	"net/netip"
	"time"

	"github.com/sixhost/sixhost/slaac"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr  { return netip.MustParseAddr(s) }

// samples holds tables that together use every constructor, in every family
// that has it.
func samples() []*Table {
	mac := slaac.MAC{0x52, 0x54, 0, 1, 2, 3}
	sets := func(mac bool) []Set {
		s := []Set{
			PrefixSet("v6", IPv6Addr, pfx("2001:db8:0:1::/64"), pfx("2001:db8::/64"), pfx("2001:db8:0:3::5/128"), pfx("2001:db8:0:1::7/128"), pfx("ff00::/8"), pfx("::/128")),
			PrefixSet("v4", IPv4Addr, pfx("10.0.0.0/8"), pfx("192.0.2.1/32"), pfx("11.0.0.0/9")),
			NameSet("ports", "vnet1", "vnet0", "vnet0"),
			PrefixSet("empty", IPv6Addr),
			{Name: "hosts", Type: IPv6Addr, Elements: []string{"2001:db8::1", "2001:db8::2"}},
		}
		if mac {
			s = append(s, MACSet("macs", slaac.MAC{0x52, 0x54, 0, 0, 0, 2}, slaac.MAC{0x52, 0x54, 0, 0, 0, 1}))
		}
		return s
	}
	// Those that every family has.
	common := func(v4, v6 bool) []Rule {
		r := []Rule{
			NewRule("a comment", IIFName("eth0"), CountIn("hits"), Drop()),
			NewRule("", Invert(IIFName("eth0.4000")), Accept()),
			NewRule("", IIFName("vnet*"), Return()),
			NewRule("", In(KindIIFName, "ports"), Drop()),
			NewRule("", Invert(In(KindIIFName, "ports")), Drop()),
			NewRule("", L4Proto(TCP), Drop()),
			NewRule("", Invert(L4Proto(132)), Drop()),
			NewRule("", UDPDport(53), CountIn("misses"), Drop()),
			NewRule("", UDPSport(67), Drop()),
			// Two fields side by side in one rule would do as well, but nft -f
			// makes one comparison of them.
			NewRule("", TCPDport(443), Accept()),
			NewRule("", TCPSport(80), Accept()),
			NewRule("", L4Proto(UDP), IIFName("eth0"), UDPDport(53), Invert(UDPSport(53)), Drop()),
			NewRule("", Mark(7, 0), Drop()),
			NewRule("", Invert(Mark(7, 0xff)), SetMark(8)),
			NewRule("", Limit(10, "second", 5), Accept()),
			NewRule("", Invert(Limit(3, "hour", 9)), Drop()),
			NewRule("", Payload(NetworkHeader, 1, []byte{3}, nil), Drop()),
			NewRule("", Invert(Payload(TransportHeader, 4, []byte{1, 2, 3, 4}, []byte{0xff, 0, 0xf0, 0xff})), Drop()),
			NewRule("", Jump("side")),
			NewRule("", Goto("side")),
			NewRule("count only", CountIn("hits")),
		}
		if v4 {
			r = append(r,
				NewRule("", Saddr(pfx("10.0.0.0/8")), Daddr(pfx("10.1.0.0/15")), Drop()),
				NewRule("", IIFName("eth0"), SaddrIs(addr("192.0.2.1")), Invert(DaddrIs(addr("192.0.2.2"))), Drop()),
				NewRule("", In(KindIPSaddr, "v4"), Invert(In(KindIPDaddr, "v4")), Drop()),
				NewRule("", ICMPType(8), Accept()),
				NewRule("", SaddrIs(addr("192.0.2.1")), ICMPType(8), Accept()),
				NewRule("", Daddr(pfx("10.0.0.0/8")), UDPDport(53), Accept()),
			)
		}
		if v6 {
			r = append(r,
				NewRule("", Saddr(pfx("2001:db8::/64")), Daddr(pfx("fe80::/10")), Drop()),
				NewRule("", IIFName("eth0"), SaddrIs(addr("fe80::1")), Invert(DaddrIs(addr("2001:db8::1"))), Drop()),
				NewRule("", In(KindIP6Saddr, "v6"), Invert(In(KindIP6Daddr, "hosts")), Drop()),
				NewRule("", ICMPv6Type(RouterAdvert), CountIn("hits"), Drop()),
				NewRule("", ICMPv6Type(RouterSolicit), Drop()),
				NewRule("", ICMPv6Type(EchoRequest6), Drop()),
				NewRule("", Invert(ICMPv6Type(Redirect6)), Drop()),
				NewRule("", ICMPv6Type(NeighbrSolicit), NDTarget(pfx("2001:db8::/64")), Drop()),
				NewRule("", ICMPv6Type(NeighbrAdvert), NDTarget(pfx("2001:db8::5/128")), Drop()),
				NewRule("", ICMPv6Type(NeighbrAdvert), NDTarget(pfx("2001:db8::/61")), Drop()),
				NewRule("", L4Proto(ICMPv6), SaddrIs(addr("fe80::1")), ICMPv6Type(NeighbrAdvert), Drop()),
			)
		}
		return r
	}
	link := []Rule{
		NewRule("", EtherSaddr(mac), Invert(EtherDaddr(mac)), Drop()),
		NewRule("", In(KindEtherSaddr, "macs"), Invert(In(KindEtherDaddr, "macs")), Drop()),
		NewRule("", EtherType(EthVLAN), Drop()),
		NewRule("", Invert(EtherType(EthARP)), Drop()),
		NewRule("", Protocol(EthARP), Accept()),
		NewRule("", Invert(Protocol(EthIPv6)), Drop()),
		NewRule("", Protocol(0x88cc), Drop()),
		NewRule("", Protocol(EthIPv6), IIFName("eth0"), SaddrIs(addr("fe80::1")), Drop()),
		NewRule("", Protocol(EthIPv6), UDPDport(53), Drop()),
	}
	out := []Rule{NewRule("", OIFName("eth0"), Drop()), NewRule("", Invert(OIFName("eth0")), Drop()), NewRule("", In(KindOIFName, "ports"), Drop())}
	routed := []Rule{
		NewRule("", FibDaddr("local"), Drop()),
		NewRule("", Invert(FibDaddr("multicast")), Accept()),
		NewRule("", CTState(Established|Related), Accept()),
		NewRule("", Invert(CTState(New)), Drop()),
		NewRule("", CTState(Invalid), CountIn("hits"), Drop()),
		NewRule("", L4Proto(TCP), Reject()),
		NewRule("", CTDNAT(), Accept()),
		NewRule("answered", Reject()),
	}
	inet := []Rule{
		NewRule("", Protocol(EthIPv4), Accept()),
		NewRule("", Invert(Protocol(EthIPv6)), Accept()),
		NewRule("", Saddr(pfx("10.0.0.0/8")), Reject()),
		NewRule("", Daddr(pfx("fe80::/64")), Reject()),
		NewRule("", Protocol(EthIPv6), TCPDport(80), Accept()),
	}
	nat := Chain{Name: "nat", Type: "nat", Hook: "postrouting", Priority: 100, Policy: "accept", Rules: []Rule{
		NewRule("", OIFName("eth0"), Masquerade()),
	}}
	dest := Chain{Name: "dest", Type: "nat", Hook: "prerouting", Priority: -100, Policy: "accept", Rules: []Rule{
		NewRule("", TCPDport(80), DNAT(netip.MustParseAddr("10.1.2.3"), 8080)),
		NewRule("", UDPDport(53), DNAT(netip.MustParseAddr("10.1.2.3"), 53)),
		NewRule("whole", Daddr(pfx("192.0.2.1/32")), DNAT(netip.MustParseAddr("10.1.2.4"), 0)),
	}}
	side := Chain{Name: "side", Rules: []Rule{NewRule("", L4Proto(ICMPv6), Accept())}}
	base := func(hook string, prio int32, policy string, parts ...[]Rule) Chain {
		c := Chain{Name: "c-" + hook, Type: "filter", Hook: hook, Priority: prio, Policy: policy}
		for _, p := range parts {
			c.Rules = append(c.Rules, p...)
		}
		return c
	}
	counters := []string{"hits", "misses"}
	tuples := []Set{
		NewSet("bound", Concat(IfName, EtherAddr, IPv6Addr), Tuple("vnet0", mac, addr("2001:db8::1")), Tuple("vnet1", mac, addr("2001:db8::2"))),
		NewSet("targets", Concat(IfName, EtherAddr, NDTargets), Tuple("vnet0", mac, addr("2001:db8::1")), Tuple("vnet1", mac, addr("fe80::2"))),
		NewSet("target", NDTargets, "2001:db8::1"),
		NewSet("from", Concat(IfName, EtherFrom, IP6From), Tuple("vnet0", From(mac, EthIPv6), addr("2001:db8::1"))),
		NewSet("sender", EtherFrom, From(mac, EthARP)),
		NewSet("options", Concat(IfName, NDOptionMAC), Tuple("vnet0", mac)),
		NewSet("rsoptions", Concat(IfName, RSOptionMAC), Tuple("vnet0", mac)),
		NewSet("dns6", Concat(IPv6Addr, INetProto, INetService), Tuple(addr("::1"), 17, 53), Tuple(addr("::1"), 6, 53)),
		NewSet("arps", Concat(IfName, EtherAddr, EtherAddr, IPv4Addr), Tuple("vnet0", mac, mac, addr("192.0.2.1"))),
		NewSet("types", ICMPv6Types, "1", "2", "128"),
		NewSet("protos", INetProto, "6", "17"),
		DynamicSet("perport", IfName, 1024, 0),
		DynamicSet("seen", Concat(IfName, EtherAddr, IPv6Addr), 65535, 10*time.Minute),
	}
	source := Fields(KindIIFName, KindEtherSaddr, KindIP6Saddr)
	tuple := []Rule{
		NewRule("", In(source, "bound"), Accept()),
		NewRule("", EtherType(EthIPv6), Invert(In(source, "bound")), Drop()),
		NewRule("", ICMPv6Type(NeighbrSolicit), In(Fields(KindIIFName, KindEtherSaddr, KindNDTarget), "targets"), Accept()),
		NewRule("", ICMPv6Type(NeighbrSolicit), In(KindNDTarget, "target"), Accept()),
		NewRule("", In(Fields(KindIIFName, KindEtherFrom, KindIP6From), "from"), Accept()),
		NewRule("", Invert(In(KindEtherFrom, "sender")), Accept()),
		NewRule("", ICMPv6Type(NeighbrSolicit), Invert(In(Fields(KindIIFName, KindNDOption), "options")), Drop()),
		NewRule("", ICMPv6Type(RouterSolicit), In(Fields(KindIIFName, KindRSOption), "rsoptions"), Drop()),
		NewRule("", In(Fields(KindIP6Daddr, KindL4Proto, KindTHDport), "dns6"), Drop()),
		NewRule("", In(Fields(KindIIFName, KindEtherSaddr, KindARPSMAC, KindARPSIP), "arps"), Accept()),
		NewRule("", In(KindICMPv6Type, "types"), Accept()),
		NewRule("", In(KindIP6Nexthdr, "protos"), Accept()),
		NewRule("", IP6Nexthdr(44), Invert(Payload(NetworkHeader, 42, []byte{0, 0}, []byte{0xff, 0xf8})), Accept()),
		NewRule("", L4Proto(ICMPv6), Invert(IP6Nexthdr(ICMPv6)), IP6Length(64), Drop()),
		NewRule("", OverPer(KindIIFName, "perport", 10, "second", 5), CountIn("hits"), Drop()),
		NewRule("", OverPer(KindIIFName, "perport", 1, "minute", 32), Drop()),
		NewRule("", Remember(source, "seen"), Accept()),
	}
	return []*Table{
		{Family: Bridge, Name: "tuples", Counters: counters, Sets: tuples, Chains: []Chain{base("prerouting", -300, "accept", tuple)}},
		{Family: Bridge, Name: "t", Counters: counters, Sets: sets(true), Chains: []Chain{
			base("prerouting", -300, "accept", common(true, true), link), base("input", 7, "drop"), base("forward", 0, "accept", out),
			base("output", 0, "accept"), base("postrouting", 300, "accept", out), side,
		}},
		{Family: INet, Name: "t", Counters: counters, Sets: sets(false), Chains: []Chain{
			base("forward", -10, "drop", common(true, true), out, routed, inet), base("input", 0, "accept"), nat, dest, side,
		}},
		{Family: IP, Name: "t", Counters: counters, Sets: sets(false), Chains: []Chain{
			base("forward", 0, "accept", common(true, false), out, routed), nat, dest, side,
		}},
		{Family: IP6, Name: "t", Counters: counters, Sets: sets(false), Chains: []Chain{
			base("forward", 0, "accept", common(false, true), out, routed), nat, side,
		}},
		{Family: NetDev, Name: "t", Counters: counters, Sets: sets(true), Chains: []Chain{
			func() Chain {
				c := base("ingress", 0, "accept", common(true, true), link, []Rule{NewRule("", DupTo(1), Drop())})
				c.Device = "lo"
				return c
			}(),
			func() Chain {
				c := base("egress", 0, "drop", link, []Rule{NewRule("", OIFName("lo"), Accept())})
				c.Device = "lo"
				return c
			}(),
			side,
		}},
		{Family: Bridge, Name: "nothing"},
	}
}
