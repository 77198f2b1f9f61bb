package bridge

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sixhost/sixhost/plan"
)

// Why a wish can't be served; matched with errors.Is through a *plan.Refusal.
var (
	ErrNoUplink        = errors.New("no such uplink")
	ErrAmbiguousUplink = errors.New("default routes on different links")
	ErrWireless        = errors.New("uplink is wireless")
	ErrEnslaved        = errors.New("uplink is a port of another link")
	ErrNotEthernet     = errors.New("uplink is not an Ethernet link")
	ErrNotBridge       = errors.New("a link of the bridge's name is no bridge")
	ErrNoPrefix        = errors.New("no /64")
	ErrAddress         = errors.New("address can't be the host's")
	// ErrUnsupportedSetup: what can't be carried over, nexthop objects or
	// encapsulations for example, or a link that stands on the uplink.
	ErrUnsupportedSetup = errors.New("set-up can't be moved")
	ErrDynamic          = errors.New("addresses or routes expire")
	ErrPrivilege        = errors.New("missing privileges")
	// ErrSpanningTree: the dead time of STP was not accepted, or the delay is one
	// that the kernel does not take.
	ErrSpanningTree = errors.New("spanning tree")
)

// Config says what is wanted. The zero value plus Uplink works.
type Config struct {
	// Uplink is the NIC's name. Required; see DefaultUplink.
	Uplink string
	// Bridge is the bridge's name; default br0.
	Bridge string
	// Prefix is the guests' /64; default the only one on the uplink.
	Prefix netip.Prefix
	// Address is the host's own in the prefix; the zero value keeps what is
	// there.
	Address HostAddress
	// Static makes addresses and routes permanent that have a lifetime (from
	// DHCP or router advertisements). Without it they are refused, as nothing
	// would renew them on the bridge.
	Static bool
	// STP makes the bridge take part in the spanning tree, which a host with one
	// uplink has no use for; default off. A port that joins is then dead for
	// twice the ForwardDelay: during the move, at every boot, and whenever its
	// carrier comes back.
	STP bool
	// ForwardDelay goes with STP: from 2 s, which is the default, to 30 s. The
	// kernel takes no shorter one.
	ForwardDelay time.Duration
	// AcceptDeadTime says that the dead time is known of. STP is refused without
	// it.
	AcceptDeadTime bool
	// Foreign is the protocol (rt_protos) of routes that somebody else makes and
	// removes, such as guest/hostroute: they are no part of any state. Default
	// none.
	Foreign int
	// Guests is how many there may be. The machine's neighbour tables are made
	// large enough for them; default 0 leaves the tables as they are.
	Guests int
}

// HostAddress is the wish for the host's own address in the prefix. It is
// comparable and marshals to "keep", "slaac" or the address.
type HostAddress struct {
	slaac bool
	addr  netip.Addr
}

// KeepAddress keeps what is there: the zero value.
func KeepAddress() HostAddress { return HostAddress{} }

// SLAACAddress asks for the address that SLAAC makes of the NIC's MAC.
func SLAACAddress() HostAddress { return HostAddress{slaac: true} }

// ExplicitAddress asks for one address.
func ExplicitAddress(a netip.Addr) HostAddress { return HostAddress{addr: a} }

// String returns "keep", "slaac" or the address.
func (h HostAddress) String() string {
	switch {
	case h.slaac:
		return "slaac"
	case h.addr.IsValid():
		return h.addr.String()
	}
	return "keep"
}

// MarshalText implements encoding.TextMarshaler.
func (h HostAddress) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *HostAddress) UnmarshalText(b []byte) error {
	switch string(b) {
	case "", "keep":
		*h = HostAddress{}
		return nil
	case "slaac":
		*h = HostAddress{slaac: true}
		return nil
	}
	a, err := netip.ParseAddr(string(b))
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" {
		return fmt.Errorf("want keep, slaac or an IPv6 address, not %q", b)
	}
	*h = HostAddress{addr: a}
	return nil
}

// DefaultName is the bridge's name where the Config has none.
const DefaultName = "br0"

// Scope returns the links that Capture has to read for this Config.
func (c Config) Scope() Scope {
	if c.Bridge == "" {
		c.Bridge = DefaultName
	}
	return Scope{Uplink: c.Uplink, Bridge: c.Bridge, Foreign: c.Foreign}
}

// HostPrefix returns the /64 that this Config and what is there agree on.
func (c Config) HostPrefix(there State) (netip.Prefix, error) {
	if c.Prefix.IsValid() {
		if !c.Prefix.Addr().Is6() || c.Prefix.Bits() != 64 {
			return netip.Prefix{}, &plan.Refusal{Subject: "prefix", Reason: fmt.Sprintf("SLAAC needs an IPv6 /64, not %s", c.Prefix), Err: ErrNoPrefix}
		}
		return c.Prefix.Masked(), nil
	}
	var found []netip.Prefix
	for _, a := range there.Addrs {
		if global6(a.Prefix.Addr()) && a.Prefix.Bits() == 64 {
			found = append(found, a.Prefix.Masked())
		}
	}
	slices.SortFunc(found, comparePrefix)
	found = slices.Compact(found)
	switch len(found) {
	case 0:
		return netip.Prefix{}, &plan.Refusal{Subject: "prefix", Reason: fmt.Sprintf("%s has no address in a /64; say which /64 the provider routes here", c.Uplink), Err: ErrNoPrefix}
	case 1:
		return found[0], nil
	}
	return netip.Prefix{}, &plan.Refusal{Subject: "prefix", Reason: fmt.Sprintf("%s has addresses in several /64s (%s and %s); say which one is the guests'", c.Uplink, found[0], found[1]), Err: ErrNoPrefix}
}

// global6 tells addresses that a /64 for guests can hold.
func global6(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && a.IsGlobalUnicast()
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
