package macrewrite

import (
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/slaac"
)

// The guests of the network, as the edge is told of them. The first is held to
// its list, the second is open, and the third is known by its MAC alone.
func guestsOf(n *network) []Guest {
	return []Guest{
		{Name: "one", Port: "vnet0", MAC: n.mac[guest1], Addrs: []netip.Addr{ip("2001:db8:1:3::aaaa")}, ExtraIPv4: []netip.Addr{ip("203.0.113.77")}},
		{Name: "two", Port: "vnet1", MAC: n.mac[guest2], Open: true},
		{Name: "three", MAC: n.mac[guest3]},
		{Name: "four", MAC: slaac.MAC{0x02, 0xaa, 0, 0, 0, 0x44}, Open: true},
	}
}

// scenario is a host and its provider.
type scenario struct {
	name   string
	config Config
	// room, if not 0, is that for addresses that were seen.
	room   uint32
	others bool
}

func scenarios(n *network) []scenario {
	routed := sample()
	routed.Kind = Routed
	routed.Guests = guestsOf(n)
	routed.Gateways = append(routed.Gateways, ip("2001:db8:1:3::fe"))
	routed.GatewayMACs = []Neighbor{{ip("2001:db8:1:3::1"), n.mac[provider]}}
	onLink := routed
	onLink.Kind, onLink.Isolate, onLink.Unlisted = OnLink, true, UnlistedDrop
	// The third guest's port is another bridge's, for once.
	others := routed
	others.OtherPorts, others.Isolate = []string{"vnet2"}, true
	return []scenario{
		{name: "routed", config: routed}, {name: "on-link", config: onLink},
		{name: "full", config: routed, room: 2}, {name: "other bridge", config: others, others: true},
	}
}

// builder collects checks.
type builder struct {
	scenario
	n   *network
	out []check
}

// mcast is the number of guests' ports that what comes by the uplink would go
// to if it could.
const mcast = 3

func (b *builder) add(name string, from place, frame []byte, arrives []place, counted map[Reason]uint64) {
	b.out = append(b.out, check{name: name, from: from, frame: frame, arrives: arrives, counted: counted})
}

func one(r Reason) map[Reason]uint64 { return map[Reason]uint64{r: 1} }

func icmp(src, dst netip.Addr, typ uint8) []byte {
	return ip6(src, dst, 58, icmp6(src, dst, typ, make([]byte, 12)...))
}

func redirect(src, dst netip.Addr) []byte {
	return ip6(src, dst, 58, icmp6(src, dst, 137, make([]byte, 36)...))
}

// hidden is a router advertisement behind a hop-by-hop header with padding.
func hidden(src netip.Addr) []byte {
	return extended(src, ip("ff02::1"), 0, 58, icmp6(src, ip("ff02::1"), 134, make([]byte, 12)...))
}

func udp6(src, dst netip.Addr, port uint16) []byte { return ip6(src, dst, 17, ports(5000, port)) }
func tcp6(src, dst netip.Addr, port uint16) []byte { return ip6(src, dst, 6, ports(5000, port)) }

// checks is the truth about the edge: what passes and what is dropped, and why.
func (s scenario) checks(n *network) []check {
	b := &builder{scenario: s, n: n}
	if s.others {
		b.anotherBridge()
		return b.out
	}
	b.fromProvider()
	b.fromHost()
	b.beside()
	if s.room == 0 {
		b.fromListed()
		if s.config.Unlisted != UnlistedDrop {
			b.fromOpen()
			b.fromUnlisted()
			b.limits()
		} else {
			b.add("from a port without a guest", guest3, eth(n.mac[host], n.mac[guest3], v6, icmp(slaac.LinkLocal(n.mac[guest3]), ip("fe80::921b:eff:fe12:3456"), 128)), nil, one(UnlistedFromGuest))
		}
	} else {
		b.full()
	}
	return b.out
}

