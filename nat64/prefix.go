package nat64

import (
	"fmt"
	"net/netip"
)

// Prefix is an IPv6 prefix into which IPv4 addresses are embedded (RFC 6052,
// section 2.2). It is comparable. The zero value is no prefix: IsValid reports
// false, and its text is empty.
type Prefix struct {
	p netip.Prefix
}

// WellKnown returns 64:ff9b::/96, the prefix of RFC 6052, section 2.1. It must
// not represent IPv4 addresses that are not global, see [Prefix.MayRepresent].
func WellKnown() Prefix {
	return Prefix{netip.PrefixFrom(netip.AddrFrom16([16]byte{1: 0x64, 2: 0xff, 3: 0x9b}), 96)}
}

// LocalUse returns 64:ff9b:1::/48, the block of RFC 8215 for translation inside
// one domain. It is a usable prefix itself, and the block from which longer
// ones are taken, 64:ff9b:1:fffe::/96 for example. Unlike under the well-known
// prefix, IPv4 addresses that are not global may be represented.
func LocalUse() Prefix {
	return Prefix{netip.PrefixFrom(netip.AddrFrom16([16]byte{1: 0x64, 2: 0xff, 3: 0x9b, 5: 1}), 48)}
}

// PrefixFrom checks that p can carry IPv4 addresses: an IPv6 prefix of 32, 40,
// 48, 56, 64 or 96 bits with no bit set behind its length, and with bits 64 to
// 71 zero (RFC 6052, section 2.2).
func PrefixFrom(p netip.Prefix) (Prefix, error) {
	switch {
	case !p.IsValid():
		return Prefix{}, fmt.Errorf("NAT64 prefix is not a valid prefix")
	case !p.Addr().Is6() || p.Addr().Is4In6():
		return Prefix{}, fmt.Errorf("NAT64 prefix %s is not an IPv6 prefix", p)
	case !validBits(p.Bits()):
		return Prefix{}, fmt.Errorf("NAT64 prefix %s has %d bits, want 32, 40, 48, 56, 64 or 96", p, p.Bits())
	case p != p.Masked():
		return Prefix{}, fmt.Errorf("NAT64 prefix %s has bits set behind its length, want %s", p, p.Masked())
	case p.Addr().As16()[8] != 0:
		return Prefix{}, fmt.Errorf("NAT64 prefix %s has bits 64 to 71 set, which are reserved", p)
	}
	return Prefix{p}, nil
}

// ParsePrefix parses a form like "64:ff9b::/96", with the checks of
// [PrefixFrom].
func ParsePrefix(s string) (Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return Prefix{}, fmt.Errorf("NAT64 prefix %q is not of the form 64:ff9b::/96", s)
	}
	return PrefixFrom(p)
}

// IsValid reports whether p is a prefix at all, and not the zero value.
func (p Prefix) IsValid() bool { return p.p.IsValid() }

// Prefix returns the prefix as netip has it; the zero netip.Prefix for the zero
// value.
func (p Prefix) Prefix() netip.Prefix { return p.p }

// Bits returns the length: 32, 40, 48, 56, 64 or 96, and 0 for the zero value.
func (p Prefix) Bits() int {
	if !p.IsValid() {
		return 0
	}
	return p.p.Bits()
}

// Contains reports whether the IPv6 address is inside the prefix.
func (p Prefix) Contains(v6 netip.Addr) bool { return p.p.Contains(v6) }

// String returns the form of [ParsePrefix], and the empty string for the zero
// value.
func (p Prefix) String() string {
	if !p.IsValid() {
		return ""
	}
	return p.p.String()
}

// MarshalText implements encoding.TextMarshaler with the form of String.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. The empty text is the zero
// value.
func (p *Prefix) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*p = Prefix{}
		return nil
	}
	v, err := ParsePrefix(string(b))
	if err != nil {
		return err
	}
	*p = v
	return nil
}

// validBits: RFC 6052, section 2.2, lists the lengths.
func validBits(n int) bool {
	switch n {
	case 32, 40, 48, 56, 64, 96:
		return true
	}
	return false
}
