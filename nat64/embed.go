package nat64

import "net/netip"

// Embed returns the IPv6 address that represents an IPv4 address (RFC 6052,
// section 2.2): the prefix, the 32 bits of the IPv4 address with the octet of
// bits 64 to 71 left zero between them, and a zero suffix. It returns the
// invalid netip.Addr if v4 is not an IPv4 address or p is the zero value.
//
// Embed does not judge whether v4 may be represented; see
// [Prefix.MayRepresent].
func (p Prefix) Embed(v4 netip.Addr) netip.Addr {
	v4 = v4.Unmap()
	if !p.IsValid() || !v4.Is4() {
		return netip.Addr{}
	}
	a, b := p.p.Addr().As16(), v4.As4()
	if p.p.Bits() == 96 {
		copy(a[12:], b[:])
		return netip.AddrFrom16(a)
	}
	at := p.p.Bits() / 8
	for _, octet := range b {
		if at == 8 {
			at++
		}
		a[at] = octet
		at++
	}
	return netip.AddrFrom16(a)
}

// Extract returns the IPv4 address that an IPv6 address represents (RFC 6052,
// section 2.3). ok is false where v6 is outside the prefix, or has one of the
// bits 64 to 71 set, which must be zero (section 2.2). The suffix behind the
// IPv4 address is reserved for later use and ignored.
func (p Prefix) Extract(v6 netip.Addr) (v4 netip.Addr, ok bool) {
	if !p.p.Contains(v6) {
		return netip.Addr{}, false
	}
	a := v6.As16()
	if a[8] != 0 {
		return netip.Addr{}, false
	}
	if p.p.Bits() == 96 {
		return netip.AddrFrom4([4]byte(a[12:])), true
	}
	var b [4]byte
	at := p.p.Bits() / 8
	for i := range b {
		if at == 8 {
			at++
		}
		b[i] = a[at]
		at++
	}
	return netip.AddrFrom4(b), true
}
