package gateway

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/siit"
)

// mapper decides who may talk to whom, and by which address.
type mapper struct {
	prefix nat64.Prefix
	guests netip.Prefix
	table  *table
	denied blocks
	// own6 is the host's address that guests know, for errors without a better
	// source.
	own6 atomic.Pointer[netip.Addr]
	// own4 are the host's own IPv4 addresses.
	own4 atomic.Pointer[[]netip.Addr]
	// stamped: the low bits of the flow label say where a packet came in.
	stamped bool
}

var _ siit.Mapper = (*mapper)(nil)

func newMapper(c Config, t *table) *mapper {
	m := &mapper{prefix: c.Prefix, guests: c.Guests, table: t, denied: newBlocks(c.deniedBlocks())}
	m.setOwn6(netip.Addr{})
	m.own4.Store(new([]netip.Addr))
	return m
}

// refuses reports whether an IPv4 address is none that guests may talk to.
func (m *mapper) refuses(v4 netip.Addr) bool {
	return m.denied.contain(v4) || slices.Contains(*m.own4.Load(), v4)
}

// setOwn6 sets the source of the gateway's own errors. Without one, the
// gateway's own address of the pool stands in, embedded in the prefix.
func (m *mapper) setOwn6(a netip.Addr) {
	if !a.IsValid() {
		a = m.prefix.Embed(m.table.own())
	}
	m.own6.Store(&a)
}

// To4 implements siit.Mapper: guests become their pool address, the prefix what
// it stands for.
func (m *mapper) To4(v6 netip.Addr, role siit.Role) (netip.Addr, siit.Reason) {
	return m.to4(v6, role, 0)
}

// view is the mapper for one packet, which came in somewhere.
type view struct {
	*mapper
	from origin
}

// To4 implements siit.Mapper.
func (v *view) To4(v6 netip.Addr, role siit.Role) (netip.Addr, siit.Reason) {
	return v.to4(v6, role, v.from)
}

func (m *mapper) to4(v6 netip.Addr, role siit.Role, from origin) (netip.Addr, siit.Reason) {
	switch role {
	case siit.Source:
		if !m.guests.Contains(v6) {
			return netip.Addr{}, siit.NotMapped
		}
		if a, ok := m.table.assign(v6, from, false); ok {
			return a, siit.Translated
		}
		return netip.Addr{}, siit.Unreachable
	case siit.ErrorSource:
		if m.guests.Contains(v6) {
			if a, ok := m.table.lookup4(v6); ok {
				return a, siit.Translated
			}
		}
		// The host itself, or a router behind it: RFC 6791.
		return m.table.own(), siit.Translated
	case siit.InnerDestination:
		// The packet in error was on its way to a guest that has a mapping.
		if m.guests.Contains(v6) {
			if a, ok := m.table.lookup4(v6); ok {
				return a, siit.Translated
			}
		}
		return netip.Addr{}, siit.NotMapped
	}
	v4, ok := m.prefix.Extract(v6)
	if !ok {
		return netip.Addr{}, siit.NotMapped
	}
	if m.refuses(v4) {
		return netip.Addr{}, siit.Denied
	}
	return v4, siit.Translated
}

// To6 implements siit.Mapper, the other way round. What comes from outside is
// never answered: it gets here only as an answer itself.
func (m *mapper) To6(v4 netip.Addr, role siit.Role) (netip.Addr, siit.Reason) {
	switch role {
	case siit.Destination, siit.InnerSource:
		if !m.table.pool.Contains(v4) {
			return netip.Addr{}, siit.NotMapped
		}
		if a, ok := m.table.lookup6(v4); ok {
			return a, siit.Translated
		}
		return netip.Addr{}, siit.NotMapped
	case siit.ErrorSource:
		// Routers often have private addresses. Their errors, path MTUs among
		// them, must get through; their address need not.
		if m.denied.contain(v4) {
			return *m.own6.Load(), siit.Translated
		}
	default:
		if m.refuses(v4) {
			return netip.Addr{}, siit.NotMapped
		}
	}
	return m.prefix.Embed(v4), siit.Translated
}

// origin is where an IPv6 packet came in, by its stamp, which the translation
// leaves out.
func (m *mapper) origin(packet []byte) origin {
	if !m.stamped || len(packet) < 4 {
		return 0
	}
	// The rule writes the first two octets of a number in the machine's order.
	return origin(binary.NativeEndian.Uint16(packet[2:]))
}