func (b *builder) fromProvider() {
	n, add := b.n, b.add
	var (
		all, bcast                 = ip("ff02::1"), slaac.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		allMAC                     = slaac.MAC{0x33, 0x33, 0, 0, 0, 1}
		gwMAC, hostMAC             = n.mac[provider], n.mac[host]
		g1MAC                      = n.mac[guest1]
		otherMAC                   = slaac.MAC{0x02, 0, 0, 0, 0, 9}
		gw, gwIn, gwKVM            = ip("fe80::1"), ip("2001:db8:1:3::1"), ip("fe80::5054:ff:fe00:1")
		gwFree                     = ip("2001:db8:1:3::fe")
		old, own, elsewhere, ownLL = ip("2001:db8:1:3::2"), ip("2001:db8:1:3:921b:eff:fe12:3456"), ip("2001:db8:9::2"), slaac.LinkLocal(hostMAC)
		g1                         = ip("2001:db8:1:3:5054:ff:fe00:11")
		outside, nat64             = ip("2001:db8:2::9"), ip("64:ff9b::203.0.114.1")
		own4, gw4                  = ip("203.0.113.10"), ip("203.0.113.1")
		arp                        = blank(28)
		onHost                     = []place{host}
		flooded                    = map[Reason]uint64{UplinkToGuest: mcast}
	)
	var live []netip.Addr
	for _, g := range b.config.Guests {
		live = append(live, g.Addresses(b.config.Prefix)...)
	}
	add("segment's broadcast", provider, eth(bcast, gwMAC, 0x88b5, arp), onHost, flooded)
	add("to a guest directly", provider, eth(g1MAC, gwMAC, v6, icmp(outside, g1, 128)), nil, one(UplinkToGuest))
	add("to a guest, tagged", provider, tag(eth(g1MAC, gwMAC, v6, icmp(outside, g1, 128)), 0x8100), nil, one(UplinkToGuest))
	add("to a guest, no IP", provider, eth(g1MAC, gwMAC, 0x88b5, arp), nil, one(UplinkToGuest))
	add("ARP request", provider, eth(bcast, gwMAC, arpType, arp), onHost, flooded)
	add("ARP reply", provider, eth(hostMAC, gwMAC, arpType, arp), onHost, nil)
	for _, a := range []netip.Addr{old, own, elsewhere, ownLL} {
		add("ping to "+a.String(), provider, eth(hostMAC, gwMAC, v6, icmp(outside, a, 128)), onHost, nil)
		group, groupMAC := solicitedNode(a)
		add("solicitation for "+a.String(), provider, eth(groupMAC, gwMAC, v6, nd(135, gw, group, a)), onHost, flooded)
		add("unicast solicitation for "+a.String(), provider, eth(hostMAC, gwMAC, v6, nd(135, gwIn, a, a)), onHost, nil)
	}
	for _, a := range live {
		add("routed to "+a.String(), provider, eth(hostMAC, gwMAC, v6, icmp(outside, a, 128)), onHost, nil)
	}
	add("ping by IPv4", provider, eth(hostMAC, gwMAC, v4, ip4(gw4, own4, 1, blank(16))), onHost, nil)
	for _, a := range []netip.Addr{gw, gwIn, gwFree, gwKVM} {
		add("advertisement of the gateway "+a.String(), provider, eth(hostMAC, gwMAC, v6, nd(136, a, ownLL, a)), onHost, nil)
		add("ping from the gateway "+a.String(), provider, eth(hostMAC, gwMAC, v6, icmp(a, old, 128)), onHost, nil)
	}
	if b.config.Kind == Routed {
		add("ping from another as the gateway", provider, eth(hostMAC, otherMAC, v6, icmp(gwIn, old, 128)), nil, one(OwnSourceFromUplink))
	}
	add("advertisement of a gateway that was replaced", provider, eth(hostMAC, otherMAC, v6, nd(136, gwIn, ownLL, gwIn)), onHost, nil)
	add("solicitation of a gateway that was replaced", provider, eth(hostMAC, otherMAC, v6, nd(135, gwIn, ownLL, ownLL)), onHost, nil)
	for _, a := range live {
		add("advertisement for guest "+a.String(), provider, eth(hostMAC, gwMAC, v6, nd(136, gw, ownLL, a)), nil, one(NDFromUplink))
		add("solicitation for guest "+a.String(), provider, eth(allMAC, gwMAC, v6, nd(135, gw, all, a)), nil, one(NDFromUplink))
		add("source "+a.String(), provider, eth(hostMAC, gwMAC, v6, icmp(a, own, 128)), nil, one(OwnSourceFromUplink))
	}
	// What nobody here has is a neighbour's where the /64 is on-link.
	stranger, strangerLL := ip("2001:db8:1:3:5054:ff:fe00:99"), ip("fe80::5054:ff:fe00:99")
	for _, a := range []netip.Addr{stranger, strangerLL} {
		if b.config.Kind == Routed {
			add("advertisement for "+a.String(), provider, eth(hostMAC, gwMAC, v6, nd(136, gw, ownLL, a)), nil, one(NDFromUplink))
		} else {
			add("advertisement for "+a.String(), provider, eth(hostMAC, otherMAC, v6, nd(136, a, ownLL, a)), onHost, nil)
		}
	}
	if b.config.Kind == Routed {
		add("source "+stranger.String(), provider, eth(hostMAC, gwMAC, v6, icmp(stranger, own, 128)), nil, one(OwnSourceFromUplink))
	} else {
		add("source "+stranger.String(), provider, eth(hostMAC, otherMAC, v6, icmp(stranger, own, 128)), onHost, nil)
	}
	add("RA", provider, eth(allMAC, gwMAC, v6, icmp(gw, all, 134)), nil, one(RAFromUplink))
	add("RA to the host", provider, eth(hostMAC, gwMAC, v6, icmp(gw, ownLL, 134)), nil, one(RAFromUplink))
	add("RA behind hop-by-hop", provider, eth(allMAC, gwMAC, v6, hidden(gw)), nil, one(RAFromUplink))
	add("RA in VLAN 0", provider, tag(eth(allMAC, gwMAC, v6, icmp(gw, all, 134)), 0x8100), nil, one(RAFromUplink))
	add("RA in VLAN 0 of VLAN 0", provider, tag(eth(allMAC, gwMAC, v6, icmp(gw, all, 134)), 0x8100, 0x8100), nil, one(StackedVLANFromUplink))
	add("RA in service VLAN 0 of VLAN 0", provider, tag(eth(allMAC, gwMAC, v6, icmp(gw, all, 134)), 0x8100, 0x88a8), nil, one(StackedVLANFromUplink))
	add("router solicitation", provider, eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 2}, gwMAC, v6, icmp(gw, ip("ff02::2"), 133)), nil, one(RSFromUplink))
	add("redirect to the host", provider, eth(hostMAC, gwMAC, v6, redirect(gw, old)), nil, one(RedirectFromUplink))
	add("redirect to a guest", provider, eth(g1MAC, gwMAC, v6, redirect(gw, g1)), nil, one(RedirectFromUplink))
	add("NAT64", provider, eth(hostMAC, gwMAC, v6, tcp6(outside, nat64, 80)), nil, one(NAT64FromUplink))
	add("DNS by UDP", provider, eth(hostMAC, gwMAC, v6, udp6(outside, own, 53)), nil, one(DNSFromUplink))
	add("DNS by TCP", provider, eth(hostMAC, gwMAC, v6, tcp6(outside, own, 53)), nil, one(DNSFromUplink))
	add("DNS by UDP and IPv4", provider, eth(hostMAC, gwMAC, v4, ip4(gw4, own4, 17, ports(5000, 53))), nil, one(DNSFromUplink))
	add("DNS by TCP and IPv4", provider, eth(hostMAC, gwMAC, v4, ip4(gw4, own4, 6, ports(5000, 53))), nil, one(DNSFromUplink))
	add("port 53 of another address", provider, eth(hostMAC, gwMAC, v6, udp6(outside, old, 53)), onHost, nil)
	add("another port", provider, eth(hostMAC, gwMAC, v6, udp6(outside, own, 443)), onHost, nil)
	add("answer from port 53", provider, eth(hostMAC, gwMAC, v6, ip6(outside, own, 17, ports(53, 5000))), onHost, nil)
	add("the NIC's MAC as source", provider, eth(bcast, hostMAC, 0x88b5, arp), nil, one(OwnSourceFromUplink))
	for _, a := range []netip.Addr{old, own, elsewhere, ownLL, nat64} {
		add("source "+a.String(), provider, eth(hostMAC, gwMAC, v6, icmp(a, own, 128)), nil, one(OwnSourceFromUplink))
	}
	for _, a := range []netip.Addr{own4, ip("203.0.113.77")} {
		add("source "+a.String(), provider, eth(hostMAC, gwMAC, v4, ip4(a, own4, 1, blank(16))), nil, one(OwnSourceFromUplink))
	}
	// Somebody looks for hosts in the /64; who is known is not held up by it.
	b.out = append(b.out,
		check{name: "scan of the /64", from: provider, times: 3 * absentBurst, arrives: onHost, limited: AbsentFromUplink, vary: func(i int) []byte {
			return eth(hostMAC, gwMAC, v6, icmp(outside, netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, 3, 9, 15: byte(i)}), 128))
		}},
		check{name: "much for a guest", from: provider, times: 50, arrives: onHost, frame: eth(hostMAC, gwMAC, v6, tcp6(outside, g1, 80))},
	)
}

