package wire

import "fmt"

// Kind says why a frame counts against the server.
type Kind uint8

// A frame counts at most once for each kind, but may count for several.
const (
	// ForeignSource: the source MAC is not the server's.
	ForeignSource Kind = iota
	// ForeignInside: a MAC that is neither the server's nor the provider's
	// stands in a payload: ARP and RARP, link-layer address options of neighbour
	// discovery, DHCP client hardware addresses and identifiers, DHCPv6 DUIDs,
	// spanning tree bridge identifiers, LLDP.
	ForeignInside
	// ForeignDestination: a unicast frame for a MAC that is neither the
	// server's nor the provider's.
	ForeignDestination
	// RouterAdvertisement: ICMPv6 type 134.
	RouterAdvertisement
	// Redirect: ICMPv6 type 137, or ICMP type 5.
	Redirect
	// GuestMulticast: a multicast or broadcast frame that is not the server's
	// own: its MAC, its IP source, its duplicate address detection target or
	// the solicited-node group it reports belongs to someone else.
	GuestMulticast
	// GuestUnicast: a unicast frame that must have been bridged from a guest,
	// as it can't have been routed: its source is another's link-local address,
	// or it is neighbour discovery or ARP with another's source.
	GuestUnicast
	// GuestSolicited: the server's own neighbour solicitation for an address
	// inside the /64 (or another's link-local address), which tells the
	// provider's link who the guests are.
	GuestSolicited
	// GuestAdvertised: the server's own neighbour advertisement for an address
	// inside the /64 that is not its own. At an on-link provider that is what a
	// neighbour proxy is for, and counts for addresses that no known guest has
	// (Config.OnLink); at a routed one it must not happen.
	GuestAdvertised
	// Opaque: the judge could not look into the frame where it had to: cut
	// short, malformed, or neighbour discovery hidden by fragments (RFC 6980).
	Opaque

	kinds
)

// Kinds lists all kinds in the order reports show them.
func Kinds() []Kind {
	all := make([]Kind, 0, kinds)
	for k := range kinds {
		all = append(all, k)
	}
	return all
}

// String names the kind as reports do.
func (k Kind) String() string {
	switch k {
	case ForeignSource:
		return "foreign source MAC"
	case ForeignInside:
		return "foreign MAC inside payload"
	case ForeignDestination:
		return "foreign destination MAC"
	case RouterAdvertisement:
		return "router advertisement"
	case Redirect:
		return "redirect"
	case GuestMulticast:
		return "guest multicast"
	case GuestUnicast:
		return "guest unicast bridged"
	case GuestSolicited:
		return "solicitation for a guest"
	case GuestAdvertised:
		return "advertisement for a guest"
	case Opaque:
		return "not judgeable"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// MarshalText writes what String does, so that a map by Kind is readable JSON.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
