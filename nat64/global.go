package nat64

import "net/netip"

// MayRepresent reports whether the prefix may represent the IPv4 address: the
// well-known prefix must not represent addresses that are not global, and
// packets that do so must be dropped (RFC 6052, section 3.1). Under any other
// prefix every IPv4 address may be represented.
func (p Prefix) MayRepresent(v4 netip.Addr) bool {
	v4 = v4.Unmap()
	if !p.IsValid() || !v4.Is4() {
		return false
	}
	return p != WellKnown() || IsGlobal(v4)
}

// IsGlobal reports whether an IPv4 address can be a host of the public
// Internet, that is whether it lies outside all of [NonGlobal]. It is false for
// anything but IPv4.
func IsGlobal(v4 netip.Addr) bool {
	v4 = v4.Unmap()
	if !v4.Is4() {
		return false
	}
	b := v4.As4()
	switch b[0] {
	case 0, 10, 127:
		return false
	case 100:
		return b[1]&0xc0 != 64
	case 169:
		return b[1] != 254
	case 172:
		return b[1]&0xf0 != 16
	case 192:
		switch {
		case b[1] == 0 && (b[2] == 0 || b[2] == 2),
			b[1] == 88 && b[2] == 99,
			b[1] == 168:
			return false
		}
	case 198:
		return b[1]&0xfe != 18 && (b[1] != 51 || b[2] != 100)
	case 203:
		return b[1] != 0 || b[2] != 113
	}
	return b[0] < 224
}

// NonGlobal returns the IPv4 blocks whose addresses are no hosts of the public
// Internet, in ascending order, without overlap: those of the special-purpose
// registry (RFC 6890) that are not globally reachable, the deprecated 6to4
// relay anycast block (RFC 7526), and multicast.
func NonGlobal() []netip.Prefix {
	return []netip.Prefix{
		block(0, 0, 0, 0, 8),       // "this network", RFC 791
		block(10, 0, 0, 0, 8),      // private use, RFC 1918
		block(100, 64, 0, 0, 10),   // shared address space, RFC 6598
		block(127, 0, 0, 0, 8),     // loopback, RFC 1122
		block(169, 254, 0, 0, 16),  // link-local, RFC 3927
		block(172, 16, 0, 0, 12),   // private use, RFC 1918
		block(192, 0, 0, 0, 24),    // IETF protocol assignments, RFC 6890
		block(192, 0, 2, 0, 24),    // documentation, RFC 5737
		block(192, 88, 99, 0, 24),  // 6to4 relay anycast, RFC 7526
		block(192, 168, 0, 0, 16),  // private use, RFC 1918
		block(198, 18, 0, 0, 15),   // benchmarking, RFC 2544
		block(198, 51, 100, 0, 24), // documentation, RFC 5737
		block(203, 0, 113, 0, 24),  // documentation, RFC 5737
		block(224, 0, 0, 0, 4),     // multicast, RFC 5771
		block(240, 0, 0, 0, 4),     // reserved, RFC 1112, and limited broadcast
	}
}

func block(a, b, c, d byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
}
