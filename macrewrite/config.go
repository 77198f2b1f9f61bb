package macrewrite

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// Kind is how a provider's router reaches the addresses of the /64.
type Kind string

const (
	// Routed: the provider routes the whole /64 to the host's link-local address
	// and asks for no address in it.
	Routed Kind = "routed"
	// OnLink: the provider's router asks the segment for each address of the /64,
	// and other hosts may have some. An [Answerer] answers for the guests.
	OnLink Kind = "on-link"
)

// Unlisted says what becomes of frames from ports without a guest in
// Config.Guests.
type Unlisted string

const (
	// UnlistedStrict takes them for guests' and applies all rules that need no
	// list: IPv6 alone, no MAC or address of the list, the host or a gateway, few addresses.
	UnlistedStrict Unlisted = "strict"
	// UnlistedDrop drops whatever comes from there.
	UnlistedDrop Unlisted = "drop"
)

// Guest is one guest as the edge sees it. It is a value: whoever knows the
// guests hands in a new list whenever one comes, goes or changes, and [Plan]
// changes the table's elements in place.
type Guest struct {
	// Name is for messages alone.
	Name string `json:"name,omitempty"`
	// Port is the guest's port of the bridge, such as vnet3. Without it, as long
	// as it is not known, the guest may come in by any port that no other has.
	Port string `json:"port,omitempty"`
	// MAC is the only one the guest may use. Required.
	MAC slaac.MAC `json:"mac"`
	// Addrs are IPv6 addresses that the guest may use beside its link-local
	// address and that in the /64, both with the EUI-64 of MAC.
	Addrs []netip.Addr `json:"addrs,omitempty"`
	// ExtraIPv4 are IPv4 addresses that the guest may use. A guest with none
	// speaks no IPv4 and no ARP.
	ExtraIPv4 []netip.Addr `json:"extra_ipv4,omitempty"`
	// Open lets the guest take addresses of the /64 that are nobody's by the list, such as
	// privacy addresses (RFC 8981), a few new ones at a time.
	Open bool `json:"open,omitempty"`
}

// Neighbor is an address and the hardware address that has it.
type Neighbor struct {
	Addr netip.Addr `json:"addr"`
	MAC  slaac.MAC  `json:"mac"`
}

// Config says what the edge has to know of the host.
type Config struct {
	// Kind of the provider; empty means Routed. [Detect] finds out.
	Kind Kind `json:"kind,omitempty"`
	// Uplink is the NIC towards the provider, a port of the bridge. Required.
	Uplink string `json:"uplink"`
	// Bridge is the guests' bridge; empty means "br0".
	Bridge string `json:"bridge,omitempty"`
	// MAC is the NIC's hardware address, which the bridge has too. Required.
	MAC slaac.MAC `json:"mac"`
	// Prefix is the guests' /64. Required.
	Prefix netip.Prefix `json:"prefix"`
	// NAT64 are the prefixes of the host's NAT64, out of reach from outside.
	NAT64 []netip.Prefix `json:"nat64,omitempty"`
	// GuestDNS are the addresses and ports on which the host answers DNS for
	// its guests, out of reach from outside. An unspecified address means all
	// addresses of the host.
	GuestDNS []netip.AddrPort `json:"guest_dns,omitempty"`
	// Host are the host's own addresses, IPv4 and IPv6; while it moves to
	// another address, the old and the new. The link-local address that follows
	// from MAC need not be listed. The provider may ask for them, guests and
	// strangers can't use them as a source from outside.
	Host []netip.Addr `json:"host,omitempty"`
	// Gateways are the provider's routers, IPv4 and IPv6. One inside Prefix
	// would be taken for a guest if it were not listed; one outside passes in
	// any case, but for link-local addresses of the form fe80::5054:ff:fe..:....
	// that a guest's MAC in 52:54:00 would give.
	Gateways []netip.Addr `json:"gateways,omitempty"`
	// GatewayMACs are the hardware addresses of gateways, as far as they are
	// known. With one, packets from a gateway inside Prefix must come from it; its
	// neighbour discovery need not, so that a router that was replaced is found.
	GatewayMACs []Neighbor `json:"gateway_macs,omitempty"`
	// Guests are the guests that are there. This is the one way to tell of them:
	// a changed list is a changed Config.
	Guests []Guest `json:"guests,omitempty"`
	// Unlisted says what becomes of ports with none of Guests; empty means
	// UnlistedStrict.
	Unlisted Unlisted `json:"unlisted,omitempty"`
	// OtherPorts are ports of other bridges of this network namespace. The
	// bridge family is one for all of them: without being listed here they would
	// be taken for ports of guests.
	OtherPorts []string `json:"other_ports,omitempty"`
	// Isolate bridges nothing between guests. Their router advertisements must say
	// that the /64 is not on-link (L=0) then, and they reach each other through
	// the host, where its policy lets them. See [Config.OffLink].
	Isolate bool `json:"isolate,omitempty"`
}

// OffLink reports whether router advertisements must say that the /64 is not
// on-link: where nothing is bridged between guests, and where some of the /64
// is on the provider's segment, which only the host reaches.
func (c Config) OffLink() bool { return c.Isolate || c.Kind == OnLink }

