package proof

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/slaac"
)

// Config says what is the host's own.
type Config struct {
	// Uplink is the NIC towards the provider. Required.
	Uplink string
	// MAC is its hardware address. Required.
	MAC slaac.MAC
	// Host are the host's IPv6 addresses; that which follows from MAC need not be
	// listed. Multicast from others is a guest's.
	Host []netip.Addr
}

// Counts is a reading.
type Counts struct {
	// Frames are all that left.
	Frames uint64 `json:"frames"`
	// ForeignSource had another source MAC than the NIC's.
	ForeignSource uint64 `json:"foreign_source"`
	RouterAdverts uint64 `json:"router_adverts"`
	Redirects     uint64 `json:"redirects"`
	// GuestMulticast was IPv6 multicast with a source that is not the host's.
	GuestMulticast uint64 `json:"guest_multicast"`
	// Unread could not be looked into.
	Unread uint64 `json:"unread"`
}

// Clean reports whether nothing left that should not have.
func (c Counts) Clean() bool {
	return c.ForeignSource == 0 && c.RouterAdverts == 0 && c.Redirects == 0 && c.GuestMulticast == 0 && c.Unread == 0
}

// String is for a reader.
func (c Counts) String() string {
	return fmt.Sprintf("%d frames, of them %d with a foreign source MAC, %d router advertisements, %d redirects, %d guests' multicast, %d that could not be read",
		c.Frames, c.ForeignSource, c.RouterAdverts, c.Redirects, c.GuestMulticast, c.Unread)
}

// tableName is that of the nftables way, in the netdev family.
const tableName = "sixhost_proof"

// last is behind every priority that others use.
const last = 1000

func (c Config) own() []netip.Addr {
	list := []netip.Addr{slaac.LinkLocal(c.MAC)}
	for _, a := range c.Host {
		if a = a.WithZone(""); a.Is6() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// table is the nftables way.
func (c Config) table() *nft.Table {
	var own []string
	for _, a := range c.own() {
		own = append(own, a.String())
	}
	count := func(name string, matches ...nft.Expr) nft.Rule {
		return nft.NewRule("", append(matches, nft.CountIn(name))...)
	}
	return &nft.Table{
		Family: nft.NetDev, Name: tableName, Comment: "sixhost owns this table: what leaves by the uplink is counted here, nothing is dropped",
		Counters: []string{"frames", "foreign-source", "router-adverts", "redirects", "guest-multicast"},
		Sets:     []nft.Set{nft.NewSet("own", nft.IPv6Addr, own...)},
		Chains: []nft.Chain{{Name: "proof", Type: "filter", Hook: "egress", Device: c.Uplink, Priority: last, Policy: "accept", Rules: []nft.Rule{
			count("frames"),
			count("foreign-source", nft.Invert(nft.EtherSaddr(c.MAC))),
			count("router-adverts", nft.ICMPv6Type(nft.RouterAdvert)),
			count("redirects", nft.ICMPv6Type(nft.Redirect6)),
			count("guest-multicast", nft.Daddr(netip.PrefixFrom(netip.MustParseAddr("ff00::"), 8)), nft.Invert(nft.In(nft.KindIP6Saddr, "own")), nft.Invert(nft.SaddrIs(netip.IPv6Unspecified()))),
		}}},
	}
}
