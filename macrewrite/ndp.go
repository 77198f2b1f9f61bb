package macrewrite

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/slaac"
)

// The few messages that the edge itself sends and reads on the provider's
// segment, as whole Ethernet frames.

const (
	etherHeader = 14
	ip6Header   = 40

	typeUnreachable   = 1
	typeTimeExceeded  = 3
	typeEchoRequest   = 128
	typeSolicitation  = 135
	typeAdvertisement = 136

	// Flags of an advertisement (RFC 4861, section 4.4).
	flagSolicited = 0x40
	flagOverride  = 0x20

	// Options (RFC 4861, section 4.6.1).
	optionSource = 1
	optionTarget = 2
)

// packet is an ICMPv6 packet in an Ethernet frame, taken apart.
type packet struct {
	dstMAC, srcMAC slaac.MAC
	src, dst       netip.Addr
	hops           uint8
	icmp           []byte // from the type on
}

// parsePacket takes a frame apart. It returns false for what is not a whole
// ICMPv6 packet without extension headers and with a good checksum.
func parsePacket(f []byte) (packet, bool) {
	if len(f) < etherHeader+ip6Header+4 || binary.BigEndian.Uint16(f[12:]) != 0x86dd || f[14]>>4 != 6 || f[20] != 58 {
		return packet{}, false
	}
	n := int(binary.BigEndian.Uint16(f[18:]))
	if n < 4 || len(f) < etherHeader+ip6Header+n {
		return packet{}, false
	}
	p := packet{
		dstMAC: slaac.MAC(f[:6]), srcMAC: slaac.MAC(f[6:12]),
		src: netip.AddrFrom16([16]byte(f[22:38])), dst: netip.AddrFrom16([16]byte(f[38:54])),
		hops: f[21], icmp: f[54 : 54+n],
	}
	return p, checksum(p.src, p.dst, p.icmp) == 0
}

// frame puts it together, checksum included.
func (p packet) frame() []byte {
	icmp := slices.Clone(p.icmp)
	binary.BigEndian.PutUint16(icmp[2:], 0)
	binary.BigEndian.PutUint16(icmp[2:], checksum(p.src, p.dst, icmp))
	src, dst := p.src.As16(), p.dst.As16()
	n := len(icmp)
	return slices.Concat(p.dstMAC[:], p.srcMAC[:], []byte{0x86, 0xdd, 0x60, 0, 0, 0, byte(n >> 8), byte(n), 58, p.hops}, src[:], dst[:], icmp)
}

// checksum is that of ICMPv6 with its pseudo-header (RFC 8200, section 8.1); of
// a good message it is 0.
func checksum(src, dst netip.Addr, icmp []byte) uint16 {
	s, d := src.As16(), dst.As16()
	sum := uint32(len(icmp)) + 58
	add := func(b []byte) {
		for ; len(b) > 1; b = b[2:] {
			sum += uint32(b[0])<<8 | uint32(b[1])
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		}
	}
	add(s[:])
	add(d[:])
	add(icmp)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// target of a solicitation or advertisement that RFC 4861, sections 7.1.1 and
// 7.1.2, let pass.
func (p packet) target(typ uint8) (netip.Addr, bool) {
	if p.hops != 255 || p.icmp[0] != typ || p.icmp[1] != 0 || len(p.icmp) < 24 {
		return netip.Addr{}, false
	}
	t := netip.AddrFrom16([16]byte(p.icmp[8:24]))
	for rest := p.icmp[24:]; len(rest) > 0; {
		if len(rest) < 8 || rest[1] == 0 || len(rest) < int(rest[1])*8 {
			return netip.Addr{}, false
		}
		rest = rest[int(rest[1])*8:]
	}
	return t, !t.IsMulticast() && !t.IsUnspecified()
}

// option is the hardware address in the first option of a kind.
func (p packet) option(kind uint8) (slaac.MAC, bool) {
	for rest := p.icmp[24:]; len(rest) >= 8; rest = rest[int(rest[1])*8:] {
		if rest[0] == kind && rest[1] == 1 {
			return slaac.MAC(rest[2:8]), true
		}
	}
	return slaac.MAC{}, false
}

// advertisement is one that says mac has target.
func advertisement(mac slaac.MAC, target, to netip.Addr, toMAC slaac.MAC, flags uint8) packet {
	t := target.As16()
	return packet{
		dstMAC: toMAC, srcMAC: mac, src: target, dst: to, hops: 255,
		icmp: slices.Concat([]byte{typeAdvertisement, 0, 0, 0, flags, 0, 0, 0}, t[:], []byte{optionTarget, 1}, mac[:]),
	}
}

// solicitation asks the segment for target.
func solicitation(mac slaac.MAC, from, target netip.Addr) packet {
	t, group := target.As16(), slaac.SolicitedNode(target)
	return packet{
		dstMAC: slaac.MulticastMAC(group), srcMAC: mac, src: from, dst: group, hops: 255,
		icmp: slices.Concat([]byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}, t[:], []byte{optionSource, 1}, mac[:]),
	}
}

// allNodes is ff02::1.
func allNodes() netip.Addr { return netip.IPv6LinkLocalAllNodes() }

// answer is what a solicitation of the provider's segment deserves: nothing,
// unless it asks for an address that live says is a guest's.
//
// The advertisement overrides what is known of the address: no one else
// answers for it, and what a router remembers from before, when guests were
// bridged or lived elsewhere, is wrong.
func answer(f []byte, mac slaac.MAC, live func(netip.Addr) bool) ([]byte, bool) {
	p, ok := parsePacket(f)
	if !ok || p.srcMAC == mac || p.srcMAC.IsMulticast() {
		return nil, false
	}
	target, ok := p.target(typeSolicitation)
	if !ok || !live(target) {
		return nil, false
	}
	switch {
	case p.src.IsUnspecified():
		// Somebody wants the address for themselves (RFC 4862, section 5.4.3).
		if _, has := p.option(optionSource); has || p.dst != slaac.SolicitedNode(target) {
			return nil, false
		}
		return advertisement(mac, target, allNodes(), slaac.MulticastMAC(allNodes()), flagOverride).frame(), true
	case p.src.IsMulticast(), p.src.IsLoopback(), live(p.src):
		return nil, false
	}
	to, has := p.option(optionSource)
	if !has {
		to = p.srcMAC
	}
	if to.IsMulticast() || to.IsZero() || to == mac {
		return nil, false
	}
	return advertisement(mac, target, p.src, to, flagSolicited|flagOverride).frame(), true
}
