package siit

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/nat64"
)

// EAM joins a prefix of either family, so that each address in V4 has one of
// V6 for its counterpart (RFC 7757, section 3.1). The bits behind V4's length
// are those behind V6's; what V6 has more of them is zero towards IPv6, and
// ignored from there.
type EAM struct {
	V4, V6 netip.Prefix
}

// EAMs is a Mapper by explicit address mappings (RFC 7757), with a prefix for
// the addresses that have none. Make it with [NewEAMs].
type EAMs struct {
	by4, by6 []EAM // longest first
	rest     ByPrefix
}

var _ Mapper = EAMs{}

// NewEAMs makes a Mapper of explicit mappings. They may overlap: the longest
// prefix that matches counts (RFC 7757, section 3.3), but none may be there
// twice. Addresses without one are mapped by the prefix, or are NotMapped if
// that is the zero value.
func NewEAMs(prefix nat64.Prefix, all ...EAM) (EAMs, error) {
	for i, e := range all {
		switch {
		case !e.V4.IsValid() || !e.V4.Addr().Is4() || e.V4 != e.V4.Masked():
			return EAMs{}, fmt.Errorf("explicit mapping %d: want an IPv4 prefix without host bits, not %s", i, e.V4)
		case !e.V6.IsValid() || !e.V6.Addr().Is6() || e.V6.Addr().Is4In6() || e.V6 != e.V6.Masked():
			return EAMs{}, fmt.Errorf("explicit mapping %d: want an IPv6 prefix without host bits, not %s", i, e.V6)
		case 32-e.V4.Bits() > 128-e.V6.Bits():
			return EAMs{}, fmt.Errorf("explicit mapping %d: %s has more addresses than %s", i, e.V4, e.V6)
		case slices.ContainsFunc(all[:i], func(o EAM) bool { return o.V4 == e.V4 || o.V6 == e.V6 }):
			return EAMs{}, fmt.Errorf("explicit mapping %d: %s or %s is mapped twice", i, e.V4, e.V6)
		}
	}
	m := EAMs{by4: slices.Clone(all), by6: slices.Clone(all), rest: ByPrefix{prefix}}
	slices.SortStableFunc(m.by4, func(a, b EAM) int { return b.V4.Bits() - a.V4.Bits() })
	slices.SortStableFunc(m.by6, func(a, b EAM) int { return b.V6.Bits() - a.V6.Bits() })
	return m, nil
}

// To4 implements Mapper (RFC 7757, section 3.3.2).
func (m EAMs) To4(v6 netip.Addr, role Role) (netip.Addr, Reason) {
	for _, e := range m.by6 {
		if e.V6.Contains(v6) {
			from, to := v6.As16(), e.V4.Addr().As4()
			copyBits(to[:], e.V4.Bits(), from[:], e.V6.Bits(), 32-e.V4.Bits())
			return netip.AddrFrom4(to), Translated
		}
	}
	return m.rest.To4(v6, role)
}

// To6 implements Mapper (RFC 7757, section 3.3.1).
func (m EAMs) To6(v4 netip.Addr, role Role) (netip.Addr, Reason) {
	if e, ok := m.find4(v4); ok {
		from, to := v4.As4(), e.V6.Addr().As16()
		copyBits(to[:], e.V6.Bits(), from[:], e.V4.Bits(), 32-e.V4.Bits())
		return netip.AddrFrom16(to), Translated
	}
	return m.rest.To6(v4, role)
}

func (m EAMs) find4(v4 netip.Addr) (EAM, bool) {
	for _, e := range m.by4 {
		if e.V4.Contains(v4) {
			return e, true
		}
	}
	return EAM{}, false
}

// Hairpins reports whether an IPv4 destination is behind the translator itself,
// by an explicit mapping: then what To4 made goes back through To6 of a
// Translator whose Map is [EAMs.Hairpin].
func (m EAMs) Hairpins(v4 netip.Addr) bool {
	_, ok := m.find4(v4)
	return ok
}

// Hairpin returns the Mapper for the way back of a hairpin: the source, and the
// destination of a packet inside an error, are given by the prefix, though they
// have explicit mappings, so that answers come back through the translator (RFC
// 7757, section 4).
func (m EAMs) Hairpin() Mapper { return hairpin{m} }

type hairpin struct{ EAMs }

func (m hairpin) To6(v4 netip.Addr, role Role) (netip.Addr, Reason) {
	if role == Source || role == ErrorSource || role == InnerDestination {
		return m.rest.To6(v4, role)
	}
	return m.EAMs.To6(v4, role)
}

// copyBits copies n bits.
func copyBits(to []byte, at int, from []byte, off, n int) {
	for i := range n {
		bit := from[(off+i)/8] >> (7 - (off+i)%8) & 1
		to[(at+i)/8] |= bit << (7 - (at+i)%8)
	}
}

// ErrorPool is a Mapper that gives the sources of ICMPv6 errors that have no
// IPv4 counterpart an address of a pool (RFC 6791): routers of the IPv6 side.
// One router has always the same one, so that a traceroute tells them apart as
// far as the pool goes. Everything else is asked of Mapper.
type ErrorPool struct {
	Mapper
	// Pool is an IPv4 prefix; all of its addresses are used.
	Pool netip.Prefix
}

// To4 implements Mapper.
func (m ErrorPool) To4(v6 netip.Addr, role Role) (netip.Addr, Reason) {
	a, r := m.Mapper.To4(v6, role)
	if role != ErrorSource || r == Translated || !m.Pool.IsValid() || !m.Pool.Addr().Is4() {
		return a, r
	}
	// FNV-1a over the address, in the bits that the pool leaves.
	h := uint32(2166136261)
	for _, b := range v6.As16() {
		h = (h ^ uint32(b)) * 16777619
	}
	to := m.Pool.Masked().Addr().As4()
	host := h ^ h>>16
	for i := range to {
		to[i] |= byte(host>>(24-8*i)) & byte(^maskOf(m.Pool.Bits())>>(24-8*i))
	}
	return netip.AddrFrom4(to), Translated
}

func maskOf(bits int) uint32 { return uint32(^uint64(0) << (32 - bits)) }
