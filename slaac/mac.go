package slaac

import (
	"fmt"
	"net"
)

// MAC is a 48-bit IEEE 802 hardware address (EUI-48). It is comparable, and
// marshals to six lower-case hexadecimal pairs joined by colons.
type MAC [6]byte

// ParseMAC parses a 48-bit address in any of the forms of [net.ParseMAC].
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil {
		return MAC{}, fmt.Errorf("parse MAC %q: not a hardware address", s)
	}
	return MACFrom(hw)
}

// MACFrom converts a hardware address of six octets.
func MACFrom(hw net.HardwareAddr) (MAC, error) {
	if len(hw) != 6 {
		return MAC{}, fmt.Errorf("hardware address %q has %d octets, want 6", hw, len(hw))
	}
	return MAC(hw), nil
}

// HardwareAddr returns the address as package net has it.
func (m MAC) HardwareAddr() net.HardwareAddr { return m[:] }

// String returns the form 52:54:00:12:34:56.
func (m MAC) String() string { return m.HardwareAddr().String() }

// IsMulticast reports whether the group bit is set; such an address can't be a
// source (IEEE 802-2014, 8.2).
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// IsLocal reports whether the universal/local bit marks the address as locally
// administered (IEEE 802-2014, 8.4).
func (m MAC) IsLocal() bool { return m[0]&2 != 0 }

// IsZero reports whether all octets are zero.
func (m MAC) IsZero() bool { return m == MAC{} }

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(b []byte) error {
	v, err := ParseMAC(string(b))
	if err != nil {
		return err
	}
	*m = v
	return nil
}
