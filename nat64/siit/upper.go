package siit

import "encoding/binary"

// upper is what changes in the first octets of the upper layer.
type upper struct {
	proto uint8
	// at is where the checksum stands, negative for none to write.
	at       int
	checksum uint16
	// icmpType replaces the first octet if retype is set.
	icmpType uint8
	retype   bool
}

// apply writes the changes into the translated packet's upper layer.
func (u *upper) apply(b []byte) {
	if u.retype && len(b) > 0 {
		b[0] = u.icmpType
	}
	if u.at >= 0 && u.at+2 <= len(b) {
		binary.BigEndian.PutUint16(b[u.at:], u.checksum)
	}
}

// checksumAt returns where a protocol's checksum over a pseudo-header stands,
// negative for those without one.
func checksumAt(proto uint8) int {
	switch proto {
	case protoTCP:
		return 16 // RFC 9293, section 3.1
	case protoUDP, protoUDPLite, protoDCCP:
		return 6 // RFC 768; RFC 3828, section 3; RFC 4340, section 5.1
	}
	return -1
}

// translateUpper decides the changes for a packet that is not an ICMP error.
// to6 is the direction, delta the new addresses' sum minus the old ones'. inner
// is for the packet inside an ICMP error: what is cut off there stays.
func translateUpper(p *packet, to6 bool, newAddrs, oldAddrs uint16, o Offload, inner bool) (upper, Reason) {
	u := upper{proto: p.proto, at: -1}
	switch p.proto {
	case protoICMP4, protoICMP6:
		return translateEcho(p, to6, newAddrs, oldAddrs, o, inner)
	case protoIGMP, protoHopByHop, protoRouting, protoFragment, protoDestination:
		// Single-hop messages (RFC 7915, section 4.2), and numbers that mean
		// extension headers in one family only.
		return u, Unsupported
	}
	at := checksumAt(p.proto)
	if at < 0 || p.off != 0 {
		return u, Translated
	}
	if len(p.payload) < at+2 {
		if inner {
			return u, Translated
		}
		return u, Malformed
	}
	field := binary.BigEndian.Uint16(p.payload[at:])
	delta := uint64(newAddrs) + minus(oldAddrs)
	switch {
	case o.Partial && !inner:
		u.at, u.checksum = at, adjustPartial(field, delta)
		return u, Translated
	case p.proto == protoUDP && field == 0:
		if inner {
			return u, Translated
		}
		if !to6 || p.frag {
			return u, ZeroChecksum
		}
		n := int(binary.BigEndian.Uint16(p.payload[4:]))
		if n < 8 || n > len(p.payload) {
			return u, Malformed
		}
		field = ^fold(uint64(newAddrs) + uint64(n) + protoUDP + uint64(sum(p.payload[:n])))
	default:
		field = adjust(field, delta)
	}
	if field == 0 && p.proto == protoUDP {
		field = 0xffff // zero means none: RFC 768
	}
	u.at, u.checksum = at, field
	return u, Translated
}

// translateEcho: echo request and reply have counterparts, and the ICMPv6
// checksum covers a pseudo-header that the ICMPv4 one doesn't (RFC 7915,
// sections 4.2 and 5.2).
func translateEcho(p *packet, to6 bool, newAddrs, oldAddrs uint16, o Offload, inner bool) (upper, Reason) {
	u := upper{proto: protoICMP4, at: -1}
	want := uint8(protoICMP6)
	if to6 {
		u.proto, want = protoICMP6, protoICMP4
	}
	if p.proto != want {
		return u, Unsupported // ICMPv4 in IPv6 or the other way round
	}
	if !p.whole() {
		if inner && p.off != 0 {
			return u, Translated
		}
		if !inner {
			return u, FragmentedICMP
		}
	}
	if len(p.payload) < 4 {
		return u, Malformed
	}
	switch {
	case to6 && p.payload[0] == icmp4Echo:
		u.icmpType = icmp6Echo
	case to6 && p.payload[0] == icmp4EchoReply:
		u.icmpType = icmp6EchoReply
	case !to6 && p.payload[0] == icmp6Echo:
		u.icmpType = icmp4Echo
	case !to6 && p.payload[0] == icmp6EchoReply:
		u.icmpType = icmp4EchoReply
	default:
		return u, Unsupported
	}
	u.retype = true
	if !p.whole() {
		return u, Translated // the checksum's length is not known; it stays
	}
	pseudo := uint64(p.length) + protoICMP6
	delta := uint64(newAddrs) + pseudo
	if !to6 {
		delta = minus(oldAddrs) + minus(fold(pseudo))
	}
	field := binary.BigEndian.Uint16(p.payload[2:])
	u.at = 2
	if o.Partial && !inner {
		u.checksum = adjustPartial(field, delta)
	} else {
		u.checksum = adjust(field, delta+uint64(u.icmpType)<<8+minus(uint16(p.payload[0])<<8))
	}
	return u, Translated
}
