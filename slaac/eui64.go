package slaac

import (
	"net/netip"
)

// EUI64 returns the modified EUI-64 interface identifier of a MAC: the OUI with
// its universal/local bit inverted, ff:fe, the rest (RFC 4291, appendix A).
func EUI64(m MAC) [8]byte {
	return [8]byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}
}

// LinkLocal returns the address in fe80::/64 that an interface with this MAC
// gives itself (RFC 4862, section 5.3).
func LinkLocal(m MAC) netip.Addr {
	id := EUI64(m)
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7]})
}
