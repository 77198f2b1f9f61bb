package macrewrite

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/slaac"
)

// The test's own small builder of frames. All of them carry the mark, inside
// the IP packet where there is one: br_netfilter cuts off what is behind it. It
// is of four octets, which neighbour discovery has to spare.

func mark() []byte { return []byte("\xe5six") }

// blank is a payload of n octets and the mark.
func blank(n int) []byte { return append(make([]byte, n), mark()...) }

func eth(dst, src slaac.MAC, typ uint16, payload []byte) []byte {
	return slices.Concat(dst[:], src[:], binary.BigEndian.AppendUint16(nil, typ), payload)
}

// tag puts VLAN tags with VLAN 0 into a frame, outermost first.
func tag(frame []byte, types ...uint16) []byte {
	var tags []byte
	for _, t := range types {
		tags = binary.BigEndian.AppendUint16(tags, t)
		tags = append(tags, 0, 0)
	}
	return slices.Concat(frame[:12], tags, frame[12:])
}

func ip6(src, dst netip.Addr, next uint8, payload []byte) []byte {
	h := []byte{0x60, 0, 0, 0, byte(len(payload) >> 8), byte(len(payload)), next, 255}
	return slices.Concat(h, src.AsSlice(), dst.AsSlice(), payload)
}

func ip4(src, dst netip.Addr, proto uint8, payload []byte) []byte {
	n := 20 + len(payload)
	h := slices.Concat([]byte{0x45, 0, byte(n >> 8), byte(n), 0, 1, 0, 0, 64, proto, 0, 0}, src.AsSlice(), dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:], sum(h))
	return append(h, payload...)
}

// icmp6 is an ICMPv6 message; body is what follows the checksum.
func icmp6(src, dst netip.Addr, typ uint8, body ...byte) []byte {
	m := slices.Concat([]byte{typ, 0, 0, 0}, body, mark())
	pseudo := slices.Concat(src.AsSlice(), dst.AsSlice(), []byte{0, 0, byte(len(m) >> 8), byte(len(m)), 0, 0, 0, 58}, m)
	binary.BigEndian.PutUint16(m[2:], sum(pseudo))
	return m
}

// nd is a neighbour solicitation (135) or advertisement (136) about target.
func nd(typ uint8, src, dst, target netip.Addr) []byte {
	return ip6(src, dst, 58, icmp6(src, dst, typ, slices.Concat([]byte{0, 0, 0, 0}, target.AsSlice())...))
}

// ports is a UDP or TCP header, good enough to be looked at.
func ports(src, dst uint16) []byte {
	return append([]byte{byte(src >> 8), byte(src), byte(dst >> 8), byte(dst)}, blank(16)...)
}

func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i]) << 8
		if i+1 < len(b) {
			s += uint32(b[i+1])
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

func solicitedNode(a netip.Addr) (netip.Addr, slaac.MAC) {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]}),
		slaac.MAC{0x33, 0x33, 0xff, b[13], b[14], b[15]}
}

// option is one of neighbour discovery that holds a hardware address: 1 is the
// source's, 2 the target's.
func option(typ uint8, m slaac.MAC) []byte { return append([]byte{typ, 1}, m[:]...) }

// bare is an ICMPv6 message that ends with its body, without a mark behind it.
func bare(src, dst netip.Addr, typ uint8, body ...byte) []byte {
	m := slices.Concat([]byte{typ, 0, 0, 0}, body)
	pseudo := slices.Concat(src.AsSlice(), dst.AsSlice(), []byte{0, 0, byte(len(m) >> 8), byte(len(m)), 0, 0, 0, 58}, m)
	binary.BigEndian.PutUint16(m[2:], sum(pseudo))
	return m
}

// ndo is neighbour discovery (133, 135, 136) of just the length it should have,
// the mark in its reserved octets, body behind them.
func ndo(typ uint8, src, dst netip.Addr, body ...byte) []byte {
	return ip6(src, dst, 58, bare(src, dst, typ, slices.Concat(mark(), body)...))
}

// fragmentOf is one: offset in octets, more to come or not.
func fragmentOf(src, dst netip.Addr, next uint8, offset uint16, more bool, payload []byte) []byte {
	m := byte(0)
	if more {
		m = 1
	}
	return ip6(src, dst, 44, slices.Concat([]byte{next, 0, byte(offset >> 8), byte(offset)&0xf8 | m, 0, 0, 0, 7}, payload))
}

// extended puts an extension header with nothing but padding before a payload:
// 0 is hop-by-hop, 60 destination options.
func extended(src, dst netip.Addr, header, next uint8, payload []byte) []byte {
	return ip6(src, dst, header, slices.Concat([]byte{next, 0, 1, 4, 0, 0, 0, 0}, payload))
}

func arpFrom(mac slaac.MAC, sender, target netip.Addr) []byte {
	return slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, 1}, mac[:], sender.AsSlice(), make([]byte, 6), target.AsSlice(), mark())
}

const v6, v4, arpType = 0x86dd, 0x0800, 0x0806
