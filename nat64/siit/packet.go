package siit

import (
	"encoding/binary"
	"net/netip"
)

// packet is a packet of either family, taken apart.
type packet struct {
	src, dst netip.Addr
	tc, hops uint8
	// proto is the upper layer's: in IPv6 the next header behind those
	// extension headers that are skipped.
	proto uint8
	// payload is the upper layer as far as it is there. Only inside an ICMP
	// error it may be shorter than length, which the header tells.
	payload []byte
	length  int
	// frag: the packet is a fragment, or in IPv6 has a fragment header; then
	// off is its offset in octets, more says that others follow.
	frag, more bool
	off        int
	df         bool // IPv4 only
	id         uint32
}

// whole reports whether the upper layer's message is not in pieces.
func (p *packet) whole() bool { return p.off == 0 && !p.more }

// isICMPError reports whether this is the start of an ICMP error of its family.
func (p *packet) isICMPError() bool {
	if p.off != 0 || len(p.payload) == 0 {
		return false
	}
	switch p.proto {
	case protoICMP4:
		switch p.payload[0] {
		case icmp4Unreachable, 4, 5, icmp4TimeExceeded, icmp4Parameter: // 4 source quench, 5 redirect: RFC 1122, section 3.2.2
			return true
		}
	case protoICMP6:
		return p.payload[0] < 128 // RFC 4443, section 2.1
	}
	return false
}

// parse4 takes an IPv4 packet apart. inner is for one inside an ICMP error,
// which may be cut off, and whose header checksum nobody looks at.
func parse4(b []byte, inner bool) (packet, Result) {
	if len(b) < hdr4 || b[0]>>4 != 4 {
		return packet{}, Result{Reason: Malformed}
	}
	ihl := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if ihl < hdr4 || ihl > len(b) || total < ihl || (total > len(b) && !inner) {
		return packet{}, Result{Reason: Malformed}
	}
	// A router must not forward what has a bad header (RFC 1812, section 5.2.2).
	if !inner && sum(b[:ihl]) != 0xffff {
		return packet{}, Result{Reason: Malformed}
	}
	if ihl > hdr4 && !inner {
		if r := sourceRoute(b[hdr4:ihl]); r.Reason != Translated {
			return packet{}, r
		}
	}
	flags := binary.BigEndian.Uint16(b[6:])
	p := packet{
		src: netip.AddrFrom4([4]byte(b[12:16])), dst: netip.AddrFrom4([4]byte(b[16:20])),
		tc: b[1], hops: b[8], proto: b[9],
		payload: b[ihl:min(total, len(b))], length: total - ihl,
		df: flags&0x4000 != 0, more: flags&0x2000 != 0, off: int(flags&0x1fff) * 8,
		id: uint32(binary.BigEndian.Uint16(b[4:])),
	}
	p.frag = p.more || p.off != 0
	if !fragmentFits(&p) {
		return packet{}, Result{Reason: Malformed}
	}
	return p, Result{}
}

// sourceRoute finds a loose or strict source route that is not at its end,
// which is answered with source route failed (RFC 7915, section 4.1). All other
// options are ignored.
func sourceRoute(options []byte) Result {
	for len(options) > 0 && options[0] != 0 {
		if options[0] == 1 {
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return Result{Reason: Malformed}
		}
		if options[0] == 131 || options[0] == 137 {
			if options[1] < 3 {
				return Result{Reason: Malformed}
			}
			if options[2] <= options[1] { // the pointer is within the route: RFC 791, section 3.1
				return Result{SourceRoute, ICMP{Type: icmp4Unreachable, Code: 5}}
			}
		}
		options = options[options[1]:]
	}
	return Result{}
}

// parse6 takes an IPv6 packet apart, past hop-by-hop, destination and routing
// headers (RFC 7915, section 5.1).
func parse6(b []byte, inner bool) (packet, Result) {
	if len(b) < hdr6 || b[0]>>4 != 6 {
		return packet{}, Result{Reason: Malformed}
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if hdr6+length > len(b) && !inner {
		return packet{}, Result{Reason: Malformed}
	}
	p := packet{
		src: netip.AddrFrom16([16]byte(b[8:24])), dst: netip.AddrFrom16([16]byte(b[24:40])),
		tc: b[0]<<4 | b[1]>>4, hops: b[7], proto: b[6],
		payload: b[hdr6:min(hdr6+length, len(b))], length: length,
	}
	at := hdr6
	for {
		size := hdrFrag
		switch p.proto {
		case protoHopByHop, protoRouting, protoDestination:
			if len(p.payload) < 8 {
				return packet{}, Result{Reason: Malformed}
			}
			if p.frag && (p.more || p.off != 0) {
				// It belongs to what was fragmented; taking it out would make
				// every later fragment's offset wrong.
				return packet{}, Result{Reason: HiddenHeader}
			}
			size = 8 + int(p.payload[1])*8
			if p.proto == protoRouting && p.payload[3] != 0 && !inner {
				return packet{}, Result{SourceRoute, ICMP{Type: icmp6Parameter, Info: uint32(at + 3)}}
			}
		case protoFragment:
			if len(p.payload) < hdrFrag || p.frag {
				return packet{}, Result{Reason: Malformed}
			}
			field := binary.BigEndian.Uint16(p.payload[2:])
			p.frag, p.more, p.off = true, field&1 != 0, int(field&^7)
			p.id = binary.BigEndian.Uint32(p.payload[4:])
		default:
			if !fragmentFits(&p) {
				return packet{}, Result{Reason: Malformed}
			}
			return p, Result{}
		}
		if size > len(p.payload) {
			return packet{}, Result{Reason: Malformed}
		}
		p.proto = p.payload[0]
		p.payload = p.payload[size:]
		p.length -= size
		at += size
		if p.frag && p.off != 0 {
			// What follows is the middle of something, not a header.
			if isExtension(p.proto) {
				return packet{}, Result{Reason: HiddenHeader}
			}
		}
	}
}

func isExtension(proto uint8) bool {
	switch proto {
	case protoHopByHop, protoRouting, protoFragment, protoDestination:
		return true
	}
	return false
}

// fragmentFits: all fragments but the last have a multiple of eight octets, and
// none reaches behind what the longest IPv4 packet holds.
func fragmentFits(p *packet) bool {
	return (!p.more || p.length%8 == 0 && p.length > 0) && p.off+p.length <= 65535-hdr4 || !p.frag
}

// Protocol numbers (IANA).
const (
	protoHopByHop    = 0
	protoICMP4       = 1
	protoIGMP        = 2
	protoTCP         = 6
	protoUDP         = 17
	protoDCCP        = 33
	protoRouting     = 43
	protoFragment    = 44
	protoICMP6       = 58
	protoDestination = 60
	protoUDPLite     = 136
)
