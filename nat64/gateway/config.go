package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/plan"
)

// Part is the name of this package in plans and captured states.
const Part = "gateway"

// Defaults of a Config.
const (
	DefaultDevice    = "nat64"
	DefaultGuestLink = "br0"
	DefaultMappings  = "/run/sixhost/nat64.json"
)

// Why a wish can't be served, or a gateway can't start; matched with errors.Is.
var (
	ErrPrefix   = errors.New("not a NAT64 prefix for these guests")
	ErrGuests   = errors.New("not a prefix for guests")
	ErrPool     = errors.New("not a pool")
	ErrOverlap  = errors.New("addresses in use on this host")
	ErrDevice   = errors.New("not a device for the gateway")
	ErrNotSetUp = errors.New("the gateway's device is not set up")
)

// DefaultPool returns 10.64.0.0/16: room for 65,533 guest addresses, far more
// than a bridge has ports, and apart from what libvirt (192.168.122.0/24),
// Docker (172.17.0.0/16 and up, 192.168.0.0/16) and Kubernetes distributions
// (10.42, 10.43, 10.96, 10.244) take by default. It is never seen outside the
// host.
func DefaultPool() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64}), 16) }

// Config says what is wanted. Prefix and Guests are required.
type Config struct {
	// Prefix is the NAT64 prefix. Required.
	Prefix nat64.Prefix
	// Guests is the prefix the guests' addresses are in, usually the host's
	// /64. Required.
	Guests netip.Prefix
	// GuestLink is the link the guests are on; default "br0".
	GuestLink string
	// Uplink is the link that IPv4 leaves by; default GuestLink, as on a host
	// whose NIC is a port of the guests' bridge.
	Uplink string
	// Device is the name of the TUN device; default "nat64".
	Device string
	// Pool are the private IPv4 addresses that stand for guests inside the
	// host, between /8 and /29; default [DefaultPool]. It must not overlap
	// anything the host has a route to; [Config.WithFreePool] chooses one that
	// doesn't.
	Pool netip.Prefix
	// Denied are IPv4 destinations that guests can't reach, besides
	// nat64.NonGlobal, the pool and the host's own addresses.
	Denied []netip.Prefix
	// AllowPrivate lets guests reach the private networks of RFC 1918 and the
	// shared address space of RFC 6598, where the host has a way there. The
	// well-known prefix can't represent them (RFC 6052, section 3.1).
	AllowPrivate bool
	// Known are guest addresses that have a mapping from the start and for
	// good.
	Known []netip.Addr
	// Expose are ports and addresses of the host's that lead to guests.
	Expose []Expose
	// Pins is a folder on a BPF file system for the programs of the fast path,
	// which are left out where the host can't have them; [DefaultPins] is the
	// usual one. It belongs to this gateway alone. Empty means no fast path.
	Pins string
	// PerPort is how many addresses the guest behind one port of the bridge may
	// use at a time; default [DefaultPerPort], negative for no limit. Known ones
	// don't count.
	PerPort int
	// Mappings is the file in which mappings are kept that don't follow from the
	// guest's address alone, so that a restart finds them again, whatever ended
	// the program; default "/run/sixhost/nat64.json", "-" for none. A plan that
	// removes the gateway removes it.
	Mappings string
	// Queues is how many queues of the device are served, each by a goroutine;
	// default 1, at most 256.
	Queues int
	// Logger reports what an operator should know; nil discards.
	Logger *slog.Logger
}

// Scope returns what Capture has to look at for this Config.
func (c Config) Scope() Scope {
	c = c.withDefaults()
	return Scope{Device: c.Device, GuestLink: c.GuestLink, Uplink: c.Uplink, Prefix: c.Prefix, Pool: c.Pool, Pins: c.Pins, Mappings: c.mappingsFile()}
}

