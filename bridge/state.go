package bridge

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/sixhost/sixhost/slaac"
)

// Scope names the two links that this package owns.
type Scope struct {
	// Uplink is the NIC towards the provider.
	Uplink string `json:"uplink"`
	// Bridge is the link that takes over its identity.
	Bridge string `json:"bridge"`
	// Foreign is the protocol of routes that are somebody else's; see
	// Config.Foreign.
	Foreign int `json:"foreign,omitempty"`
}

// State is what this package owns on a host: the scope's links with all that
// hangs on them. It marshals to JSON. Addresses stand in the kernel's order,
// which decides what is the source of new connections; other lists are sorted.
type State struct {
	Scope
	// Links of the scope that exist.
	Links []Link `json:"links"`
	// Addrs on these links.
	Addrs []Addr `json:"addrs"`
	// Routes that leave through these links, all tables, but for those that the
	// kernel makes by itself from addresses.
	Routes []Route `json:"routes"`
	// Rules of the routing policy that name these links, with all others of the
	// same priority, in the kernel's order.
	Rules []Rule `json:"rules,omitempty"`
	// Neighbors that are permanent, and those entries of gateways that spare a
	// moved route its first resolution.
	Neighbors []Neighbor `json:"neighbors,omitempty"`
	// Sysctls by their path below /proc/sys, with slashes.
	Sysctls map[string]string `json:"sysctls"`
	// Retiring addresses are wanted, deprecated, until a change is confirmed.
	Retiring []Addr `json:"retiring,omitempty"`
	// Bypass: what arrives at the uplink is led past its change of place, which
	// lasts only as long as that.
	Bypass bool `json:"bypass,omitempty"`
	// Ports are the bridge's ports other than the uplink.
	Ports []string `json:"ports,omitempty"`
	// NeighborLimit is how many neighbours the machine is wanted to have room
	// for, of each family; 0 if there is no wish, as in captured states.
	NeighborLimit int `json:"neighbor_limit,omitempty"`
	// Uptime is when the state was captured, by the clock since the boot that
	// nobody sets; zero in wanted states. Remaining lifetimes count from there. A
	// capture is of no use after a reboot, so that the boot needs no name.
	Uptime time.Duration `json:"uptime,omitempty"`
	// Unsupported describes what was found that can't be moved.
	Unsupported []string `json:"unsupported,omitempty"`
	// Elsewhere are the default routes that leave through other links.
	Elsewhere []Route `json:"elsewhere,omitempty"`
}

// Link is a network interface.
type Link struct {
	Name string    `json:"name"`
	Kind string    `json:"kind"` // "device", "bridge", "veth", "vlan", "bond", ...
	MAC  slaac.MAC `json:"mac"`
	MTU  int       `json:"mtu"`
	Up   bool      `json:"up"`
	// Master is the link this one is a port of, "" if none, and MasterKind what
	// that is.
	Master     string `json:"master,omitempty"`
	MasterKind string `json:"master_kind,omitempty"`
	// Parent is the link that a VLAN, macvlan or ipvlan stands on.
	Parent string `json:"parent,omitempty"`
	// Ethernet tells links that carry Ethernet frames.
	Ethernet bool `json:"ethernet"`
	// Wireless tells links that can't be a bridge's port for more than one MAC.
	Wireless bool `json:"wireless,omitempty"`
	// TxQueueLen is how many packets may wait to be sent.
	TxQueueLen int `json:"tx_queue_len,omitempty"`
	// RxQueues and TxQueues are how many queues the driver has. They are its own
	// affair, and stay as they are.
	RxQueues int `json:"rx_queues,omitempty"`
	TxQueues int `json:"tx_queues,omitempty"`
	// STP tells that a bridge takes part in the spanning tree, and ForwardDelay
	// how long a port of it then listens, and again learns, before it forwards.
	STP          bool          `json:"stp,omitempty"`
	ForwardDelay time.Duration `json:"forward_delay,omitempty"`
	// GroupForward of a bridge are the group addresses 01-80-C2-00-00-00 to -0F
	// (IEEE 802.1Q, 8.6.3), a bit each, that it forwards. Frames to the others the
	// kernel gives to the port's own IP stack, past all rules of the bridge family.
	GroupForward uint16 `json:"group_forward,omitempty"`
	// MulticastSnooping of a bridge.
	MulticastSnooping bool `json:"multicast_snooping,omitempty"`
}

