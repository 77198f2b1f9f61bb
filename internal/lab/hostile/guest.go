package hostile

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// Sizes of the floods. The kernel's table of IPv6 neighbours has 1,024 entries for
// all namespaces together, so that a scan that succeeds must not fill it.
const (
	floodFrames = 2000
	scanFrames  = 250
)

// FromGuest returns the attacks of a hostile guest, in the order they should run:
// those that leave traces in tables come last. The seed is that of their random
// parts.
func FromGuest(s Stage, seed uint64) []Attack {
	var list []Attack
	for i, a := range []struct {
		name  string
		reach bool
		make  func(*craft, *rand.Rand)
	}{
		{"foreign source MAC", false, foreignMAC},
		{"foreign source address", false, foreignAddress},
		{"link-local source, to be routed", false, linkLocalRouted},
		{"straight to the provider's router", false, straight},
		{"router advertisement", false, guestRA},
		{"router advertisement behind extension headers", false, guestHiddenRA},
		{"fragmented neighbour discovery", false, guestFragmentedND},
		{"redirect", false, guestRedirect},
		{"neighbour spoofing: other guests and the host", false, spoofGuests},
		{"neighbour spoofing: the gateway", false, spoofGateway},
		{"ARP spoofing", false, spoofARP},
		{"DHCP server answers", false, guestDHCP},
		{"DHCPv6 server answers", false, guestDHCPv6},
		{"multicast listener queries", true, queries},
		{"VLAN tags", true, vlanTags},
		{"stacked VLAN tags", true, stackedTags},
		{"LLDP, spanning tree, CDP and their like", true, control},
		{"jumbo and runt frames", true, sizes},
		{"flood of router solicitations", true, solicitRouters},
		{"solicitations for absent hosts", true, scan},
		{"packets to absent hosts, through the host", true, scanRouted},
		{"many source addresses", false, manyAddresses},
		{"MAC flooding", false, floodMACs},
		{randomName, true, func(c *craft, r *rand.Rand) { c.add(random(c, r, RandomFrames)...) }},
	} {
		c := newCraft(s, uint8(i+1), a.name)
		c.attack.MayReach = a.reach
		c.attack.MayPass = a.name == randomName
		a.make(c, rand.New(rand.NewPCG(seed, uint64(i))))
		list = append(list, c.attack)
	}
	return list
}

// foreignMAC uses MACs that are not the attacker's: the host's and the router's
// own, another guest's, one nobody has, a group's.
func foreignMAC(c *craft, _ *rand.Rand) {
	own := c.global(c.Attacker)
	for _, mac := range []wire.MAC{c.Server, c.Router, c.Victim, {0x52, 0x54, 0, 0xba, 0xad, 1}, {0x00, 0x00, 0x5e, 0, 0x53, 0xaf}, {0x33, 0x33, 0, 0, 0, 9}, {}} {
		c.add(
			to6(c.Server, mac, c.echo(own, c.Outside)),
			to6(c.Server, mac, c.echo(own, c.Host)),
			to6(c.Victim, mac, c.echo(own, c.global(c.Victim))),
			to6(c.Router, mac, c.echo(own, c.Outside)),
			multicast6(mac, c.echo(linkLocal(c.Attacker), allNodes)),
			c.markedARP(broadcast, mac, typeARP, arp(1, mac, c.HostIPv4, wire.MAC{}, c.GatewayIPv4)),
			ethernet(broadcast, mac, 0x88b5, c.mark()),
		)
	}
}

