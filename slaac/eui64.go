package slaac

import (
	"errors"
	"fmt"
	"net/netip"
)

var (
	// ErrPrefixLength means that a prefix is not an IPv6 /64: interface
	// identifiers are 64 bits long (RFC 4291, section 2.5.1).
	ErrPrefixLength = errors.New("not an IPv6 /64")
	// ErrGroupMAC means that a MAC has its group bit set, so that no interface
	// can have it.
	ErrGroupMAC = errors.New("a group address, no interface can have it")
)

// EUI64 returns the modified EUI-64 interface identifier of a MAC: the OUI with
// its universal/local bit inverted, ff:fe, the rest (RFC 4291, appendix A).
func EUI64(m MAC) [8]byte {
	return [8]byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}
}

// LinkLocal returns the address in fe80::/64 that an interface with this MAC
// gives itself (RFC 4862, section 5.3).
func LinkLocal(m MAC) netip.Addr {
	return join([8]byte{0: 0xfe, 1: 0x80}, EUI64(m))
}

// Addr returns the address that an interface with this MAC gives itself inside
// a /64 (RFC 4862, section 5.5.3). The prefix may have bits set behind the
// first 64, as in 2001:db8:1:3::2/64; they are ignored.
//
// Errors match [ErrPrefixLength] and [ErrGroupMAC].
func Addr(prefix netip.Prefix, m MAC) (netip.Addr, error) {
	p, err := upperHalf(prefix)
	if err != nil {
		return netip.Addr{}, err
	}
	if m.IsMulticast() {
		return netip.Addr{}, fmt.Errorf("MAC %s: %w", m, ErrGroupMAC)
	}
	return join(p, EUI64(m)), nil
}

// MACFromAddr returns the MAC that an address was made from, and false where
// there is none to be seen: the address is not IPv6 unicast, its identifier
// lacks ff:fe in the middle, or what remains is a group address. One opaque
// identifier in 131,072 looks like a MAC by chance.
func MACFromAddr(a netip.Addr) (MAC, bool) {
	if !a.Is6() || a.Is4In6() || a.IsMulticast() {
		return MAC{}, false
	}
	b := a.As16()
	m := MAC{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}
	if b[11] != 0xff || b[12] != 0xfe || m.IsMulticast() {
		return MAC{}, false
	}
	return m, true
}

// upperHalf returns the first 64 bits of a /64.
func upperHalf(p netip.Prefix) ([8]byte, error) {
	if !p.Addr().Is6() || p.Bits() != 64 {
		return [8]byte{}, fmt.Errorf("prefix %s: %w", p, ErrPrefixLength)
	}
	b := p.Addr().As16()
	return [8]byte(b[:8]), nil
}

// join makes an address of a /64 and an interface identifier.
func join(p, id [8]byte) netip.Addr {
	var b [16]byte
	copy(b[:8], p[:])
	copy(b[8:], id[:])
	return netip.AddrFrom16(b)
}