// Forever is the lifetime of addresses that don't expire.
const Forever = time.Duration(1<<63 - 1)

// Addr is one address of a link.
type Addr struct {
	Link   string       `json:"link"`
	Prefix netip.Prefix `json:"prefix"` // address and length
	// Peer is the other end's prefix where that is not the own one.
	Peer      netip.Prefix `json:"peer,omitzero"`
	Broadcast netip.Addr   `json:"broadcast,omitzero"`
	Label     string       `json:"label,omitempty"`
	Scope     int          `json:"scope"`
	// NoPrefixRoute: the kernel makes no route for the prefix.
	NoPrefixRoute bool `json:"no_prefix_route,omitempty"`
	// Metric of the route that the kernel makes for the prefix; 0 is its default.
	Metric int `json:"metric,omitempty"`
	// Protocol is who made the address, as far as the kernel was told.
	Protocol int `json:"protocol,omitempty"`
	// NoDAD is the mark that an IPv6 address skipped duplicate address detection.
	// Every address is added without; those wanted without the mark lose it again.
	NoDAD bool `json:"nodad,omitempty"`
	// Home: it is a home address (RFC 6275).
	Home bool `json:"home,omitempty"`
	// AutoJoin: it is a multicast address whose group is joined.
	AutoJoin bool `json:"auto_join,omitempty"`
	// ManageTempAddr: privacy addresses are made from it.
	ManageTempAddr bool `json:"manage_temp_addr,omitempty"`
	// Temporary: the kernel made it as a privacy address (RFC 8981).
	Temporary bool `json:"temporary,omitempty"`
	// Preferred and Valid are the remaining lifetimes, Forever if unlimited.
	// A preferred lifetime of 0 is a deprecated address.
	Preferred time.Duration `json:"preferred"`
	Valid     time.Duration `json:"valid"`
}

// finite reports whether the address expires.
func (a Addr) finite() bool { return a.Valid != Forever }

// Route is a route that leaves through a link. It is comparable.
type Route struct {
	// Link is the scope's link that the route, or one of its Hops, leaves through.
	Link     string       `json:"link"`
	Family   int          `json:"family"` // 4 or 6
	Table    int          `json:"table"`
	Type     int          `json:"type"`
	Dst      netip.Prefix `json:"dst"` // 0.0.0.0/0 or ::/0 is the default route
	Via      netip.Addr   `json:"via,omitzero"`
	OnLink   bool         `json:"onlink,omitempty"`
	Source   netip.Addr   `json:"source,omitzero"` // preferred source address
	Metric   int          `json:"metric"`
	TOS      int          `json:"tos,omitempty"`
	Scope    int          `json:"scope"`
	Protocol int          `json:"protocol"`
	MTU      int          `json:"mtu,omitempty"`
	AdvMSS   int          `json:"advmss,omitempty"`
	HopLimit int          `json:"hop_limit,omitempty"`
	// From is the source prefix of an IPv6 route for some sources only.
	From netip.Prefix `json:"from,omitzero"`
	// Hops are the next hops of a route that has several; Via and OnLink are
	// then not set.
	Hops Hops `json:"hops,omitzero"`
	// Preference of an IPv6 route among routers: 0 medium, 1 high, 3 low (RFC
	// 4191, 2.1).
	Preference int `json:"preference,omitempty"`
	// Realm as ip-route(8) knows it.
	Realm   int     `json:"realm,omitempty"`
	Metrics Metrics `json:"metrics,omitzero"`
	// Expires is the remaining lifetime, 0 if unlimited.
	Expires time.Duration `json:"expires,omitempty"`
}

// isDefault reports whether the route is a default route of the main table.
func (r Route) isDefault() bool { return r.Dst.Bits() == 0 && r.Table == mainTable }

// dynamic reports whether the route is gone some day unless it is renewed.
func (r Route) dynamic() bool { return r.Expires != 0 || r.Protocol == protocolRA }

