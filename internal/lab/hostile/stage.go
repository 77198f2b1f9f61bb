package hostile

import (
	"net/netip"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// Stage is who is there.
type Stage struct {
	// Attacker is the hostile guest's MAC, whether it attacks or not.
	Attacker wire.MAC
	// Victim and Other are the MACs of two guests that behave.
	Victim, Other wire.MAC
	// Server is the NIC's and the bridge's MAC, Router that of the provider's.
	Server, Router wire.MAC
	// Prefix is the server's /64.
	Prefix netip.Prefix
	// Host is the server's address in it, HostIPv4 its public one.
	Host, HostIPv4 netip.Addr
	// Gateway is the server's IPv6 gateway, GatewayIPv4 the other.
	Gateway, GatewayIPv4 netip.Addr
	// Outside is a host beyond the provider, Outside4 the same in the NAT64 prefix.
	Outside, Outside4 netip.Addr
}

// linkLocal is the address that follows from a MAC (RFC 4291 appendix A).
func linkLocal(m wire.MAC) netip.Addr { return eui64(netip.MustParsePrefix("fe80::/64"), m) }

// global is the address that SLAAC gives to a MAC in the stage's /64.
func (s Stage) global(m wire.MAC) netip.Addr { return eui64(s.Prefix, m) }

func eui64(p netip.Prefix, m wire.MAC) netip.Addr {
	a := p.Masked().Addr().As16()
	copy(a[8:], []byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
	return netip.AddrFrom16(a)
}

// absent is the nth of the addresses of the /64 that nobody has.
func (s Stage) absent(n int) netip.Addr {
	a := s.Prefix.Masked().Addr().As16()
	copy(a[8:], []byte{0xab, 0x5e, 0, 0, 0, 0, byte(n >> 8), byte(n)})
	return netip.AddrFrom16(a)
}

// Absent tells the addresses that a scan asks for.
func (s Stage) Absent(a netip.Addr) bool {
	if !s.Prefix.Contains(a) {
		return false
	}
	b := a.As16()
	return b[8] == 0xab && b[9] == 0x5e
}
