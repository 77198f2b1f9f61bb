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
	// OwnSourceFromUplink: with a source that is ours: the NIC's MAC, an address of
	// the host or of a guest, the NAT64 prefix; with a routed provider all of the
	// /64 but for gateways in it.
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
	// LinkLocalToUplink: from a link-local address, a guest's most likely, to one
	// that is not on the link. No router may forward it (RFC 4291, section
	// 2.5.6), but where it comes in and goes out by one bridge the kernel does.
	LinkLocalToUplink Reason = "link-local-to-uplink"
	// ForeignSourceToUplink: a source MAC that is not the NIC's. Nothing should
	// come this far; it is the last line.
	ForeignSourceToUplink Reason = "foreign-source-to-uplink"
	// AbsentFromUplink: to addresses of the /64 that nobody is known to have, more
	// than the host should ask its guests for at once.
	AbsentFromUplink Reason = "absent-from-uplink"
	// MACFromGuest: with another source MAC than the guest's own, or from a port
	// without a guest with the MAC of one, of the host or of a gateway.
	MACFromGuest Reason = "mac-from-guest"
	// SourceFromGuest: with an IPv6 source that is not the guest's.
	SourceFromGuest Reason = "source-from-guest"
	// UnlistedFromGuest: from a port without a guest, where that drops all.
	UnlistedFromGuest Reason = "unlisted-from-guest"
	// EthertypeFromGuest: neither IPv6 nor ARP nor IPv4 and not without a VLAN
	// tag: VLAN, QinQ, spanning tree, discovery protocols.
	EthertypeFromGuest Reason = "ethertype-from-guest"
	// ARPFromGuest: ARP that does not tell of an extra IPv4 address of the guest.
	ARPFromGuest Reason = "arp-from-guest"
	// IPv4FromGuest: IPv4 with another source than an extra address of the guest.
	IPv4FromGuest Reason = "ipv4-from-guest"
	// RAFromGuest: a router advertisement by a guest.
	RAFromGuest Reason = "ra-from-guest"
	// RedirectFromGuest: a redirect by a guest.
	RedirectFromGuest Reason = "redirect-from-guest"
	// DHCPFromGuest: what only a DHCP server sends, of IPv4 or IPv6.
	DHCPFromGuest Reason = "dhcp-from-guest"
	// FragmentedNDFromGuest: neighbour discovery in fragments (RFC 6980).
	FragmentedNDFromGuest Reason = "fragmented-nd-from-guest"
	// HiddenNDFromGuest: neighbour discovery behind extension headers.
	HiddenNDFromGuest Reason = "hidden-nd-from-guest"
	// NDFromGuest: a neighbour advertisement for an address of somebody else, or
	// the claim to one (duplicate address detection).
	NDFromGuest Reason = "nd-from-guest"
	// NDOptionFromGuest: neighbour discovery with a hardware address inside that
	// is not the guest's, or with options where that can't be seen.
	NDOptionFromGuest Reason = "nd-option-from-guest"
	// ICMPFromGuest: ICMPv6 of types that are not for guests to send, such as MLD
	// queries, or cut off before the type.
	ICMPFromGuest Reason = "icmp-from-guest"
	// MalformedFromGuest: with extension headers that lead nowhere.
	MalformedFromGuest Reason = "malformed-from-guest"
	// RSLimitFromGuest: more router solicitations than a port may send.
	RSLimitFromGuest Reason = "rs-limit-from-guest"
	// NSLimitFromGuest: more neighbour solicitations for addresses that nobody is
	// known to have than a port may send.
	NSLimitFromGuest Reason = "ns-limit-from-guest"
	// AbsentLimitFromGuest: more packets to addresses of the /64 that nobody is
	// known to have than a port may send.
	AbsentLimitFromGuest Reason = "absent-limit-from-guest"
	// NewLimitFromGuest: more new source addresses than a port may have. Each is
	// an entry in the host's neighbour table.
	NewLimitFromGuest Reason = "new-limit-from-guest"
	// GuestToGuest: bridged between two guests, where they are isolated.
	GuestToGuest Reason = "guest-to-guest"
)

