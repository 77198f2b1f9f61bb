package slaac

import "net/netip"

// SolicitedNode returns the multicast group that neighbours ask for an address
// at: ff02::1:ff and its last 24 bits (RFC 4291, section 2.7.1). It returns the
// zero Addr for one that is not IPv6.
func SolicitedNode(a netip.Addr) netip.Addr {
	if !a.Is6() || a.Is4In6() {
		return netip.Addr{}
	}
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// MulticastMAC returns the Ethernet address of an IPv6 multicast group: 33:33
// and its last 32 bits (RFC 2464, section 7). It returns the zero MAC for an
// address that is not an IPv6 group.
func MulticastMAC(group netip.Addr) MAC {
	if !group.Is6() || !group.IsMulticast() {
		return MAC{}
	}
	b := group.As16()
	return MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}