// foreignAddress uses source addresses that are not the attacker's, from its own
// MAC.
func foreignAddress(c *craft, _ *rand.Rand) {
	for _, src := range []netip.Addr{
		c.Host, c.Gateway, c.global(c.Victim), linkLocal(c.Victim), linkLocal(c.Server),
		c.Outside, c.Outside4, c.absent(1),
		netip.MustParseAddr("2001:db8:ffff::1"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("::1"),
		netip.MustParseAddr("ff02::5"), netip.MustParseAddr("::ffff:203.0.113.10"),
	} {
		for _, dst := range []struct {
			mac wire.MAC
			to  netip.Addr
		}{
			{c.Server, c.Outside}, {c.Server, c.Outside4}, {c.Server, c.Host}, {c.Server, c.global(c.Victim)},
			{c.Victim, c.global(c.Victim)}, {group(allNodes), allNodes},
		} {
			from, to := netip.AddrPortFrom(src, 53), netip.AddrPortFrom(dst.to, 53)
			c.add(
				to6(dst.mac, c.Attacker, c.echo(src, dst.to)),
				to6(dst.mac, c.Attacker, ipv6(src, dst.to, protoUDP, 64, udp(from, to, c.mark()))),
			)
		}
	}
	for _, src := range []netip.Addr{c.HostIPv4, c.GatewayIPv4, netip.MustParseAddr("10.0.0.66"), netip.MustParseAddr("203.0.114.66")} {
		c.add(
			ethernet(c.Server, c.Attacker, typeIPv4, c.echo4(src, netip.MustParseAddr("203.0.114.10"))),
			ethernet(c.Server, c.Attacker, typeIPv4, c.echo4(src, c.HostIPv4)),
			ethernet(broadcast, c.Attacker, typeIPv4, c.echo4(src, netip.MustParseAddr("255.255.255.255"))),
		)
	}
}

// linkLocalRouted sends beyond the link from an address of the link: routers must
// not forward that (RFC 4291 section 2.5.6), and one whose two sides are one
// interface does.
func linkLocalRouted(c *craft, _ *rand.Rand) {
	src := linkLocal(c.Attacker)
	for _, dst := range []netip.Addr{c.Outside, c.Outside4, c.Gateway, c.absent(1), netip.MustParseAddr("fe80:7d::1")} {
		c.add(
			to6(c.Server, c.Attacker, c.echo(src, dst)),
			to6(c.Server, c.Attacker, ipv6(src, dst, protoUDP, 64, udp(netip.AddrPortFrom(src, 9), netip.AddrPortFrom(dst, 9), c.mark()))),
		)
	}
}

// straight takes the provider's segment for the attacker's own.
func straight(c *craft, _ *rand.Rand) {
	own, local := c.global(c.Attacker), linkLocal(c.Attacker)
	c.add(
		to6(c.Router, c.Attacker, c.echo(own, c.Outside)),
		to6(c.Router, c.Attacker, c.echo(local, c.Gateway)),
		to6(c.Router, c.Attacker, c.nd(local, c.Gateway, icmpNS, neighbour(0, c.Gateway, sourceLLA(c.Attacker)))),
		to6(c.Router, c.Attacker, c.nd(own, c.Gateway, icmpNA, neighbour(naOverride, own, targetLLA(c.Attacker)))),
		multicast6(c.Attacker, c.nd(own, solicited(c.Gateway), icmpNS, neighbour(0, c.Gateway, sourceLLA(c.Attacker)))),
		c.markedARP(broadcast, c.Attacker, typeARP, arp(1, c.Attacker, c.HostIPv4, wire.MAC{}, c.GatewayIPv4)),
		ethernet(c.Router, c.Attacker, 0x88b5, c.mark()),
		ethernet(broadcast, c.Attacker, 0x88b5, c.mark()),
		ethernet(wire.MAC{0x02, 0, 0, 0, 0, 0x42}, c.Attacker, 0x88b5, c.mark()),
	)
}

func guestRA(c *craft, _ *rand.Rand) {
	for _, src := range []netip.Addr{linkLocal(c.Attacker), linkLocal(c.Server), netip.MustParseAddr("fe80::1")} {
		for _, lifetime := range []uint16{1800, 0} {
			c.add(
				multicast6(c.Attacker, c.rogueRA(src, allNodes, c.Attacker, lifetime)),
				to6(c.Victim, c.Attacker, c.rogueRA(src, linkLocal(c.Victim), c.Attacker, lifetime)),
				to6(c.Server, c.Attacker, c.rogueRA(src, linkLocal(c.Server), c.Attacker, lifetime)),
				to6(c.Router, c.Attacker, c.rogueRA(src, allNodes, c.Attacker, lifetime)),
			)
		}
	}
}

// guestHiddenRA hides the type of the message from who looks at a fixed place.
func guestHiddenRA(c *craft, _ *rand.Rand) {
	c.hiddenRAs(c.Attacker, c.Victim, linkLocal(c.Attacker))
}

// hiddenRAs are router advertisements behind each kind of extension header.
func (c *craft) hiddenRAs(from, to wire.MAC, src netip.Addr) {
	for i, dst := range []netip.Addr{allNodes, linkLocal(to)} {
		mac := to
		if dst.IsMulticast() {
			mac = group(dst)
		}
		ra := c.rogueRA(src, dst, from, 1800)
		id := uint32(0xbad0 + i*16)
		hidden := [][]byte{
			behind(ra, protoHopByHop, extension(protoICMPv6, 0)),
			behind(ra, protoHopByHop, extension(protoICMPv6, 20)),
			behind(ra, protoDestination, extension(protoICMPv6, 0)),
			behind(ra, protoHopByHop, slices.Concat(extension(protoDestination, 0), extension(protoICMPv6, 0))),
			// A routing header without segments left is passed over (RFC 8200 4.4).
			behind(ra, protoRouting, []byte{protoICMPv6, 0, 253, 0, 0, 0, 0, 0}),
			behind(ra, protoFragment, fragment(protoICMPv6, 0, false, id)), // atomic
		}
		for _, p := range hidden {
			c.add(to6(mac, from, p))
		}
		ra = c.without(func() []byte { return c.rogueRA(src, dst, from, 1800) })
		long := behind(ra, protoDestination, extension(protoICMPv6, 3))
		c.cut(mac, from, fragments(long, 32, id+1)) // the first has options only
		c.cut(mac, from, fragments(ra, 8, id+2))
	}
}

// cut marks the first fragment only: the others are nothing without it.
func (c *craft) cut(to, from wire.MAC, pieces [][]byte) {
	for i, p := range pieces {
		f := to6(to, from, p)
		if i == 0 {
			f = c.trailed(f)
		}
		c.add(f)
	}
}

func guestFragmentedND(c *craft, _ *rand.Rand) {
	c.fragmentedND(c.Attacker, c.Victim, c.global(c.Other))
	c.fragmentedND(c.Attacker, c.Server, c.global(c.Victim))
}

// fragmentedND claims an address in advertisements and solicitations that are
// cut, or could be (RFC 6980).
func (c *craft) fragmentedND(from, to wire.MAC, claimed netip.Addr) {
	src := linkLocal(from)
	c.bare = true
	defer func() { c.bare = false }()
	for i, p := range [][]byte{
		c.nd(src, linkLocal(to), icmpNA, neighbour(naOverride, claimed, targetLLA(from))),
		c.nd(claimed, linkLocal(to), icmpNS, neighbour(0, linkLocal(to), sourceLLA(from))),
		c.nd(src, allNodes, icmpNA, neighbour(naOverride, claimed, targetLLA(from))),
	} {
		mac := to
		if i == 2 {
			mac = group(allNodes)
		}
		c.cut(mac, from, fragments(p, 24, uint32(0xf00+i)))
		c.cut(mac, from, [][]byte{behind(p, protoFragment, fragment(protoICMPv6, 0, false, uint32(0xf80+i)))}) // atomic
	}
}

func guestRedirect(c *craft, _ *rand.Rand) {
	for _, src := range []netip.Addr{linkLocal(c.Server), linkLocal(c.Attacker), netip.MustParseAddr("fe80::1")} {
		for _, to := range []wire.MAC{c.Victim, c.Server} {
			dst := c.global(to)
			if to == c.Server {
				dst = c.Host
			}
			c.add(
				to6(to, c.Attacker, c.redirect(src, dst, linkLocal(c.Attacker), c.Outside, c.Attacker)),
				to6(to, c.Attacker, c.redirect(src, linkLocal(to), linkLocal(c.Attacker), c.Outside, c.Attacker)),
			)
		}
		c.add(to6(c.Router, c.Attacker, c.redirect(src, c.Gateway, linkLocal(c.Attacker), c.Host, c.Attacker)))
	}
}

// claims tells everybody that addresses are at the attacker's MAC, in each way in
// which neighbour discovery can say it.
func (c *craft) claims(from wire.MAC, listeners []wire.MAC, addrs ...netip.Addr) {
	for _, a := range addrs {
		c.add(
			multicast6(from, c.nd(a, allNodes, icmpNA, neighbour(naOverride, a, targetLLA(from)))),
			multicast6(from, c.nd(linkLocal(from), allNodes, icmpNA, neighbour(naRouter|naOverride, a, targetLLA(from)))),
			// Somebody who defends an address in others' duplicate detection.
			multicast6(from, c.nd(netip.IPv6Unspecified(), solicited(a), icmpNS, neighbour(0, a))),
		)
		for _, l := range listeners {
			to := linkLocal(l)
			c.add(
				to6(l, from, c.nd(a, to, icmpNA, neighbour(naSolicited|naOverride, a, targetLLA(from)))),
				to6(l, from, c.nd(linkLocal(from), to, icmpNA, neighbour(naSolicited|naOverride, a, targetLLA(from)))),
				to6(l, from, c.nd(a, to, icmpNS, neighbour(0, to, sourceLLA(from)))),
				to6(l, from, c.nd(a, to, icmpRS, append([]byte{0, 0, 0, 0}, sourceLLA(from)...))),
			)
		}
	}
}

func spoofGuests(c *craft, _ *rand.Rand) {
	c.claims(c.Attacker, []wire.MAC{c.Victim, c.Other, c.Server},
		c.global(c.Victim), linkLocal(c.Victim), c.global(c.Other), c.Host, linkLocal(c.Server))
}

func spoofGateway(c *craft, _ *rand.Rand) {
	c.claims(c.Attacker, []wire.MAC{c.Victim, c.Server, c.Router}, c.Gateway, netip.MustParseAddr("fe80::1"))
}

func spoofARP(c *craft, _ *rand.Rand) {
	for _, a := range []netip.Addr{c.HostIPv4, c.GatewayIPv4} {
		for _, mac := range []wire.MAC{c.Attacker, {0x52, 0x54, 0, 0xba, 0xad, 1}} {
			c.add(
				c.markedARP(broadcast, c.Attacker, typeARP, arp(1, mac, a, wire.MAC{}, a)),
				c.markedARP(broadcast, c.Attacker, typeARP, arp(2, mac, a, broadcast, a)),
				c.markedARP(c.Server, c.Attacker, typeARP, arp(2, mac, a, c.Server, c.HostIPv4)),
				c.markedARP(c.Router, c.Attacker, typeARP, arp(2, mac, a, c.Router, c.GatewayIPv4)),
				c.markedARP(broadcast, c.Attacker, typeRARP, arp(3, mac, a, mac, a)),
			)
		}
	}
}

func guestDHCP(c *craft, _ *rand.Rand) { c.dhcp(c.Attacker, c.Victim) }

// dhcp offers and acknowledges leases (RFC 2131) to somebody who may not even
// have asked.
func (c *craft) dhcp(from, to wire.MAC) {
	server := netip.MustParseAddr("192.168.66.1")
	for _, kind := range []byte{2, 5} { // DHCPOFFER, DHCPACK
		b := make([]byte, 236)
		b[0], b[1], b[2] = 2, 1, 6
		copy(b[16:], netip.MustParseAddr("192.168.66.66").AsSlice())
		copy(b[20:], server.AsSlice())
		copy(b[28:], to[:])
		copy(b[44:], c.mark()) // the server's host name
		b = append(b, 0x63, 0x82, 0x53, 0x63, 53, 1, kind, 54, 4, 192, 168, 66, 1, 3, 4, 192, 168, 66, 1, 255)
		for _, dst := range []struct {
			mac wire.MAC
			to  netip.Addr
		}{{broadcast, netip.MustParseAddr("255.255.255.255")}, {to, netip.MustParseAddr("192.168.66.66")}} {
			datagram := udp(netip.AddrPortFrom(server, 67), netip.AddrPortFrom(dst.to, 68), b)
			c.add(ethernet(dst.mac, from, typeIPv4, ipv4(server, dst.to, protoUDP, datagram)))
		}
	}
}

func guestDHCPv6(c *craft, _ *rand.Rand) { c.dhcpv6(c.Attacker, c.Victim) }

// dhcpv6 answers as a server does (RFC 8415 section 16), with its MAC as identity.
func (c *craft) dhcpv6(from, to wire.MAC) {
	src := linkLocal(from)
	for _, kind := range []byte{2, 7} { // ADVERTISE, REPLY
		b := []byte{kind, 0x12, 0x34, 0x56, 0, 2, 0, 10, 0, 3, 0, 1}
		b = append(b, from[:]...)
		// Vendor information, which everybody skips.
		b = append(b, 0, 17, 0, 4+markSize, 0, 0, 0, 9)
		b = append(b, c.mark()...)
		for _, dst := range []netip.Addr{linkLocal(to), allNodes} {
			mac := to
			if dst.IsMulticast() {
				mac = group(dst)
			}
			c.add(to6(mac, from, ipv6(src, dst, protoUDP, 64, udp(netip.AddrPortFrom(src, 547), netip.AddrPortFrom(dst, 546), b))))
		}
	}
}

// queries claims to be the link's multicast querier (RFC 3810 section 5.1): who
// believes it no longer forwards to those who did not answer.
func queries(c *craft, _ *rand.Rand) {
	src := linkLocal(c.Attacker)
	body := slices.Concat([]byte{0x03, 0xe8, 0, 0}, make([]byte, 16), []byte{2, 125, 0, 0})
	m := ipv6(src, allNodes, protoICMPv6, 1, icmpv6(src, allNodes, icmpQuery, 0, body))
	// Queries need the router alert option (RFC 2711).
	p := behind(m, protoHopByHop, []byte{protoICMPv6, 0, 5, 2, 0, 0, 1, 0})
	c.add(ethernet(group(allNodes), c.Attacker, typeIPv6, append(p, c.mark()...)))
}

// payloadsUnderTags are what is worth hiding behind a tag.
func (c *craft) payloadsUnderTags(from, to wire.MAC) [][]byte {
	return [][]byte{
		multicast6(from, c.rogueRA(linkLocal(from), allNodes, from, 1800)),
		multicast6(from, c.nd(linkLocal(from), allNodes, icmpNA, neighbour(naOverride, c.Host, targetLLA(from)))),
		to6(to, from, c.redirect(linkLocal(c.Server), linkLocal(to), linkLocal(from), c.Outside, from)),
		to6(c.Server, from, c.echo(c.global(c.Other), c.Outside)),
		to6(c.Router, from, c.echo(c.global(c.Other), c.Outside)),
		c.markedARP(broadcast, from, typeARP, arp(2, from, c.HostIPv4, broadcast, c.HostIPv4)),
	}
}

func vlanTags(c *craft, _ *rand.Rand) {
	for _, f := range c.payloadsUnderTags(c.Attacker, c.Victim) {
		// Tag 0 is priority only, and kernels take it off.
		for _, id := range []uint16{0, 1, 100, 4095, 7 << 13} {
			c.add(tagged(f, [2]uint16{typeVLAN, id}))
		}
		c.add(tagged(f, [2]uint16{typeQinQ, 0}))
	}
}

func stackedTags(c *craft, _ *rand.Rand) {
	for _, f := range c.payloadsUnderTags(c.Attacker, c.Victim) {
		c.add(
			tagged(f, [2]uint16{typeQinQ, 100}, [2]uint16{typeVLAN, 200}),
			tagged(f, [2]uint16{typeVLAN, 0}, [2]uint16{typeVLAN, 0}),
			tagged(f, [2]uint16{typeQinQ, 0}, [2]uint16{typeVLAN, 0}),
			tagged(f, [2]uint16{typeVLAN, 0}, [2]uint16{typeVLAN, 0}, [2]uint16{typeVLAN, 0}),
			tagged(f, [2]uint16{0x9100, 0}, [2]uint16{typeVLAN, 0}),
		)
	}
}

// control sends what only switches say to each other.
func control(c *craft, _ *rand.Rand) {
	lldp := slices.Concat([]byte{2, 7, 4}, c.Attacker[:], []byte{4, 7, 3}, c.Attacker[:], []byte{6, 2, 0, 120},
		[]byte{254, 4 + markSize, 0, 0, 0x5e, 1}, c.mark(), []byte{0, 0})
	c.add(ethernet(wire.MAC{0x01, 0x80, 0xc2, 0, 0, 0x0e}, c.Attacker, 0x88cc, lldp))
	c.add(ethernet(wire.MAC{0x01, 0x80, 0xc2, 0, 0, 0x03}, c.Attacker, 0x88cc, lldp))
	c.add(ethernet(wire.MAC{0x01, 0x80, 0xc2, 0, 0, 0x00}, c.Attacker, 0x88cc, lldp))
	// A bridge of the best priority that wants to be root (IEEE 802.1D 9.3), in
	// each version of the protocol, and a topology change.
	id := slices.Concat([]byte{0, 0}, c.Attacker[:])
	for _, version := range []byte{0, 2} {
		bpdu := slices.Concat([]byte{0x42, 0x42, 3, 0, 0, version, version, 0}, id, []byte{0, 0, 0, 0}, id, []byte{0x80, 1, 0, 0, 20, 0, 2, 0, 15, 0, 0})
		c.add(c.llc(wire.MAC{0x01, 0x80, 0xc2, 0, 0, 0}, bpdu))
	}
	c.add(c.llc(wire.MAC{0x01, 0x80, 0xc2, 0, 0, 0}, []byte{0x42, 0x42, 3, 0, 0, 0, 0x80}))
	// CDP (SNAP, Cisco's organisation): version 2, device name, then the mark.
	cdp := slices.Concat([]byte{0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 2, 180, 0, 0, 0, 1, 0, 10}, c.mark())
	binary.BigEndian.PutUint16(cdp[10:], fold(sum(cdp[8:])))
	c.add(c.llc(wire.MAC{0x01, 0, 0x0c, 0xcc, 0xcc, 0xcc}, cdp))
	for _, p := range []struct {
		last byte
		typ  uint16
	}{{0x01, 0x8808}, {0x02, 0x8809}, {0x03, 0x888e}, {0x0e, 0x88f7}, {0x21, 0x88f5}} { // pause, LACP, EAPOL, PTP, MVRP
		c.add(ethernet(wire.MAC{0x01, 0x80, 0xc2, 0, 0, p.last}, c.Attacker, p.typ, append([]byte{0, 1, 0xff, 0xff}, c.mark()...)))
	}
}

// llc makes an IEEE 802.3 frame, with the mark in its padding.
func (c *craft) llc(dst wire.MAC, payload []byte) []byte {
	return ethernet(dst, c.Attacker, uint16(len(payload)), append(slices.Clone(payload), c.mark()...))
}

// sizes are frames that are longer or shorter than a frame may be, and packets
// whose length is a lie.
func sizes(c *craft, _ *rand.Rand) {
	for _, n := range []int{1501, 4000, 8986} {
		big := append(c.mark(), make([]byte, n-markSize)...)
		c.add(
			ethernet(c.Server, c.Attacker, 0x88b5, big),
			ethernet(broadcast, c.Attacker, 0x88b5, big),
		)
		own := c.global(c.Attacker)
		c.add(to6(c.Server, c.Attacker, ipv6(own, c.Outside, protoUDP, 64,
			udp(netip.AddrPortFrom(own, 9), netip.AddrPortFrom(c.Outside, 9), big[:n-48]))))
	}
	whole := multicast6(c.Attacker, c.nd(linkLocal(c.Attacker), allNodes, icmpNA, neighbour(naOverride, c.Host, targetLLA(c.Attacker))))
	for _, n := range []int{0, 6, 13, 14, 15, 20, 34, 54, 55, 58, 62, 77, 78} {
		c.add(whole[:n])
	}
	for _, length := range []uint16{0, 1, 8, 0xffff} {
		f := slices.Clone(whole)
		binary.BigEndian.PutUint16(f[18:], length)
		c.add(f)
	}
}

func solicitRouters(c *craft, _ *rand.Rand) {
	src := linkLocal(c.Attacker)
	own := multicast6(c.Attacker, c.nd(src, allRouters, icmpRS, append([]byte{0, 0, 0, 0}, sourceLLA(c.Attacker)...)))
	anonymous := multicast6(c.Attacker, c.nd(netip.IPv6Unspecified(), allRouters, icmpRS, []byte{0, 0, 0, 0}))
	for i := range floodFrames {
		if i%2 == 0 {
			c.add(own)
		} else {
			c.add(anonymous)
		}
	}
}

func scan(c *craft, _ *rand.Rand) {
	for i := range scanFrames {
		a := c.absent(i)
		c.add(multicast6(c.Attacker, c.nd(linkLocal(c.Attacker), solicited(a), icmpNS, neighbour(0, a, sourceLLA(c.Attacker)))))
	}
}

func scanRouted(c *craft, _ *rand.Rand) {
	for i := range scanFrames {
		c.add(to6(c.Server, c.Attacker, c.echo(c.global(c.Attacker), c.absent(0x100+i))))
	}
}

// manyAddresses makes the host know a neighbour for each of many addresses.
func manyAddresses(c *craft, _ *rand.Rand) {
	for i := range scanFrames {
		a := c.absent(0x200 + i)
		c.add(
			to6(c.Server, c.Attacker, c.nd(a, c.Host, icmpNS, neighbour(0, c.Host, sourceLLA(c.Attacker)))),
			to6(c.Server, c.Attacker, c.echo(a, c.Host)),
		)
	}
}

// floodMACs fills the bridge's table of MACs.
func floodMACs(c *craft, r *rand.Rand) {
	for range floodFrames {
		mac := wire.MAC{0x02, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}
		c.add(ethernet(c.Server, mac, 0x88b5, c.mark()))
	}
}