func (b *builder) fromHost() {
	n, add := b.n, b.add
	var (
		all                        = ip("ff02::1")
		allMAC                     = slaac.MAC{0x33, 0x33, 0, 0, 0, 1}
		gwMAC, hostMAC             = n.mac[provider], n.mac[host]
		g1MAC                      = n.mac[guest1]
		gw, gwIn, gwKVM            = ip("fe80::1"), ip("2001:db8:1:3::1"), ip("fe80::5054:ff:fe00:1")
		gwFree                     = ip("2001:db8:1:3::fe")
		old, own, elsewhere, ownLL = ip("2001:db8:1:3::2"), ip("2001:db8:1:3:921b:eff:fe12:3456"), ip("2001:db8:9::2"), slaac.LinkLocal(hostMAC)
		g1, g1LL                   = ip("2001:db8:1:3:5054:ff:fe00:11"), slaac.LinkLocal(g1MAC)
		outside, nat64             = ip("2001:db8:2::9"), ip("64:ff9b::203.0.114.1")
		own4, gw4                  = ip("203.0.113.10"), ip("203.0.113.1")
		guests                     = []place{guest1, guest2, guest3}
		toAll                      = []place{provider, guest1, guest2, guest3}
	)
	add("host's RA", host, eth(allMAC, hostMAC, v6, icmp(ownLL, all, 134)), guests, one(RAToUplink))
	add("host's RA to a guest", host, eth(g1MAC, hostMAC, v6, icmp(ownLL, g1LL, 134)), []place{guest1}, nil)
	add("host's redirect to a guest", host, eth(g1MAC, hostMAC, v6, redirect(ownLL, g1)), nil, one(RedirectOut))
	add("host's redirect to the provider", host, eth(gwMAC, hostMAC, v6, redirect(ownLL, outside)), nil, one(RedirectOut))
	var live []netip.Addr
	for _, g := range b.config.Guests {
		live = append(live, g.Addresses(b.config.Prefix)...)
	}
	for _, a := range live {
		group, groupMAC := solicitedNode(a)
		add("host asks for guest "+a.String(), host, eth(groupMAC, hostMAC, v6, nd(135, ownLL, group, a)), guests, one(NDInsidePrefixToUplink))
		add("host tells of guest "+a.String(), host, eth(allMAC, hostMAC, v6, nd(136, ownLL, all, a)), guests, one(NDInsidePrefixToUplink))
		add(a.String()+" by the default route", host, eth(gwMAC, hostMAC, v6, icmp(outside, a, 128)), nil, one(InsidePrefixToUplink))
	}
	unknown := slaac.MAC{0x52, 0x54, 0, 0, 0, 0x99}
	for _, a := range []netip.Addr{ip("2001:db8:1:3::99"), slaac.LinkLocal(unknown)} {
		group, groupMAC := solicitedNode(a)
		if b.config.Kind == Routed {
			add("host asks for "+a.String(), host, eth(groupMAC, hostMAC, v6, nd(135, ownLL, group, a)), guests, one(NDInsidePrefixToUplink))
			add("to "+a.String()+", port unknown", host, eth(unknown, hostMAC, v6, icmp(own, a, 128)), guests, one(InsidePrefixToUplink))
		} else {
			// It may be a neighbour's.
			add("host asks for "+a.String(), host, eth(groupMAC, hostMAC, v6, nd(135, ownLL, group, a)), toAll, nil)
			add("to "+a.String()+", port unknown", host, eth(unknown, hostMAC, v6, icmp(own, a, 128)), toAll, nil)
		}
	}
	add("host asks guest directly", host, eth(g1MAC, hostMAC, v6, nd(135, ownLL, g1, g1)), []place{guest1}, nil)
	for _, a := range []netip.Addr{old, own, elsewhere, ownLL, gw, gwIn, gwFree, gwKVM} {
		group, groupMAC := solicitedNode(a)
		add("host asks for "+a.String(), host, eth(groupMAC, hostMAC, v6, nd(135, ownLL, group, a)), toAll, nil)
	}
	for _, a := range []netip.Addr{old, own, elsewhere, ownLL} {
		add("host answers for "+a.String(), host, eth(gwMAC, hostMAC, v6, nd(136, a, gw, a)), []place{provider}, nil)
	}
	for _, a := range []netip.Addr{gw, gwIn, gwFree, gwKVM, outside} {
		add("host to "+a.String(), host, eth(gwMAC, hostMAC, v6, icmp(own, a, 128)), []place{provider}, nil)
	}
	add("guest's link-local address forwarded", host, eth(gwMAC, hostMAC, v6, icmp(g1LL, outside, 128)), nil, one(LinkLocalToUplink))
	add("host's link-local address to the gateway", host, eth(gwMAC, hostMAC, v6, icmp(ownLL, gw, 128)), []place{provider}, nil)
	add("NAT64 by the default route", host, eth(gwMAC, hostMAC, v6, tcp6(g1, nat64, 80)), nil, one(InsidePrefixToUplink))
	add("guest's IPv4 by the default route", host, eth(gwMAC, hostMAC, v4, ip4(gw4, ip("203.0.113.77"), 1, blank(16))), nil, one(InsidePrefixToUplink))
	for _, a := range []netip.Addr{elsewhere, ownLL} {
		add("own "+a.String()+" by the default route", host, eth(gwMAC, hostMAC, v6, icmp(gw, a, 128)), nil, one(OwnToUplink))
	}
	add("own "+own4.String()+" by the default route", host, eth(gwMAC, hostMAC, v4, ip4(gw4, own4, 1, blank(16))), nil, one(OwnToUplink))
	add("host to a guest", host, eth(g1MAC, hostMAC, v6, icmp(outside, g1, 128)), []place{guest1}, nil)
	add("host's MLD report", host, eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 0x16}, hostMAC, v6, icmp(ownLL, ip("ff02::16"), 143)), toAll, nil)
	bcast := slaac.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	add("host's ARP", host, eth(bcast, hostMAC, arpType, blank(28)), toAll, nil)
	add("host by IPv4", host, eth(gwMAC, hostMAC, v4, ip4(own4, gw4, 1, blank(16))), []place{provider}, nil)
	add("foreign source MAC", host, eth(bcast, g1MAC, 0x88b5, blank(28)), guests, one(ForeignSourceToUplink))
}

