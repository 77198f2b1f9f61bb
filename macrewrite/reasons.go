package macrewrite

import "context"

// Reason is why the edge dropped a frame, and the name of the counter in the
// nftables table.
type Reason string

// The reasons.
const (
	// GuestToUplink: bridged from a guest's port to the NIC, of any kind. The
	// guest takes the provider's segment for its own.
	GuestToUplink Reason = "guest-to-uplink"
	// UplinkToGuest: bridged from the NIC to a guest's port, of any kind;
	// broadcasts of the provider's segment are counted once for each guest.
	UplinkToGuest Reason = "uplink-to-guest"
	// RAFromUplink: a router advertisement (RFC 4861, section 4.2).
	RAFromUplink Reason = "ra-from-uplink"
	// RSFromUplink: a router solicitation. Nobody out there shall hear or rate
	// the guests' router.
	RSFromUplink Reason = "rs-from-uplink"
	// RedirectFromUplink: an ICMPv6 redirect (RFC 4861, section 4.5).
	RedirectFromUplink Reason = "redirect-from-uplink"
	// NDFromUplink: a neighbour solicitation or advertisement about an address
	// that may be a guest's.
	NDFromUplink Reason = "nd-from-uplink"
	// NAT64FromUplink: to the NAT64 prefix.
	NAT64FromUplink Reason = "nat64-from-uplink"
	// DNSFromUplink: to the guests' DNS server.
	DNSFromUplink Reason = "dns-from-uplink"
	// OwnSourceFromUplink: with a source that is ours: the NIC's MAC, a host
	// address, the /64 but for gateways in it, the NAT64 prefix.
	OwnSourceFromUplink Reason = "own-source-from-uplink"
	// StackedVLANFromUplink: with more than one VLAN tag. The kernel takes off
	// any number of tags with VLAN 0, only the first is looked behind here.
	StackedVLANFromUplink Reason = "stacked-vlan-from-uplink"
	// RAToUplink: one of the host's own router advertisements for its guests.
	RAToUplink Reason = "ra-to-uplink"
	// RedirectOut: a redirect the kernel made because guests and uplink are
	// on one bridge.
	RedirectOut Reason = "redirect-out"
	// NDInsidePrefixToUplink: the host's neighbour discovery about an address
	// that may be a guest's.
	NDInsidePrefixToUplink Reason = "nd-inside-prefix-to-uplink"
	// InsidePrefixToUplink: to an address that may be a guest's, or to the
	// NAT64 prefix; the bridge did not know the guest's port, or the gateway
	// was down.
	InsidePrefixToUplink Reason = "inside-prefix-to-uplink"
	// OwnToUplink: to one of the host's own addresses, IPv4 or IPv6, that it does
	// not have at the moment, as early in a boot: the default route leads the
	// packet back to the provider, who returns it, again and again.
	OwnToUplink Reason = "own-to-uplink"
	// ForeignSourceToUplink: a source MAC that is not the NIC's. Nothing should
	// come this far; it is the last line.
	ForeignSourceToUplink Reason = "foreign-source-to-uplink"
	// RAFromGuest: a router advertisement by a guest.
	RAFromGuest Reason = "ra-from-guest"
	// RedirectFromGuest: a redirect by a guest.
	RedirectFromGuest Reason = "redirect-from-guest"
	// StackedVLANFromGuest: with more than one VLAN tag.
	StackedVLANFromGuest Reason = "stacked-vlan-from-guest"
)

// Reasons lists all of them.
func Reasons() []Reason {
	return []Reason{
		GuestToUplink, UplinkToGuest,
		RAFromUplink, RSFromUplink, RedirectFromUplink, NDFromUplink, NAT64FromUplink, DNSFromUplink, OwnSourceFromUplink, StackedVLANFromUplink,
		RAToUplink, RedirectOut, NDInsidePrefixToUplink, InsidePrefixToUplink, OwnToUplink, ForeignSourceToUplink,
		RAFromGuest, RedirectFromGuest, StackedVLANFromGuest,
	}
}

// Counter says how much was dropped for one reason since the table was put in
// place.
type Counter struct {
	Reason  Reason `json:"reason"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Counters reads what was dropped, in the order of [Reasons]. Without the
// table it fails with an error matching fs.ErrNotExist.
func Counters(ctx context.Context) ([]Counter, error) { return counters(ctx) }