// withDefaults fills in what is empty and puts values into their one form.
func (c Config) withDefaults() Config {
	if c.Bridge == "" {
		c.Bridge = "br0"
	}
	if c.Kind == "" {
		c.Kind = Routed
	}
	if c.Unlisted == "" {
		c.Unlisted = UnlistedStrict
	}
	plain := func(in []netip.Addr) []netip.Addr {
		var out []netip.Addr
		for _, a := range in {
			out = append(out, a.Unmap().WithZone(""))
		}
		slices.SortFunc(out, netip.Addr.Compare)
		return slices.Compact(out)
	}
	c.Host = plain(append(slices.Clone(c.Host), slaac.LinkLocal(c.MAC)))
	c.Gateways = plain(c.Gateways)
	var dns []netip.AddrPort
	for _, d := range c.GuestDNS {
		a := d.Addr().Unmap().WithZone("")
		if !a.IsUnspecified() {
			dns = append(dns, netip.AddrPortFrom(a, d.Port()))
			continue
		}
		for _, h := range c.Host {
			// A listener on [::] takes IPv4 too.
			if a.Is6() || h.Is4() {
				dns = append(dns, netip.AddrPortFrom(h, d.Port()))
			}
		}
	}
	slices.SortFunc(dns, netip.AddrPort.Compare)
	c.GuestDNS = slices.Compact(dns)
	return c
}

// check refuses what can't be served, with a [*plan.Refusal].
func (c Config) check() error {
	refuse := func(subject, format string, args ...any) error {
		return &plan.Refusal{Subject: subject, Reason: fmt.Sprintf(format, args...)}
	}
	if c.Uplink == "" {
		return refuse("uplink", "is missing; name the interface towards the provider")
	}
	full := c.withDefaults()
	for _, n := range []struct{ field, name string }{{"uplink", c.Uplink}, {"bridge", full.Bridge}} {
		if !nft.ValidIfName(n.name) {
			return refuse(n.field, "%q is not a name an interface can have", n.name)
		}
	}
	switch {
	case c.Uplink == full.Bridge:
		return refuse("uplink", "%s is named as the bridge too; the uplink is a port of the bridge", c.Uplink)
	case c.MAC.IsZero():
		return refuse("MAC", "is missing; it is that of the uplink %s", c.Uplink)
	case c.MAC.IsMulticast():
		return refuse("MAC", "%s is a group address, which no interface has", c.MAC)
	case !c.Prefix.IsValid():
		return refuse("prefix", "is missing; it is the guests' /64")
	case !c.Prefix.Addr().Is6() || c.Prefix.Addr().Is4In6() || c.Prefix.Bits() != 64:
		return refuse("prefix", "%s is not an IPv6 /64", c.Prefix)
	case c.Prefix.Masked() != c.Prefix:
		return refuse("prefix", "%s has bits behind the /64; did you mean %s?", c.Prefix, c.Prefix.Masked())
	case !c.Prefix.Addr().IsGlobalUnicast():
		return refuse("prefix", "%s is not unicast space for guests", c.Prefix)
	}
	for _, p := range c.NAT64 {
		if !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6() || p.Bits() < 32 || p.Bits() > 96 {
			return refuse("NAT64 prefix", "%s is not an IPv6 prefix of 32 to 96 bits", p)
		}
		if p.Overlaps(c.Prefix) && p.Bits() <= c.Prefix.Bits() {
			return refuse("NAT64 prefix", "%s covers the guests' %s", p, c.Prefix)
		}
	}
	for _, d := range c.GuestDNS {
		if !d.IsValid() || d.Port() == 0 {
			return refuse("guest DNS", "%s is not an address and port", d)
		}
	}
	for _, l := range []struct {
		field string
		addrs []netip.Addr
	}{{"host address", c.Host}, {"gateway", c.Gateways}} {
		for _, a := range l.addrs {
			if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
				return refuse(l.field, "%s is not an address of an interface", a)
			}
		}
	}
	switch {
	case full.Kind != Routed && full.Kind != OnLink:
		return refuse("provider", "%q is none of routed and on-link", c.Kind)
	case full.Unlisted != UnlistedStrict && full.Unlisted != UnlistedDrop:
		return refuse("unlisted", "%q is none of strict and drop", c.Unlisted)
	}
	for _, n := range c.OtherPorts {
		switch {
		case !nft.ValidIfName(n):
			return refuse("other port", "%q is not a name an interface can have", n)
		case n == c.Uplink:
			return refuse("other port", "%s is the uplink", n)
		}
	}
	for _, n := range c.GatewayMACs {
		if !slices.Contains(full.Gateways, n.Addr.Unmap().WithZone("")) {
			return refuse("gateway MAC", "%s is not among the gateways", n.Addr)
		}
		if n.MAC.IsZero() || n.MAC.IsMulticast() || n.MAC == c.MAC {
			return refuse("gateway MAC", "%s is not that of another machine", n.MAC)
		}
	}
	if err := full.checkGuests(); err != nil {
		return err
	}
	for _, a := range c.Gateways {
		if slices.Contains(full.Host, a.Unmap().WithZone("")) {
			return refuse("gateway", "%s is the host's own address", a)
		}
	}
	return nil
}