// Neighbor is an entry of the neighbour table.
type Neighbor struct {
	Link string     `json:"link"`
	IP   netip.Addr `json:"ip"`
	MAC  slaac.MAC  `json:"mac"`
	// Permanent entries are configuration; others were learned.
	Permanent bool `json:"permanent,omitempty"`
	// Proxy entries have no MAC: the host answers for the address.
	Proxy bool `json:"proxy,omitempty"`
	// Router marks a neighbour as one (RFC 4861, 7.2.5).
	Router bool `json:"router,omitempty"`
	// Protocol is who made the entry, as far as the kernel was told.
	Protocol int `json:"protocol,omitempty"`
}

// Names of what exists only while the uplink changes its place: an nftables
// table of the netdev family, and a pair of links.
const (
	bypassTable = "sixhost_bypass"
	bypassOut   = "sixhost-by0" // what arrived is sent out of it
	bypassIn    = "sixhost-by1" // and received here
)

// TransientLinks are the names of the links that exist only for the moment in
// which the uplink changes its place.
func TransientLinks() []string { return []string{bypassOut, bypassIn} }

// Numbers of rtnetlink(7) that the pure code needs on every system.
const (
	mainTable      = 254
	protocolKernel = 2
	protocolRA     = 9
	protocolDHCP   = 16
	scopeLink      = 253
)

// addrID is what makes an address one that can exist once.
type addrID struct {
	link         string
	prefix, peer netip.Prefix
}

func (a Addr) id() addrID { return addrID{a.Link, a.Prefix, a.Peer} }

// same reports whether two addresses mean the same; remaining lifetimes count
// down by themselves, and who made one does not matter once it is there.
func (a Addr) same(b Addr) bool {
	norm := func(a Addr) Addr {
		if a.finite() {
			a.Valid = 0
		}
		if a.Preferred != 0 && a.Preferred != Forever {
			a.Preferred = 1
		}
		a.Protocol = 0
		return a
	}
	return norm(a) == norm(b)
}

// routeID is what the kernel replaces a route by.
type routeID struct {
	family, table, metric, tos int
	dst, from                  netip.Prefix
}

func (r Route) id() routeID { return routeID{r.Family, r.Table, r.Metric, r.TOS, r.Dst, r.From} }

// same reports whether two routes mean the same; a remaining lifetime counts
// down by itself.
func (r Route) same(o Route) bool {
	if r.Expires != 0 && o.Expires != 0 {
		r.Expires = o.Expires
	}
	return r == o
}

// sort brings lists into their one order.
func (s *State) sort() {
	byRoute := func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Metric, b.Metric),
			// Longer prefixes first: a gateway's own route before the routes over it.
			cmp.Compare(b.Dst.Bits(), a.Dst.Bits()), a.Dst.Addr().Compare(b.Dst.Addr()), a.Via.Compare(b.Via), cmp.Compare(a.Link, b.Link))
	}
	slices.SortStableFunc(s.Routes, byRoute)
	slices.SortStableFunc(s.Elsewhere, byRoute)
	slices.SortStableFunc(s.Neighbors, func(a, b Neighbor) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.IP.Compare(b.IP), boolCompare(a.Proxy, b.Proxy))
	})
}

// link returns the state's link of a name.
func (s State) link(name string) (Link, bool) {
	for _, l := range s.Links {
		if l.Name == name {
			return l, true
		}
	}
	return Link{}, false
}

// followsAddr tells a route that the kernel has made from an address and takes
// away with it. Others of its name are made by network managers, for addresses
// without one.
func (s *State) followsAddr(r Route) bool {
	return slices.ContainsFunc(s.Addrs, func(a Addr) bool {
		if a.Link != r.Link || a.Prefix.Addr().Is4() != (r.Family == 4) {
			return false
		}
		if a.Peer.IsValid() && r.Family == 6 && r.Dst == netip.PrefixFrom(a.Peer.Addr(), 128) {
			return true // asked for or not
		}
		if a.NoPrefixRoute {
			return false
		}
		if a.Peer.IsValid() && (r.Family == 6 && r.Dst == netip.PrefixFrom(a.Prefix.Addr(), 128) || r.Dst == a.Peer.Masked()) {
			return true
		}
		// Whatever its metric: where addresses share a prefix and not that, the
		// kernel takes one's route for the other's.
		return r.Dst == a.Prefix.Masked()
	})
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