func (c Config) withDefaults() Config {
	if c.GuestLink == "" {
		c.GuestLink = DefaultGuestLink
	}
	if c.Uplink == "" {
		c.Uplink = c.GuestLink
	}
	if c.Device == "" {
		c.Device = DefaultDevice
	}
	if c.Pool == (netip.Prefix{}) {
		c.Pool = DefaultPool()
	}
	if c.PerPort == 0 {
		c.PerPort = DefaultPerPort
	}
	if c.Mappings == "" {
		c.Mappings = DefaultMappings
	}
	if c.Queues == 0 {
		c.Queues = 1
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Guests = c.Guests.Masked()
	return c.withExposed()
}

// mappingsFile is "" for none.
func (c Config) mappingsFile() string {
	if c.Mappings == "-" {
		return ""
	}
	return c.Mappings
}

// check returns a *plan.Refusal for what can't be served wherever it is. c has
// its defaults.
func (c Config) check() error {
	refuse := func(subject string, err error, format string, args ...any) error {
		return &plan.Refusal{Subject: subject, Reason: fmt.Sprintf(format, args...), Err: err}
	}
	for _, l := range []struct{ field, name string }{{"guest link", c.GuestLink}, {"uplink", c.Uplink}, {"device", c.Device}} {
		if !nft.ValidIfName(l.name) {
			return refuse(l.field, ErrDevice, "%q can't be the name of a link", l.name)
		}
	}
	switch {
	case !c.Prefix.IsValid():
		return refuse("NAT64 prefix", ErrPrefix, "is missing; %s is the usual one", nat64.WellKnown())
	case !c.Guests.IsValid() || !c.Guests.Addr().Is6() || c.Guests.Addr().Is4In6() || c.Guests.Bits() == 0:
		return refuse("guests", ErrGuests, "want an IPv6 prefix, the host's /64, not %s", c.Guests)
	case c.Prefix.Prefix().Overlaps(c.Guests):
		return refuse("NAT64 prefix", ErrPrefix, "%s overlaps the guests' %s, so guests would look for it on their own link", c.Prefix, c.Guests)
	case c.Device == c.GuestLink || c.Device == c.Uplink:
		return refuse("device", ErrDevice, "%s is already the name of another link", c.Device)
	case !c.Pool.IsValid() || !c.Pool.Addr().Is4() || c.Pool.Bits() < 8 || c.Pool.Bits() > 29 || c.Pool != c.Pool.Masked():
		return refuse("pool", ErrPool, "want an IPv4 prefix between /8 and /29 without host bits, not %s", c.Pool)
	case c.AllowPrivate && c.Prefix == nat64.WellKnown():
		return refuse("NAT64 prefix", ErrPrefix, "%s must not represent private addresses (RFC 6052, section 3.1); choose one in %s to allow them", c.Prefix, nat64.LocalUse())
	case !validPins(c.Pins):
		return refuse("pins", ErrDevice, "want the whole path of a folder, not %q", c.Pins)
	case c.Queues < 1 || c.Queues > 256:
		return refuse("queues", ErrDevice, "want 1 to 256, not %d", c.Queues)
	}
	for _, p := range c.Denied {
		if !p.IsValid() || !p.Addr().Is4() {
			return refuse("denied", ErrPool, "want IPv4 prefixes, not %s", p)
		}
	}
	if err := c.checkExpose(); err != nil {
		return err
	}
	for _, a := range c.Known {
		if !c.Guests.Contains(a) {
			return refuse("known", ErrGuests, "%s is not in %s", a, c.Guests)
		}
	}
	return nil
}

// deniedBlocks lists what guests can't reach, sorted, without blocks inside
// others. c has its defaults.
func (c Config) deniedBlocks() []netip.Prefix {
	all := slices.Concat(nat64.NonGlobal(), c.Denied)
	if c.AllowPrivate {
		all = slices.DeleteFunc(all, func(p netip.Prefix) bool {
			return isPrivate(p.Addr()) && !slices.Contains(c.Denied, p)
		})
	}
	all = append(all, c.Pool)
	for i := range all {
		all[i] = all[i].Masked()
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if d := a.Addr().Compare(b.Addr()); d != 0 {
			return d
		}
		return a.Bits() - b.Bits()
	})
	var out []netip.Prefix
	for _, p := range all {
		if n := len(out); n == 0 || !out[n-1].Contains(p.Addr()) {
			out = append(out, p)
		}
	}
	return out
}

// isPrivate: RFC 1918 and RFC 6598.
func isPrivate(a netip.Addr) bool {
	b := a.As4()
	return a.IsPrivate() || b[0] == 100 && b[1]&0xc0 == 64
}