// bridged is where a guest's multicast goes, and what is counted for it.
func (b *builder) bridged(from place) ([]place, map[Reason]uint64) {
	if b.config.Isolate {
		return []place{host}, map[Reason]uint64{GuestToUplink: 1, GuestToGuest: mcast - 1}
	}
	to := slices.DeleteFunc([]place{guest1, guest2, guest3, host}, func(p place) bool { return p == from })
	return to, one(GuestToUplink)
}

// fromListed is what the guest that is held to its list sends.
func (b *builder) fromListed() {
	n, add := b.n, b.add
	var (
		gwMAC, hostMAC = n.mac[provider], n.mac[host]
		m, m2          = n.mac[guest1], n.mac[guest2]
		all, allMAC    = ip("ff02::1"), slaac.MAC{0x33, 0x33, 0, 0, 0, 1}
		routers        = slaac.MAC{0x33, 0x33, 0, 0, 0, 2}
		bcast          = slaac.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		ownLL          = slaac.LinkLocal(hostMAC)
		own            = ip("2001:db8:1:3:921b:eff:fe12:3456")
		a, ll, more    = ip("2001:db8:1:3:5054:ff:fe00:11"), slaac.LinkLocal(m), ip("2001:db8:1:3::aaaa")
		a2, ll2        = ip("2001:db8:1:3:5054:ff:fe00:22"), slaac.LinkLocal(m2)
		outside        = ip("2001:db8:2::9")
		nat64          = ip("64:ff9b::203.0.114.1")
		none           = ip("::")
		extra, gw4     = ip("203.0.113.77"), ip("203.0.113.1")
		onHost         = []place{host}
	)
	every, flood := b.bridged(guest1)
	peer, peerCounted := []place{guest2}, map[Reason]uint64(nil)
	if b.config.Isolate {
		peer, peerCounted = nil, one(GuestToGuest)
	}

	add("guest to the provider's router", guest1, eth(gwMAC, m, v6, icmp(a, outside, 128)), nil, one(GuestToUplink))
	for _, src := range []netip.Addr{a, ll, more} {
		add("guest to the world from "+src.String(), guest1, eth(hostMAC, m, v6, icmp(src, outside, 128)), onHost, nil)
		group, groupMAC := solicitedNode(src)
		add("guest's duplicate address detection of "+src.String(), guest1, eth(groupMAC, m, v6, ndo(135, none, group, src.AsSlice()...)), every, flood)
		add("guest's advertisement of "+src.String(), guest1, eth(allMAC, m, v6, ndo(136, src, all, append(src.AsSlice(), option(2, m)...)...)), every, flood)
	}
	group, groupMAC := solicitedNode(a)
	nonce := append([]byte{14, 1}, "123456"...)
	add("guest's duplicate address detection with a nonce", guest1, eth(groupMAC, m, v6, ndo(135, none, group, append(a.AsSlice(), nonce...)...)), every, flood)
	group, groupMAC = solicitedNode(ownLL)
	add("guest asks for the host", guest1, eth(groupMAC, m, v6, ndo(135, ll, group, append(ownLL.AsSlice(), option(1, m)...)...)), every, flood)
	add("guest asks without its MAC", guest1, eth(groupMAC, m, v6, ndo(135, ll, group, ownLL.AsSlice()...)), every, flood)
	add("guest answers without its MAC", guest1, eth(hostMAC, m, v6, ndo(136, ll, ownLL, ll.AsSlice()...)), onHost, nil)
	add("guest's MLD report", guest1, eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 0x16}, m, v6, extended(ll, ip("ff02::16"), 0, 58, icmp6(ll, ip("ff02::16"), 143, make([]byte, 12)...))), every, flood)
	add("guest's MLD report without an address", guest1, eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 0x16}, m, v6, extended(none, ip("ff02::16"), 0, 58, icmp6(none, ip("ff02::16"), 143, make([]byte, 12)...))), every, flood)
	add("guest's old MLD report without an address", guest1, eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 0x16}, m, v6, extended(none, ip("ff02::16"), 0, 58, icmp6(none, ip("ff02::16"), 131, make([]byte, 12)...))), every, flood)
	add("guest's router solicitation", guest1, eth(routers, m, v6, ndo(133, ll, ip("ff02::2"), option(1, m)...)), every, flood)
	add("guest's router solicitation without its MAC", guest1, eth(routers, m, v6, ndo(133, ll, ip("ff02::2"))), every, flood)
	add("guest's router solicitation without an address", guest1, eth(routers, m, v6, ndo(133, none, ip("ff02::2"))), every, flood)
	add("guest to guest", guest1, eth(m2, m, v6, icmp(a, a2, 128)), peer, peerCounted)
	add("guest to host", guest1, eth(hostMAC, m, v6, icmp(a, own, 128)), onHost, nil)
	for _, typ := range []uint8{1, 2, 3, 4, 128, 129, 131, 132, 139, 140, 143, 160, 161} {
		add("guest's ICMPv6", guest1, eth(hostMAC, m, v6, icmp(a, outside, typ)), onHost, nil)
	}
	add("guest to NAT64", guest1, eth(hostMAC, m, v6, tcp6(a, nat64, 80)), onHost, nil)
	add("guest's DNS query", guest1, eth(hostMAC, m, v6, udp6(a, own, 53)), onHost, nil)
	add("guest's ESP", guest1, eth(hostMAC, m, v6, ip6(a, outside, 50, blank(24))), onHost, nil)
	add("guest's fragment", guest1, eth(hostMAC, m, v6, fragmentOf(a, outside, 17, 0, true, ports(5000, 53))), onHost, nil)
	add("guest's later fragment", guest1, eth(hostMAC, m, v6, fragmentOf(a, outside, 58, 1400, false, append([]byte{134, 0, 0, 0}, blank(16)...))), onHost, nil)
	add("guest behind destination options", guest1, eth(hostMAC, m, v6, extended(a, outside, 60, 6, ports(5000, 80))), onHost, nil)
	add("guest's ARP", guest1, eth(bcast, m, arpType, arpFrom(m, extra, gw4)), every, flood)
	add("guest's ARP probe", guest1, eth(bcast, m, arpType, arpFrom(m, ip("0.0.0.0"), extra)), every, flood)
	add("guest's IPv4", guest1, eth(hostMAC, m, v4, ip4(extra, gw4, 17, ports(5000, 53))), onHost, nil)
	b.out = append(b.out,
		// No limit holds these up.
		check{name: "guest asks for its neighbour often", from: guest1, times: 2 * nsBurst, arrives: peer, counted: peerCounted,
			frame: eth(m2, m, v6, ndo(135, a, a2, append(a2.AsSlice(), option(1, m)...)...))},
		check{name: "guest sends much to its neighbour by the host", from: guest1, times: 2 * absentBurst, arrives: onHost, frame: eth(hostMAC, m, v6, tcp6(a, a2, 80))},
	)

	// Everything else.
	add("another MAC", guest1, eth(hostMAC, slaac.MAC{0x52, 0x54, 0, 9, 9, 9}, v6, icmp(a, outside, 128)), nil, one(MACFromGuest))
	add("a guest's MAC", guest1, eth(hostMAC, m2, v6, icmp(a2, outside, 128)), nil, one(MACFromGuest))
	add("another MAC to ask for an address", guest1, eth(allMAC, m2, v6, ndo(135, none, all, a2.AsSlice()...)), nil, one(MACFromGuest))
	for _, src := range []netip.Addr{a2, ll2, own, ownLL, ip("2001:db8:1:3::77"), outside, ip("fe80::1")} {
		add("source "+src.String(), guest1, eth(hostMAC, m, v6, icmp(src, outside, 128)), nil, one(SourceFromGuest))
	}
	add("no source, to ping", guest1, eth(hostMAC, m, v6, icmp(none, ownLL, 128)), nil, one(SourceFromGuest))
	add("RA without source", guest1, eth(allMAC, m, v6, icmp(none, all, 134)), nil, one(SourceFromGuest))
	add("guest's RA", guest1, eth(allMAC, m, v6, icmp(ll, all, 134)), nil, one(RAFromGuest))
	add("guest's RA to a guest", guest1, eth(m2, m, v6, icmp(ll, ll2, 134)), nil, one(RAFromGuest))
	add("guest's RA behind hop-by-hop", guest1, eth(allMAC, m, v6, hidden(ll)), nil, one(RAFromGuest))
	add("guest's RA behind destination options", guest1, eth(allMAC, m, v6, extended(ll, all, 60, 58, icmp6(ll, all, 134, make([]byte, 12)...))), nil, one(RAFromGuest))
	add("guest's RA in fragments", guest1, eth(allMAC, m, v6, fragmentOf(ll, all, 58, 0, true, icmp6(ll, all, 134, make([]byte, 12)...))), nil, one(RAFromGuest))
	add("guest's redirect", guest1, eth(m2, m, v6, redirect(ll, ll2)), nil, one(RedirectFromGuest))
	for _, types := range [][]uint16{{0x8100}, {0x88a8}, {0x8100, 0x8100}, {0x8100, 0x88a8}} {
		add("guest's RA with tags", guest1, tag(eth(allMAC, m, v6, icmp(ll, all, 134)), types...), nil, one(EthertypeFromGuest))
		add("guest's ping with tags", guest1, tag(eth(hostMAC, m, v6, icmp(a, outside, 128)), types...), nil, one(EthertypeFromGuest))
	}
	add("another ethertype", guest1, eth(bcast, m, 0x88b5, blank(50)), nil, one(EthertypeFromGuest))
	add("discovery protocol", guest1, eth(slaac.MAC{1, 0, 0xc, 0xcc, 0xcc, 0xcc}, m, 60, append([]byte{0xaa, 0xaa, 3, 0, 0, 0xc, 0x20, 0}, blank(40)...)), nil, one(EthertypeFromGuest))
	add("spanning tree", guest1, eth(slaac.MAC{1, 0x80, 0xc2, 0, 0, 0}, m, 38, append([]byte{0x42, 0x42, 3}, blank(40)...)), nil, one(EthertypeFromGuest))
	add("LLDP", guest1, eth(slaac.MAC{1, 0x80, 0xc2, 0, 0, 0xe}, m, 0x88cc, blank(50)), nil, nil)
	add("ARP for a neighbour", guest1, eth(bcast, m, arpType, arpFrom(m, gw4, extra)), nil, one(ARPFromGuest))
	add("ARP with a MAC inside", guest1, eth(bcast, m, arpType, arpFrom(m2, extra, gw4)), nil, one(ARPFromGuest))
	add("another's IPv4", guest1, eth(hostMAC, m, v4, ip4(ip("203.0.113.10"), gw4, 1, blank(16))), nil, one(IPv4FromGuest))
	add("DHCP server's answer", guest1, eth(bcast, m, v4, ip4(extra, ip("255.255.255.255"), 17, append([]byte{0, 67, 1, 1}, blank(16)...))), nil, one(DHCPFromGuest))
	add("DHCP to a client", guest1, eth(bcast, m, v4, ip4(extra, ip("255.255.255.255"), 17, ports(5000, 68))), nil, one(DHCPFromGuest))
	add("DHCPv6 server's answer", guest1, eth(m2, m, v6, ip6(ll, ll2, 17, append([]byte{2, 0x23, 1, 1}, blank(16)...))), nil, one(DHCPFromGuest))
	add("DHCPv6 to a client", guest1, eth(m2, m, v6, udp6(ll, ll2, 546)), nil, one(DHCPFromGuest))
	add("DHCPv6 in a fragment", guest1, eth(m2, m, v6, fragmentOf(ll, ll2, 17, 0, true, append([]byte{2, 0x23, 1, 1}, blank(16)...))), nil, one(DHCPFromGuest))
	add("fragmented solicitation", guest1, eth(m2, m, v6, fragmentOf(ll, ll2, 58, 0, true, bare(ll, ll2, 135, slices.Concat(mark(), ll2.AsSlice(), option(1, m))...))), nil, one(FragmentedNDFromGuest))
	add("hidden solicitation", guest1, eth(m2, m, v6, extended(ll, ll2, 60, 58, bare(ll, ll2, 135, slices.Concat(mark(), ll2.AsSlice(), option(1, m))...))), nil, one(HiddenNDFromGuest))
	for _, t := range []netip.Addr{a2, ll2, ownLL, own, ip("2001:db8:1:3::1"), ip("2001:db8:1:3::77")} {
		add("advertisement of "+t.String(), guest1, eth(allMAC, m, v6, ndo(136, ll, all, append(t.AsSlice(), option(2, m)...)...)), nil, one(NDFromGuest))
		add("claim to "+t.String(), guest1, eth(allMAC, m, v6, ndo(135, none, all, t.AsSlice()...)), nil, one(NDFromGuest))
	}
	add("advertisement with another MAC", guest1, eth(allMAC, m, v6, ndo(136, ll, all, append(ll.AsSlice(), option(2, m2)...)...)), nil, one(NDOptionFromGuest))
	add("solicitation with another MAC", guest1, eth(allMAC, m, v6, ndo(135, ll, all, append(ownLL.AsSlice(), option(1, m2)...)...)), nil, one(NDOptionFromGuest))
	add("solicitation with two options", guest1, eth(allMAC, m, v6, ndo(135, ll, all, slices.Concat(ownLL.AsSlice(), option(1, m), option(1, m2))...)), nil, one(NDOptionFromGuest))
	add("router solicitation with another MAC", guest1, eth(routers, m, v6, ndo(133, ll, ip("ff02::2"), option(1, m2)...)), nil, one(NDOptionFromGuest))
	add("router solicitation with nobody's MAC", guest1, eth(routers, m, v6, ndo(133, ll, ip("ff02::2"), option(1, slaac.MAC{2, 9, 9, 9, 9, 9})...)), nil, one(NDOptionFromGuest))
	add("router solicitation with two options", guest1, eth(routers, m, v6, ndo(133, ll, ip("ff02::2"), append(option(1, m), option(1, m2)...)...)), nil, one(NDOptionFromGuest))
	for _, typ := range []uint8{130, 141, 144, 147, 151, 153, 200} {
		add("ICMPv6 not for guests", guest1, eth(m2, m, v6, icmp(ll, ll2, typ)), nil, one(ICMPFromGuest))
	}
	add("headers that lead nowhere", guest1, eth(m2, m, v6, ip6(ll, ll2, 60, append([]byte{60, 200}, mark()...))), nil, one(MalformedFromGuest))
}

