package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/plan"
)

// Scope says which part of a host a State is about.
type Scope struct {
	Device    string       `json:"device"`
	GuestLink string       `json:"guest_link"`
	Uplink    string       `json:"uplink"`
	Prefix    nat64.Prefix `json:"prefix"`
	Pool      netip.Prefix `json:"pool"`
	// Pins is where the fast path is pinned, empty for none.
	Pins string `json:"pins,omitempty"`
	// Mappings is the file of the mappings kept, "" for none.
	Mappings string `json:"mappings,omitempty"`
}

// State is what this package owns on a host, as wanted or as found. It marshals
// to JSON.
type State struct {
	Scope
	// Link is the TUN device, nil where there is none.
	Link *Link `json:"link,omitempty"`
	// Routes that lead to the device, but those the kernel makes itself.
	Routes []Route `json:"routes,omitempty"`
	// Sysctls by their path below /proc/sys. Those of links that don't exist
	// are absent; those absent from a wanted state are left alone.
	Sysctls map[string]string `json:"sysctls,omitempty"`
	// Table are the firewall rules, nil where there are none.
	Table *nft.Table `json:"table,omitempty"`
	// Fast is the fast path, nil where there is none.
	Fast *Fast `json:"fast,omitempty"`
	// NoFast says why there can be none; only captured.
	NoFast string `json:"no_fast,omitempty"`
	// Stamp are the rules that tell guests' ports apart, nil where there are none.
	Stamp *nft.Table `json:"stamp,omitempty"`
	// Kept says that there is a file of mappings.
	Kept bool `json:"kept,omitempty"`
	// GuestMTU is the MTU of the guests' link, 0 where there is none; only
	// captured.
	GuestMTU int `json:"guest_mtu,omitempty"`
	// Forwards says that the host forwards IPv4 between all links; only captured.
	Forwards bool `json:"forwards,omitempty"`
	// InUse are routes and addresses of others that overlap Pool or Prefix;
	// only captured.
	InUse []InUse `json:"in_use,omitempty"`
}

// Link is the TUN device.
type Link struct {
	// Kind as the kernel has it: "tuntap" is what we make.
	Kind string `json:"kind"`
	// Tun says that it carries IP packets and not frames.
	Tun        bool `json:"tun"`
	Persistent bool `json:"persistent"`
	MultiQueue bool `json:"multi_queue"`
	MTU        int  `json:"mtu"`
	Up         bool `json:"up"`
}

// ours reports whether this is a device as the plan makes it.
func (l Link) ours() bool { return l.Kind == kindTun && l.Tun && l.Persistent && l.MultiQueue }

// Route leads to the device.
type Route struct {
	Dst netip.Prefix `json:"dst"`
	// MTU of the route, 0 for the device's.
	MTU int `json:"mtu,omitempty"`
	// Metric; the kernel's own for IPv6 is 1024.
	Metric int `json:"metric,omitempty"`
	// Table number; 254 is main.
	Table int `json:"table"`
}

// InUse is a route or address of somebody else's.
type InUse struct {
	Prefix netip.Prefix `json:"prefix"`
	// Link it leads to or stands on, where there is one.
	Link string `json:"link,omitempty"`
}

const (
	kindTun = "tuntap"
	// mtu6 is the device's, what Ethernet carries, where the guests' link has no
	// smaller one.
	mtu6 = 1500
	// longer is by how much a packet grows when it becomes one of IPv6. The MTU of
	// the route to the pool leaves room for it, so that the kernel itself answers
	// "fragmentation needed".
	longer = 20
	// mainTable and metric6 are what `ip route` and the kernel use.
	mainTable = 254
	metric6   = 1024
)

func forwarding4(link string) string { return "net/ipv4/conf/" + link + "/forwarding" }

// addrGenMode: the device has no hardware address to make a link-local one of,
// and needs none; without it the kernel solicits no routers there.
func addrGenMode(link string) string { return "net/ipv6/conf/" + link + "/addr_gen_mode" }

// State returns the gateway that c describes, on the host that is there, or a
// [*plan.Refusal].
func (c Config) State(there State) (State, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return State{}, err
	}
	if l := there.Link; l != nil && !l.ours() {
		return State{}, &plan.Refusal{Subject: "device " + c.Device, Err: ErrDevice,
			Reason: "exists, and is not a persistent TUN device with several queues; remove it, or name another device"}
	}
	for _, u := range there.InUse {
		subject, mine, field := "pool", c.Pool, "pool"
		if !u.Prefix.Addr().Is4() {
			subject, mine, field = "NAT64 prefix", c.Prefix.Prefix(), "prefix"
		}
		if !u.Prefix.Overlaps(mine) {
			continue
		}
		by := ""
		if u.Link != "" {
			by = " by " + u.Link
		}
		return State{}, &plan.Refusal{Subject: subject, Err: ErrOverlap,
			Reason: fmt.Sprintf("%s is already reached%s here, which %s overlaps; choose another %s", u.Prefix, by, mine, field)}
	}
	table, stamp := c.fenced(c.rules(), there), c.stamp()
	for _, t := range []*nft.Table{table, stamp} {
		if err := t.Check(); err != nil {
			return State{}, fmt.Errorf("make gateway rules: %w", err)
		}
	}
	return State{
		Scope: c.Scope(),
		Link:  &Link{Kind: kindTun, Tun: true, Persistent: true, MultiQueue: true, MTU: there.mtu6(), Up: true},
		Routes: []Route{
			{Dst: c.Pool, MTU: there.mtu6() - longer, Table: mainTable},
			{Dst: c.Prefix.Prefix(), Metric: metric6, Table: mainTable},
		},
		Sysctls: map[string]string{
			addrGenMode(c.Device):    "1",
			forwarding4(c.Device):    "1",
			forwarding4(c.GuestLink): "1",
			forwarding4(c.Uplink):    "1",
		},
		Table: table,
		Fast:  c.fast(there),
		Stamp: stamp,
		Kept:  there.Kept,
	}, nil
}

// sort puts a captured state into its one form.
func (s *State) sort() {
	slices.SortFunc(s.Routes, compareRoute)
	slices.SortFunc(s.InUse, func(a, b InUse) int {
		if d := comparePrefix(a.Prefix, b.Prefix); d != 0 {
			return d
		}
		return strings.Compare(a.Link, b.Link)
	})
	s.InUse = slices.Compact(s.InUse)
}

func compareRoute(a, b Route) int {
	if d := comparePrefix(a.Dst, b.Dst); d != 0 {
		return d
	}
	if a.Table != b.Table {
		return a.Table - b.Table
	}
	return a.Metric - b.Metric
}

func comparePrefix(a, b netip.Prefix) int {
	if d := a.Addr().Compare(b.Addr()); d != 0 {
		return d
	}
	return a.Bits() - b.Bits()
}

// inTheWay reports whether somebody else's route or address keeps the pool or
// the prefix from being ours. Routes for whole parts of the Internet don't.
func (s Scope) inTheWay(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() >= 4 && p.Overlaps(s.Pool)
	}
	// An IPv6 block that the prefix is a part of may well be routed, to nowhere
	// in particular or to the host itself.
	return s.Prefix.IsValid() && p.Bits() >= s.Prefix.Bits() && s.Prefix.Contains(p.Addr())
}
