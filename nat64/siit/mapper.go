package siit

import (
	"net/netip"

	"github.com/sixhost/sixhost/nat64"
)

// ByPrefix maps every address by one RFC 6052 prefix, as a stateless translator
// does (RFC 7915, section 6). IPv6 addresses outside the prefix are NotMapped,
// addresses that the prefix must not represent Denied (RFC 6052, section 3.1).
type ByPrefix struct {
	Prefix nat64.Prefix
}

var _ Mapper = ByPrefix{}

// To4 implements Mapper.
func (m ByPrefix) To4(v6 netip.Addr, _ Role) (netip.Addr, Reason) {
	v4, ok := m.Prefix.Extract(v6)
	if !ok {
		return netip.Addr{}, NotMapped
	}
	if !m.Prefix.MayRepresent(v4) {
		return netip.Addr{}, Denied
	}
	return v4, Translated
}

// To6 implements Mapper.
func (m ByPrefix) To6(v4 netip.Addr, _ Role) (netip.Addr, Reason) {
	if !m.Prefix.MayRepresent(v4) {
		return netip.Addr{}, Denied
	}
	return m.Prefix.Embed(v4), Translated
}