// fromOpen is what the guest sends that may take addresses by itself.
func (b *builder) fromOpen() {
	n, add := b.n, b.add
	m, m1, hostMAC := n.mac[guest2], n.mac[guest1], n.mac[host]
	outside, all, none := ip("2001:db8:2::9"), ip("ff02::1"), ip("::")
	allMAC := slaac.MAC{0x33, 0x33, 0, 0, 0, 1}
	private, ll := ip("2001:db8:1:3:1234:5678:9abc:def0"), ip("fe80::1234:5678:9abc:def0")
	every, flood := b.bridged(guest2)
	add("claim to a privacy address", guest2, eth(allMAC, m, v6, ndo(135, none, all, private.AsSlice()...)), every, flood)
	b.out = append(b.out,
		check{name: "much from a privacy address", from: guest2, times: 2 * newBurst, arrives: []place{host}, frame: eth(hostMAC, m, v6, tcp6(private, outside, 80))},
		// It is known from then on.
		check{name: "much for a privacy address", from: provider, times: 2 * absentBurst, arrives: []place{host}, frame: eth(hostMAC, n.mac[provider], v6, tcp6(outside, private, 80))},
		check{name: "much for a privacy address from a guest", from: guest1, times: 2 * absentBurst, arrives: []place{host}, frame: eth(hostMAC, m1, v6, tcp6(ip("2001:db8:1:3::aaaa"), private, 80))},
	)
	add("from another link-local address", guest2, eth(hostMAC, m, v6, icmp(ll, outside, 128)), []place{host}, nil)
	add("advertisement of a privacy address", guest2, eth(allMAC, m, v6, ndo(136, private, all, append(private.AsSlice(), option(2, m)...)...)), every, flood)
	for _, a := range []netip.Addr{
		ip("2001:db8:1:3:5054:ff:fe00:11"), slaac.LinkLocal(m1), ip("2001:db8:1:3::aaaa"), ip("2001:db8:1:3:5054:ff:fe00:33"), slaac.LinkLocal(n.mac[guest3]),
		ip("2001:db8:1:3:aa:ff:fe00:44"), slaac.LinkLocal(slaac.MAC{2, 0xaa, 5: 0x44}),
		slaac.LinkLocal(hostMAC), ip("2001:db8:1:3::2"), ip("2001:db8:1:3:921b:eff:fe12:3456"), ip("2001:db8:9::2"),
		ip("2001:db8:1:3::1"), ip("2001:db8:1:3::fe"), ip("fe80::1"), ip("fe80::5054:ff:fe00:1"),
	} {
		add("open guest's source "+a.String(), guest2, eth(hostMAC, m, v6, icmp(a, outside, 128)), nil, one(SourceFromGuest))
		add("open guest's claim to "+a.String(), guest2, eth(allMAC, m, v6, ndo(135, none, all, a.AsSlice()...)), nil, one(NDFromGuest))
	}
	add("open guest's source elsewhere", guest2, eth(hostMAC, m, v6, icmp(outside, outside, 128)), nil, one(SourceFromGuest))
	add("open guest's RA", guest2, eth(allMAC, m, v6, icmp(ll, all, 134)), nil, one(RAFromGuest))
	for _, a := range []netip.Addr{ip("2001:db8:1:3:5054:ff:fe00:22"), slaac.LinkLocal(m)} {
		group, groupMAC := solicitedNode(a)
		add("open guest's claim to its own", guest2, eth(groupMAC, m, v6, ndo(135, none, group, a.AsSlice()...)), every, flood)
		add("open guest's own source", guest2, eth(hostMAC, m, v6, icmp(a, outside, 128)), []place{host}, nil)
	}
	add("open guest asks", guest2, eth(hostMAC, m, v6, ndo(135, slaac.LinkLocal(m), slaac.LinkLocal(hostMAC), append(slaac.LinkLocal(hostMAC).AsSlice(), option(1, m)...)...)), []place{host}, nil)
	add("open guest's router solicitation", guest2, eth(hostMAC, m, v6, ndo(133, slaac.LinkLocal(m), ip("ff02::2"), option(1, m)...)), []place{host}, nil)
	add("open guest's option with another MAC", guest2, eth(hostMAC, m, v6, ndo(135, private, slaac.LinkLocal(hostMAC), append(slaac.LinkLocal(hostMAC).AsSlice(), option(1, slaac.MAC{2, 9, 9, 9, 9, 9})...)...)), nil, one(NDOptionFromGuest))
}

