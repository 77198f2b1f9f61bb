package siit

import (
	"encoding/binary"
	"net/netip"
)

// To4 translates the IPv6 packet src into dst (RFC 7915, section 5) and returns
// how many octets it wrote. A dst as long as src is long enough.
//
// dst may overlap src if dst begins 20 octets behind it in the same array, so
// that the payload of an ordinary packet isn't moved; else they must be apart.
func (t *Translator) To4(dst, src []byte, o Offload) (int, Result) {
	p, res := parse6(src, false)
	if res.Reason != Translated {
		return 0, res
	}
	if !t.KeepHops {
		if p.hops <= 1 {
			return 0, Result{HopLimit, ICMP{Type: icmp6TimeExceeded}}
		}
		p.hops--
	}
	if p.proto == protoICMP6 && p.isICMPError() {
		return t.error6to4(dst, &p, o)
	}
	n := hdr4 + p.length
	if !o.Segmented || n > 65535 {
		mtu := 65535
		if t.MTU4 > 0 {
			mtu = t.MTU4
		}
		if n > mtu && !mayFragment4(&p, n) {
			return 0, Result{TooBig, ICMP{Type: icmp6TooBig, Info: uint32(max(minMTU6, mtu+hdr6-hdr4))}}
		}
	}
	d4, r := mapTo4(t.Map, p.dst, Destination)
	if r != Translated {
		return 0, answer6(r)
	}
	// Everything that needs no addresses is decided before a mapping is made.
	if _, r := translateUpper(&p, false, 0, 0, o, false); r != Translated {
		return 0, Result{Reason: r}
	}
	if n > len(dst) {
		return 0, Result{Reason: NoSpace}
	}
	s4, r := mapTo4(t.Map, p.src, Source)
	if r != Translated {
		return 0, answer6(r)
	}
	u, r := translateUpper(&p, false, fold(addrSum(s4)+addrSum(d4)), fold(addrSum(p.src)+addrSum(p.dst)), o, false)
	if r != Translated {
		return 0, Result{Reason: r}
	}
	copy(dst[hdr4:n], p.payload)
	u.apply(dst[hdr4:n])
	t.put4(dst, &p, p.length, u.proto, s4, d4, false)
	return n, Result{}
}

// mayFragment4: a packet that was a fragment in IPv6, or that no IPv6 path
// would have refused, goes without DF (RFC 7915, sections 5.1 and 5.1.1).
func mayFragment4(p *packet, total int) bool { return p.frag || total <= minMTU6-(hdr6-hdr4) }

// put4 writes an IPv4 header. In the packet inside an ICMP error the
// identification of a packet that was no fragment isn't known, and zero.
func (t *Translator) put4(b []byte, p *packet, length int, proto uint8, s4, d4 netip.Addr, inner bool) {
	tc := p.tc
	if t.ZeroTrafficClass {
		tc = 0
	}
	var id, flags uint16
	switch {
	case p.frag:
		id, flags = uint16(p.id), uint16(p.off/8)
		if p.more {
			flags |= 0x2000
		}
	case !mayFragment4(p, hdr4+length):
		flags = 0x4000
	case !inner:
		id = t.id()
	}
	header4(b, tc, length, id, flags, p.hops, proto, s4, d4)
}

func header4(b []byte, tos uint8, length int, id, flags uint16, ttl, proto uint8, s4, d4 netip.Addr) {
	b = b[:hdr4]
	b[0], b[1] = 0x45, tos
	binary.BigEndian.PutUint16(b[2:], uint16(hdr4+length))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], flags)
	b[8], b[9], b[10], b[11] = ttl, proto, 0, 0
	s, d := s4.As4(), d4.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	binary.BigEndian.PutUint16(b[10:], ^sum(b))
}

// mapTo4 asks the Mapper, and doesn't trust it with the family.
func mapTo4(m Mapper, a netip.Addr, role Role) (netip.Addr, Reason) {
	a, r := m.To4(a, role)
	if r == Translated && !a.Is4() {
		r = NotMapped
	}
	return a, r
}
