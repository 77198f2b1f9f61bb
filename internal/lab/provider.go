package lab

import (
	"fmt"
	"net/netip"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// ProviderKind is how the provider gives a server its /64.
type ProviderKind uint8

const (
	// Routed: the whole /64 is routed to the server's link-local address, and the
	// gateway is fe80::1. Nobody else is on the server's link.
	Routed ProviderKind = iota
	// OnLink: the router has an address inside the /64 and asks, by neighbour
	// solicitation, for every other one on the segment that the server shares
	// with another customer's host.
	OnLink
)

// ParseProviderKind reads what String writes.
func ParseProviderKind(s string) (ProviderKind, error) {
	for _, k := range []ProviderKind{Routed, OnLink} {
		if k.String() == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("want %s or %s, not %q", Routed, OnLink, s)
}

// String names the kind as flags do.
func (k ProviderKind) String() string {
	switch k {
	case Routed:
		return "routed"
	case OnLink:
		return "on-link"
	}
	return fmt.Sprintf("ProviderKind(%d)", uint8(k))
}

// Neighbour is the name of the other customer's host on the segment of an
// on-link provider.
const Neighbour = "neighbour"

// segment is the name of the router's interface at an on-link provider: a
// switch, whose ports lead to the customers.
const segment = "lan"

// OnLinkGateway is the router's address inside the server's /64 at an on-link
// provider.
func OnLinkGateway() netip.Addr { return netip.MustParseAddr("2001:db8:1:3::1") }

// NeighbourMAC is the MAC of the other customer's host.
func NeighbourMAC() wire.MAC { return wire.MAC{0x90, 0x1b, 0x0e, 0x65, 0x43, 0x21} }

// neighbourIPv4 and neighbourIPv6 are what the provider gave to the other
// customer: an address, and a /64 of its own, on the same segment.
func neighbourIPv4() netip.Prefix { return netip.MustParsePrefix("203.0.113.11/32") }

func neighbourIPv6() netip.Prefix { return netip.MustParsePrefix("2001:db8:1:4::2/64") }

func neighbourGateway() netip.Addr { return netip.MustParseAddr("2001:db8:1:4::1") }
