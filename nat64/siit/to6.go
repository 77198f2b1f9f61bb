package siit

import (
	"encoding/binary"
	"net/netip"
)

// To6 translates the IPv4 packet src into dst (RFC 7915, section 4) and returns
// how many octets it wrote. Where an IPv4 packet that may be fragmented is too
// long for the IPv6 side, these are several IPv6 packets one behind the other:
// [Next6] takes them apart. dst holds every translation if it has the length of
// src and 96 octets more for each 1,232 of it or part of them.
//
// dst may overlap src if dst begins 20 octets ahead of it in the same array, so
// that the payload of an ordinary packet isn't moved; else they must be apart.
func (t *Translator) To6(dst, src []byte, o Offload) (int, Result) {
	p, res := parse4(src, false)
	if res.Reason != Translated {
		return 0, res
	}
	if !t.KeepHops {
		if p.hops <= 1 {
			return 0, Result{HopLimit, ICMP{Type: icmp4TimeExceeded}}
		}
		p.hops--
	}
	if p.proto == protoICMP4 && p.isICMPError() {
		return t.error4to6(dst, &p, o)
	}
	d6, r := mapTo6(t.Map, p.dst, Destination)
	if r != Translated {
		return 0, answer4(r)
	}
	s6, r := mapTo6(t.Map, p.src, Source)
	if r != Translated {
		return 0, answer4(r)
	}
	u, r := translateUpper(&p, true, fold(addrSum(s6)+addrSum(d6)), fold(addrSum(p.src)+addrSum(p.dst)), o, false)
	if r != Translated {
		return 0, Result{Reason: r}
	}

	head := hdr6
	if p.frag {
		head += hdrFrag
	}
	if total := head + p.length; !o.Segmented {
		if p.df && t.MTU6 > 0 && total > t.MTU6 {
			return 0, Result{TooBig, ICMP{Type: icmp4Unreachable, Code: icmp4FragNeeded, Info: uint32(t.MTU6 - (head - hdr4))}}
		}
		if !p.df && total > t.lowest6() {
			if o.Partial {
				return 0, Result{Reason: TooBig}
			}
			return t.fragment6(dst, &p, &u, s6, d6)
		}
	}
	n := head + p.length
	if n > len(dst) {
		return 0, Result{Reason: NoSpace}
	}
	copy(dst[head:n], p.payload)
	u.apply(dst[head:n])
	if p.frag {
		putFragment(dst[hdr6:], u.proto, p.off, p.more, p.id)
		u.proto = protoFragment
	}
	t.put6(dst, &p, n-hdr6, u.proto, s6, d6)
	return n, Result{}
}

// fragment6 writes the packet as fragments of the lowest MTU, the last first:
// so it is right when dst lies ahead of src in the same array.
func (t *Translator) fragment6(dst []byte, p *packet, u *upper, s6, d6 netip.Addr) (int, Result) {
	const head = hdr6 + hdrFrag
	chunk := (t.lowest6() - head) &^ 7
	count := (p.length + chunk - 1) / chunk
	n := p.length + count*head
	if n > len(dst) {
		return 0, Result{Reason: NoSpace}
	}
	// Where dst lies ahead of src, IPv4 options would let a fragment's header
	// overwrite what the one before it still needs.
	payload := dst[hdr6:][:p.length]
	copy(payload, p.payload)
	for i := count - 1; i >= 0; i-- {
		part := payload[i*chunk : min((i+1)*chunk, p.length)]
		out := dst[i*(chunk+head):][:head+len(part)]
		copy(out[head:], part)
		if i == 0 {
			u.apply(out[head:])
		}
		putFragment(out[hdr6:], u.proto, p.off+i*chunk, p.more || i < count-1, p.id)
		t.put6(out, p, len(part)+hdrFrag, protoFragment, s6, d6)
	}
	return n, Result{}
}

// put6 writes an IPv6 header; the flow label is zero (RFC 7915, section 4.1).
func (t *Translator) put6(b []byte, p *packet, length int, next uint8, s6, d6 netip.Addr) {
	tc := p.tc
	if t.ZeroTrafficClass {
		tc = 0
	}
	header6(b, tc, length, next, p.hops, s6, d6)
}

func header6(b []byte, tc uint8, length int, next, hops uint8, s6, d6 netip.Addr) {
	_ = b[hdr6-1]
	b[0], b[1], b[2], b[3] = 0x60|tc>>4, tc<<4, 0, 0
	binary.BigEndian.PutUint16(b[4:], uint16(length))
	b[6], b[7] = next, hops
	s, d := s6.As16(), d6.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
}

func putFragment(b []byte, next uint8, off int, more bool, id uint32) {
	_ = b[hdrFrag-1]
	b[0], b[1] = next, 0
	field := uint16(off)
	if more {
		field |= 1
	}
	binary.BigEndian.PutUint16(b[2:], field)
	binary.BigEndian.PutUint32(b[4:], id)
}

// mapTo6 asks the Mapper, and doesn't trust it with the family.
func mapTo6(m Mapper, a netip.Addr, role Role) (netip.Addr, Reason) {
	a, r := m.To6(a, role)
	if r == Translated && (!a.Is6() || a.Is4In6()) {
		r = NotMapped
	}
	return a, r
}

// Next6 cuts the first IPv6 packet off what [Translator.To6] wrote.
func Next6(b []byte) (packet, rest []byte) {
	if len(b) < hdr6 {
		return b, nil
	}
	n := min(len(b), hdr6+int(binary.BigEndian.Uint16(b[4:])))
	return b[:n], b[n:]
}