// fromUnlisted is what comes from the port that no guest in the list has: from
// the two guests whose ports are not known, and from a stranger.
func (b *builder) fromUnlisted() {
	n, add := b.n, b.add
	hostMAC := n.mac[host]
	outside, all, none := ip("2001:db8:2::9"), ip("ff02::1"), ip("::")
	allMAC := slaac.MAC{0x33, 0x33, 0, 0, 0, 1}
	ownLL := slaac.LinkLocal(hostMAC)
	every, flood := b.bridged(guest3)
	onHost := []place{host}
	three, four, stranger := n.mac[guest3], slaac.MAC{2, 0xaa, 5: 0x44}, slaac.MAC{2, 0xbb, 5: 0x55}
	addrs := func(m slaac.MAC) []netip.Addr { return Guest{MAC: m}.Addresses(b.config.Prefix) }
	for _, m := range []slaac.MAC{three, four, stranger} {
		for _, a := range addrs(m) {
			add("unlisted "+m.String()+" from "+a.String(), guest3, eth(hostMAC, m, v6, icmp(a, outside, 128)), onHost, nil)
			group, groupMAC := solicitedNode(a)
			add("unlisted "+m.String()+" claims "+a.String(), guest3, eth(groupMAC, m, v6, ndo(135, none, group, a.AsSlice()...)), every, flood)
			add("unlisted "+m.String()+" tells of "+a.String(), guest3, eth(allMAC, m, v6, ndo(136, a, all, append(a.AsSlice(), option(2, m)...)...)), every, flood)
		}
		ll := slaac.LinkLocal(m)
		add("unlisted "+m.String()+" asks", guest3, eth(hostMAC, m, v6, ndo(135, ll, ownLL, append(ownLL.AsSlice(), option(1, m)...)...)), onHost, nil)
		add("unlisted "+m.String()+" asks for routers", guest3, eth(hostMAC, m, v6, ndo(133, ll, ip("ff02::2"), option(1, m)...)), onHost, nil)
		for _, other := range []slaac.MAC{n.mac[guest1], n.mac[guest2], hostMAC, n.mac[provider]} {
			add("unlisted "+m.String()+" asks as "+other.String(), guest3, eth(hostMAC, m, v6, ndo(135, ll, ownLL, append(ownLL.AsSlice(), option(1, other)...)...)), nil, one(NDOptionFromGuest))
			add("unlisted "+m.String()+" asks for routers as "+other.String(), guest3, eth(hostMAC, m, v6, ndo(133, ll, ip("ff02::2"), option(1, other)...)), nil, one(NDOptionFromGuest))
		}
		for _, a := range []netip.Addr{ip("2001:db8:1:3::aaaa"), ip("2001:db8:1:3:5054:ff:fe00:22"), slaac.LinkLocal(n.mac[guest2])} {
			add("unlisted "+m.String()+" takes a guest's "+a.String(), guest3, eth(hostMAC, m, v6, icmp(a, outside, 128)), nil, one(SourceFromGuest))
			add("unlisted "+m.String()+" claims a guest's "+a.String(), guest3, eth(allMAC, m, v6, ndo(135, none, all, a.AsSlice()...)), nil, one(NDFromGuest))
		}
		add("unlisted "+m.String()+" sends an RA", guest3, eth(allMAC, m, v6, icmp(ll, all, 134)), nil, one(RAFromGuest))
	}
	for _, other := range []slaac.MAC{three, four} {
		ll := slaac.LinkLocal(stranger)
		add("stranger asks as "+other.String(), guest3, eth(hostMAC, stranger, v6, ndo(135, ll, ownLL, append(ownLL.AsSlice(), option(1, other)...)...)), nil, one(NDOptionFromGuest))
		add("stranger asks for routers as "+other.String(), guest3, eth(hostMAC, stranger, v6, ndo(133, ll, ip("ff02::2"), option(1, other)...)), nil, one(NDOptionFromGuest))
	}
	add("the listed one of these from another address", guest3, eth(hostMAC, three, v6, icmp(ip("2001:db8:1:3::77"), outside, 128)), nil, one(SourceFromGuest))
	add("the listed one of these claims another address", guest3, eth(allMAC, three, v6, ndo(135, none, all, ip("2001:db8:1:3::77").AsSlice()...)), nil, one(NDFromGuest))
	for _, m := range []slaac.MAC{n.mac[guest1], n.mac[guest2], hostMAC, n.mac[provider]} {
		add("unlisted with the MAC "+m.String(), guest3, eth(allMAC, m, v6, icmp(ip("2001:db8:1:3::78"), all, 128)), nil, one(MACFromGuest))
	}
	add("unlisted ARP", guest3, eth(hostMAC, stranger, arpType, arpFrom(stranger, ip("203.0.113.77"), ip("203.0.113.1"))), nil, one(ARPFromGuest))
	add("unlisted IPv4", guest3, eth(hostMAC, stranger, v4, ip4(ip("203.0.113.77"), ip("203.0.113.1"), 1, blank(16))), nil, one(IPv4FromGuest))
}

