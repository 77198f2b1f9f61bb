package hostile

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// EtherTypes, as IANA lists them.
const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeRARP = 0x8035
	typeVLAN = 0x8100
	typeIPv6 = 0x86dd
	typeQinQ = 0x88a8
)

// IP protocol numbers, as IANA lists them.
const (
	protoHopByHop    = 0
	protoICMP        = 1
	protoTCP         = 6
	protoUDP         = 17
	protoRouting     = 43
	protoFragment    = 44
	protoICMPv6      = 58
	protoNone        = 59
	protoDestination = 60
)

// ICMPv6 types (RFC 4443, RFC 2710, RFC 4861).
const (
	icmpEcho     = 128
	icmpQuery    = 130
	icmpRS       = 133
	icmpRA       = 134
	icmpNS       = 135
	icmpNA       = 136
	icmpRedirect = 137
)

// minFrame is the shortest Ethernet frame, without its checksum (IEEE 802.3).
const minFrame = 60

var broadcast = wire.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

var (
	allNodes   = netip.MustParseAddr("ff02::1")
	allRouters = netip.MustParseAddr("ff02::2")
)

// group is the MAC of an IPv6 multicast address (RFC 2464 section 7).
func group(a netip.Addr) wire.MAC {
	b := a.As16()
	return wire.MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// solicited is the solicited-node group of an address (RFC 4291 section 2.7.1).
func solicited(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// ethernet makes a frame, padded to the shortest that is allowed.
func ethernet(dst, src wire.MAC, typ uint16, payload []byte) []byte {
	b := slices.Concat(dst[:], src[:], binary.BigEndian.AppendUint16(nil, typ), payload)
	if len(b) < minFrame {
		b = append(b, make([]byte, minFrame-len(b))...)
	}
	return b
}

// tagged puts VLAN tags into a frame, from the outside in; each is an EtherType
// and a tag.
func tagged(frame []byte, tags ...[2]uint16) []byte {
	b := slices.Clone(frame[:12])
	for _, t := range tags {
		b = binary.BigEndian.AppendUint16(b, t[0])
		b = binary.BigEndian.AppendUint16(b, t[1])
	}
	return append(b, frame[12:]...)
}

// ipv6 makes a packet (RFC 8200 section 3).
func ipv6(src, dst netip.Addr, proto, hop uint8, payload []byte) []byte {
	b := []byte{0x60, 0, 0, 0, byte(len(payload) >> 8), byte(len(payload)), proto, hop}
	return slices.Concat(b, src.AsSlice(), dst.AsSlice(), payload)
}

// icmpv6 makes a message with its checksum (RFC 4443 section 2.3).
func icmpv6(src, dst netip.Addr, typ, code uint8, body []byte) []byte {
	b := append([]byte{typ, code, 0, 0}, body...)
	binary.BigEndian.PutUint16(b[2:], checksum(src, dst, protoICMPv6, b))
	return b
}

// udp makes a datagram with its checksum.
func udp(src, dst netip.AddrPort, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	b = append(append(b, 0, 0), data...)
	sum := checksum(src.Addr(), dst.Addr(), protoUDP, b)
	if sum == 0 {
		sum = 0xffff // RFC 768: none is written as all ones
	}
	binary.BigEndian.PutUint16(b[6:], sum)
	return b
}

// syn makes the first segment of a TCP connection.
func syn(src, dst netip.AddrPort) []byte {
	b := binary.BigEndian.AppendUint16(nil, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 0, 5<<4, 2, 0xff, 0xff, 0, 0, 0, 0)
	binary.BigEndian.PutUint16(b[16:], checksum(src.Addr(), dst.Addr(), protoTCP, b))
	return b
}

// ipv4 makes a packet (RFC 791 section 3.1).
func ipv4(src, dst netip.Addr, proto uint8, payload []byte) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, proto, 0, 0}
	b = slices.Concat(b, src.AsSlice(), dst.AsSlice())
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(payload)))
	binary.BigEndian.PutUint16(b[10:], fold(sum(b)))
	return append(b, payload...)
}

// checksum is that of a message with the pseudo-header of its family (RFC 8200
// section 8.1, RFC 793 section 3.1).
func checksum(src, dst netip.Addr, proto uint8, b []byte) uint16 {
	return fold(sum(src.AsSlice()) + sum(dst.AsSlice()) + sum(b) + uint64(len(b)) + uint64(proto))
}

func sum(b []byte) (n uint64) {
	for ; len(b) >= 2; b = b[2:] {
		n += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		n += uint64(b[0]) << 8
	}
	return n
}

func fold(n uint64) uint16 {
	for n>>16 != 0 {
		n = n&0xffff + n>>16
	}
	return ^uint16(n)
}

// arp makes a message of IPv4 over Ethernet (RFC 826).
func arp(op uint16, sha wire.MAC, spa netip.Addr, tha wire.MAC, tpa netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, byte(op >> 8), byte(op)}
	return slices.Concat(b, sha[:], spa.AsSlice(), tha[:], tpa.AsSlice())
}

// option makes an option of neighbour discovery (RFC 4861 section 4.6), padded to
// a multiple of eight bytes.
func option(typ uint8, body ...byte) []byte {
	b := append([]byte{typ, 0}, body...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	b[1] = byte(len(b) / 8)
	return b
}

func sourceLLA(m wire.MAC) []byte { return option(1, m[:]...) }
func targetLLA(m wire.MAC) []byte { return option(2, m[:]...) }

// advertisement is the body of an RA (RFC 4861 section 4.2).
func advertisement(lifetime uint16, options ...[]byte) []byte {
	b := []byte{64, 0, byte(lifetime >> 8), byte(lifetime), 0, 0, 0, 0, 0, 0, 0, 0}
	return append(b, slices.Concat(options...)...)
}

// prefixOption offers a /64 for addresses (RFC 4861 section 4.6.2).
func prefixOption(p netip.Prefix) []byte {
	b := []byte{64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x07, 0x08, 0, 0, 0, 0}
	return option(3, append(b, p.Addr().AsSlice()...)...)
}

// dnsOption names a name server (RFC 8106 section 5.1).
func dnsOption(a netip.Addr) []byte {
	return option(25, append([]byte{0, 0, 0, 0, 0x0e, 0x10}, a.AsSlice()...)...)
}

// neighbour is the body of a solicitation or advertisement (RFC 4861 4.3, 4.4).
func neighbour(flags uint8, target netip.Addr, options ...[]byte) []byte {
	return slices.Concat([]byte{flags, 0, 0, 0}, target.AsSlice(), slices.Concat(options...))
}

// Flags of an advertisement (RFC 4861 section 4.4).
const (
	naRouter    = 0x80
	naSolicited = 0x40
	naOverride  = 0x20
)
