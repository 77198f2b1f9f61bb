package dns64

import (
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/nat64"
)

// rules is the part of the configuration that synthesis depends on.
type rules struct {
	prefix nat64.Prefix
	// exclude are the AAAA records no guest may be given.
	exclude []netip.Prefix
	// special are IPv4 ranges represented although they are not global.
	special []netip.Prefix
}

// represent returns the IPv6 address for an A record, if it may have one.
func (r rules) represent(v4 netip.Addr) (netip.Addr, bool) {
	if !r.prefix.MayRepresent(v4) || !nat64.IsGlobal(v4) && !contains(r.special, v4) {
		return netip.Addr{}, false
	}
	return r.prefix.Embed(v4), true
}

func (r rules) excluded(v6 netip.Addr) bool { return contains(r.exclude, v6) }

// defaultExclude: RFC 6147, 5.1.4 asks for this one by default.
func defaultExclude() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff}), 96)}
}

// contains looks an address up as it is: netip's Contains says no to every
// IPv4-mapped IPv6 address, so the comparison is made on masked addresses.
func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
		if p.Addr().BitLen() != a.BitLen() {
			return false
		}
		masked, err := a.WithZone("").Prefix(p.Bits())
		return err == nil && masked.Addr() == p.Masked().Addr()
	})
}