// limits are those of each port.
func (b *builder) limits() {
	m, hostMAC := b.n.mac[guest1], b.n.mac[host]
	ll, a := slaac.LinkLocal(m), ip("2001:db8:1:3:5054:ff:fe00:11")
	nobody := func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, 3, 8, 15: byte(i)})
	}
	onHost := []place{host}
	b.out = append(b.out,
		check{name: "router solicitations", from: guest1, times: 4 * rsBurst, arrives: onHost, limited: RSLimitFromGuest,
			frame: eth(hostMAC, m, v6, ndo(133, ll, ip("ff02::2"), option(1, m)...))},
		check{name: "router solicitations of a stranger", from: guest3, times: 4 * rsBurst, arrives: onHost, limited: RSLimitFromGuest,
			frame: eth(hostMAC, slaac.MAC{2, 0xbb, 5: 0x55}, v6, ndo(133, slaac.LinkLocal(slaac.MAC{2, 0xbb, 5: 0x55}), ip("ff02::2"), option(1, slaac.MAC{2, 0xbb, 5: 0x55})...))},
		check{name: "solicitations for nobody", from: guest1, times: 3 * nsBurst, arrives: onHost, limited: NSLimitFromGuest, vary: func(i int) []byte {
			return eth(hostMAC, m, v6, ndo(135, ll, ip("ff02::1"), append(nobody(i).AsSlice(), option(1, m)...)...))
		}},
		check{name: "packets for nobody", from: guest1, times: 3 * absentBurst, arrives: onHost, limited: AbsentLimitFromGuest, vary: func(i int) []byte {
			return eth(hostMAC, m, v6, tcp6(a, nobody(i), 80))
		}},
		check{name: "new addresses", from: guest2, times: 3 * newBurst, arrives: onHost, limited: NewLimitFromGuest, vary: func(i int) []byte {
			return eth(hostMAC, b.n.mac[guest2], v6, icmp(nobody(i), ip("2001:db8:2::9"), 128))
		}},
		check{name: "new MACs", from: guest3, times: 3 * newBurst, arrives: onHost, limited: NewLimitFromGuest, vary: func(i int) []byte {
			return eth(hostMAC, slaac.MAC{2, 0xcc, 0, 0, 0, byte(i)}, v6, icmp(ip("2001:db8:1:3::79"), ip("2001:db8:2::9"), 128))
		}},
	)
}