// Reasons lists all of them.
func Reasons() []Reason {
	return []Reason{
		GuestToUplink, UplinkToGuest,
		RAFromUplink, RSFromUplink, RedirectFromUplink, NDFromUplink, NAT64FromUplink, DNSFromUplink, OwnSourceFromUplink,
		StackedVLANFromUplink, AbsentFromUplink,
		RAToUplink, RedirectOut, NDInsidePrefixToUplink, InsidePrefixToUplink, LinkLocalToUplink, OwnToUplink, ForeignSourceToUplink,
		MACFromGuest, SourceFromGuest, UnlistedFromGuest, EthertypeFromGuest, ARPFromGuest, IPv4FromGuest,
		RAFromGuest, RedirectFromGuest, DHCPFromGuest, FragmentedNDFromGuest, HiddenNDFromGuest, NDFromGuest, NDOptionFromGuest,
		ICMPFromGuest, MalformedFromGuest, RSLimitFromGuest, NSLimitFromGuest, AbsentLimitFromGuest, NewLimitFromGuest,
		GuestToGuest,
	}
}

// Text says what was dropped in a few words, which are the comment of the rules
// that drop it as `nft list` shows them.
func (r Reason) Text() string {
	switch r {
	case GuestToUplink:
		return "bridged from a guest to the provider, for whom the host routes"
	case UplinkToGuest:
		return "bridged from the provider to a guest, for whom the host routes"
	case RAFromUplink:
		return "a router advertisement from the provider"
	case RSFromUplink:
		return "a router solicitation from the provider"
	case RedirectFromUplink:
		return "a redirect from the provider"
	case NDFromUplink:
		return "neighbour discovery from the provider about a guest"
	case NAT64FromUplink:
		return "from the provider to NAT64"
	case DNSFromUplink:
		return "from the provider to the DNS of the guests"
	case OwnSourceFromUplink:
		return "from the provider with a source that is ours"
	case StackedVLANFromUplink:
		return "from the provider with more than one VLAN tag"
	case AbsentFromUplink:
		return "from the provider to more addresses than the host should ask for"
	case RAToUplink:
		return "a router advertisement of the host to the provider"
	case RedirectOut:
		return "a redirect of the host: guests shall not learn the router of the provider"
	case NDInsidePrefixToUplink:
		return "neighbour discovery of the host about a guest, to the provider"
	case InsidePrefixToUplink:
		return "to a guest or to NAT64, but on its way to the provider"
	case OwnToUplink:
		return "to the host, but on its way to the provider, who would send it back"
	case LinkLocalToUplink:
		return "from a link-local address, forwarded as guests and uplink are on one bridge"
	case ForeignSourceToUplink:
		return "to the provider with another MAC than that of the NIC"
	case MACFromGuest:
		return "from a guest with the MAC of somebody else"
	case SourceFromGuest:
		return "from a guest with the address of somebody else"
	case UnlistedFromGuest:
		return "from a port without a guest in the list"
	case EthertypeFromGuest:
		return "from a guest, neither IPv6 nor its ARP and IPv4, or with a tag"
	case ARPFromGuest:
		return "ARP of a guest about what is not its own"
	case IPv4FromGuest:
		return "IPv4 of a guest from an address that is not its own"
	case RAFromGuest:
		return "a router advertisement of a guest"
	case RedirectFromGuest:
		return "a redirect of a guest"
	case DHCPFromGuest:
		return "what only a DHCP server sends, from a guest"
	case FragmentedNDFromGuest:
		return "neighbour discovery of a guest in fragments"
	case HiddenNDFromGuest:
		return "neighbour discovery of a guest behind extension headers"
	case NDFromGuest:
		return "neighbour discovery of a guest about an address of somebody else"
	case NDOptionFromGuest:
		return "neighbour discovery of a guest with the MAC of somebody else inside"
	case ICMPFromGuest:
		return "ICMPv6 that is not for guests to send"
	case MalformedFromGuest:
		return "from a guest with headers that lead nowhere"
	case RSLimitFromGuest:
		return "more router solicitations than a port may send"
	case NSLimitFromGuest:
		return "more solicitations for nobody than a port may send"
	case AbsentLimitFromGuest:
		return "more packets to nobody than a port may send"
	case NewLimitFromGuest:
		return "more new addresses than a port may have"
	case GuestToGuest:
		return "bridged between guests that are kept apart"
	}
	return string(r)
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
