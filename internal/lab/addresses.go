package lab

import (
	"net"
	"net/netip"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// Names of the nodes, which are their names in DNS too, below ZoneName.
const (
	Provider = "provider"
	Server   = "server"
	Web4     = "web4"
	Web6     = "web6"
	DNS      = "dns"
	Client4  = "client4"
	Client6  = "client6"
)

const (
	// NIC is the name of the server's network interface.
	NIC = "enp2s0"
	// Port is the name of the provider's interface that leads to the server.
	Port = "srv"
	// ZoneName is the zone that the lab's name server is authoritative for.
	ZoneName = "example."
	// ServiceTCP is the port of the server's echo service, sshd's stand-in.
	ServiceTCP = 22
)

// The lab's addresses. The server's are those of facts about real providers, in
// documentation ranges. The IPv4 Internet behind the provider is not: filters
// under test have to refuse the documentation ranges.
//
// ServerIPv4 is a /32 whose gateway is reached on-link.
func ServerIPv4() netip.Prefix { return netip.MustParsePrefix("203.0.113.10/32") }

// GatewayIPv4 is the server's IPv4 gateway, outside of its prefix.
func GatewayIPv4() netip.Addr { return netip.MustParseAddr("203.0.113.1") }

// ServerIPv6 is the address that the provider installed on the server, with the
// length of its prefix.
func ServerIPv6() netip.Prefix { return netip.MustParsePrefix("2001:db8:1:3::2/64") }

// GatewayIPv6 is the server's IPv6 gateway, on every link of the provider.
func GatewayIPv6() netip.Addr { return netip.MustParseAddr("fe80::1") }

// ServerMAC is the MAC of the server's NIC, a universally administered one, and
// the only source that the provider's port accepts.
func ServerMAC() wire.MAC { return wire.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56} }

// ProviderMAC is the MAC of the provider's interface to the server, from the
// documentation range of RFC 7042 section 2.1.1.
func ProviderMAC() wire.MAC { return wire.MAC{0x00, 0x00, 0x5e, 0x00, 0x53, 0x01} }

// InternetIPv4 holds the IPv4 nodes behind the provider.
func InternetIPv4() netip.Prefix { return netip.MustParsePrefix("203.0.114.0/24") }

// InternetIPv6 holds the IPv6 nodes behind the provider.
func InternetIPv6() netip.Prefix { return netip.MustParsePrefix("2001:db8:2::/48") }

// ProviderIPv6 is the router's own global address.
func ProviderIPv6() netip.Addr { return netip.MustParseAddr("2001:db8:2::1") }

// place is where a node behind the provider is found; an invalid address means
// that it doesn't speak the family.
type place struct {
	name   string
	v4, v6 netip.Addr
}

func internet() []place {
	v4, v6 := netip.MustParseAddr, netip.MustParseAddr
	return []place{
		{name: Web4, v4: v4("203.0.114.10")},
		{name: Web6, v6: v6("2001:db8:2::10")},
		{name: DNS, v4: v4("203.0.114.53"), v6: v6("2001:db8:2::53")},
		{name: Client4, v4: v4("203.0.114.20")},
		{name: Client6, v6: v6("2001:db8:2::20")},
	}
}

// linkLocal is the address a provider derives from the MAC it knows (RFC 4291
// appendix A), where it sends the server's whole prefix. The lab judges the
// product's arithmetic and has its own.
func linkLocal(mac wire.MAC) netip.Addr {
	a := netip.MustParseAddr("fe80::").As16()
	eui64(a[8:], mac)
	return netip.AddrFrom16(a)
}

// predicted is the address that SLAAC gives to a MAC in a /64 (RFC 4862 section
// 5.5.3 with RFC 4291's interface identifier).
func predicted(prefix netip.Prefix, mac wire.MAC) netip.Addr {
	a := prefix.Masked().Addr().As16()
	eui64(a[8:], mac)
	return netip.AddrFrom16(a)
}

func eui64(id []byte, mac wire.MAC) {
	copy(id, []byte{mac[0] ^ 0x02, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

func hardware(m wire.MAC) net.HardwareAddr { return net.HardwareAddr(m[:]) }
