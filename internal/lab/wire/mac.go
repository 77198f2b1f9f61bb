package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// MAC is an Ethernet address. It is comparable, and its zero value is the
// placeholder 00:00:00:00:00:00.
type MAC [6]byte

// ParseMAC reads six hexadecimal octets with colons between them.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	parts := strings.Split(s, ":")
	if len(parts) != len(m) {
		return MAC{}, fmt.Errorf("parse MAC %q: want six octets with colons between them", s)
	}
	for i, p := range parts {
		if len(p) != 2 {
			return MAC{}, fmt.Errorf("parse MAC %q: octet %q is not two hexadecimal digits", s, p)
		}
		if _, err := hex.Decode(m[i:i+1], []byte(p)); err != nil {
			return MAC{}, fmt.Errorf("parse MAC %q: %w", s, err)
		}
	}
	return m, nil
}

// MACOf turns the bytes of an address, as netlink and the net package hold it,
// into a MAC.
func MACOf(b []byte) (MAC, error) {
	if len(b) != len(MAC{}) {
		return MAC{}, errors.New("not an Ethernet address of six octets")
	}
	return MAC(b), nil
}

// String writes the address in lower case with colons.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// MarshalText writes what String does.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what ParseMAC does.
func (m *MAC) UnmarshalText(b []byte) error {
	v, err := ParseMAC(string(b))
	if err != nil {
		return err
	}
	*m = v
	return nil
}

// IsMulticast tells group addresses, broadcast included (IEEE 802: the lowest
// bit of the first octet).
func (m MAC) IsMulticast() bool { return m[0]&1 == 1 }

// IsZero tells the placeholder.
func (m MAC) IsZero() bool { return m == MAC{} }

// linkLocal returns the modified EUI-64 link-local address (RFC 4291 2.5.1 and
// 2.5.6).
func (m MAC) linkLocal() netip.Addr {
	return m.eui64(netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80}), 64))
}

// eui64 returns the address that stateless autoconfiguration makes of the MAC
// in a /64 (RFC 4862 5.5.3, RFC 2464 4).
func (m MAC) eui64(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As16()
	copy(a[8:], []byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
	return netip.AddrFrom16(a)
}

// macInside returns the MAC that a modified EUI-64 address was made of.
func macInside(a netip.Addr) (MAC, bool) {
	if !a.Is6() {
		return MAC{}, false
	}
	b := a.As16()
	if b[11] != 0xff || b[12] != 0xfe {
		return MAC{}, false
	}
	return MAC{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}, true
}
