package siit

import (
	"encoding/binary"
	"net/netip"
)

// Error6 writes the ICMPv6 error m about the IPv6 packet into dst, from the
// address from to the packet's source, and returns its length: at most 1,280
// octets. It returns 0 if no error may be sent about that packet (RFC 4443,
// section 2.4 e), or dst is too small.
func (t *Translator) Error6(dst []byte, from netip.Addr, packet []byte, m ICMP) int {
	p, res := parse6(packet, true)
	if res.Reason != Translated && res.Reason != HiddenHeader {
		return 0
	}
	if res.Reason == HiddenHeader {
		p.src, p.dst = netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
	}
	switch {
	case m.IsZero(), !from.Is6(), from.Is4In6():
		return 0
	case p.proto == protoICMP6 && (p.isICMPError() || len(p.payload) > 0 && p.off == 0 && p.payload[0] == icmp6Redirect):
		return 0
	case p.proto == protoICMP6 && (p.off != 0 || len(p.payload) == 0):
		return 0 // may be a piece of one
	case p.dst.IsMulticast() && m.Type != icmp6TooBig, p.src.IsMulticast(), p.src.IsUnspecified():
		return 0
	}
	keep := min(len(packet), minMTU6-hdr6-icmpHead)
	n := hdr6 + icmpHead + keep
	if n > len(dst) {
		return 0
	}
	body := dst[hdr6:n]
	copy(body[icmpHead:], packet[:keep])
	body[0], body[1], body[2], body[3] = m.Type, m.Code, 0, 0
	binary.BigEndian.PutUint32(body[4:], m.Info)
	binary.BigEndian.PutUint16(body[2:], ^fold(addrSum(from)+addrSum(p.src)+uint64(len(body))+protoICMP6+uint64(sum(body))))
	header6(dst, 0, len(body), protoICMP6, answerHops, from, p.src)
	return n
}

// Error4 writes the ICMPv4 error m about the IPv4 packet into dst, from the
// address from to the packet's source, and returns its length: at most 576
// octets. It returns 0 if no error may be sent about that packet (RFC 1812,
// section 4.3.2.7), or dst is too small.
func (t *Translator) Error4(dst []byte, from netip.Addr, packet []byte, m ICMP) int {
	p, res := parse4(packet, true)
	if res.Reason != Translated {
		return 0
	}
	switch {
	case m.IsZero(), !from.Is4():
		return 0
	case p.isICMPError(), p.off != 0, p.proto == protoICMP4 && len(p.payload) == 0:
		return 0
	case !isHost4(p.src), p.dst.IsMulticast(), p.dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return 0
	}
	keep := min(len(packet), maxError4-hdr4-icmpHead)
	n := hdr4 + icmpHead + keep
	if n > len(dst) {
		return 0
	}
	body := dst[hdr4:n]
	copy(body[icmpHead:], packet[:keep])
	body[0], body[1], body[2], body[3] = m.Type, m.Code, 0, 0
	binary.BigEndian.PutUint32(body[4:], m.Info)
	binary.BigEndian.PutUint16(body[2:], ^sum(body))
	// Precedence internetwork control: RFC 1812, section 4.3.2.5.
	header4(dst, 0xc0, len(body), t.id(), 0, answerHops, protoICMP4, from, p.src)
	return n
}

// answerHops is the hop limit of errors of our own (IANA's default TTL).
const answerHops = 64

// isHost4: an error goes to a single host, or nowhere.
func isHost4(a netip.Addr) bool {
	first := a.As4()[0]
	return first != 0 && first != 127 && first < 224
}