// full is what happens when there is no more room for new addresses.
func (b *builder) full() {
	b.out = append(b.out, check{name: "more addresses than there is room for", from: guest2, times: newBurst - 1, arrives: []place{host}, limited: NewLimitFromGuest, vary: func(i int) []byte {
		return eth(b.n.mac[host], b.n.mac[guest2], v6, icmp(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, 3, 8, 15: byte(i)}), ip("2001:db8:2::9"), 128))
	}})
}

// anotherBridge is what comes from a port that is none of a guest.
func (b *builder) anotherBridge() {
	m, bcast, n3 := slaac.MAC{2, 0xbb, 5: 0x55}, slaac.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, b.n.mac[guest3]
	b.add("anything from another bridge", guest3, eth(bcast, m, arpType, arpFrom(m, ip("10.0.0.1"), ip("10.0.0.2"))), []place{guest1, guest2, host}, one(GuestToUplink))
	b.add("redirect to another bridge", host, eth(n3, b.n.mac[host], v6, redirect(slaac.LinkLocal(b.n.mac[host]), ip("2001:db8:1:3::77"))), []place{guest3}, nil)
	b.add("redirect to a guest", host, eth(b.n.mac[guest1], b.n.mac[host], v6, redirect(slaac.LinkLocal(b.n.mac[host]), ip("2001:db8:1:3::77"))), nil, one(RedirectOut))
	b.add("RA from another bridge", guest3, eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 1}, m, v6, icmp(slaac.LinkLocal(m), ip("ff02::1"), 134)), []place{guest1, guest2, host}, one(GuestToUplink))
}
