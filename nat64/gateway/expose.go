package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/plan"
)

// ErrExpose is matched by refusals of what a Config wants exposed.
var ErrExpose = errors.New("can't be led to a guest")

// Expose leads IPv4 from outside to a guest without a proxy: one port of the
// host's, or a whole address. The guest sees its client as the NAT64 prefix with
// the client's IPv4 address in it, and needs no setting for that.
//
// Clients are those whose address may be translated: not those of private
// networks, unless AllowPrivate is set, nor guests, who have IPv6 among
// themselves.
type Expose struct {
	// Guest is the guest's address. Required.
	Guest netip.Addr
	// Address is the IPv4 address that clients use; default any of the host's
	// own. Required without a port: all of it is led to the guest then, so it
	// must be one that the host itself doesn't need.
	Address netip.Addr
	// Protocol is "tcp" or "udp"; default both. Not for a whole address.
	Protocol string
	// Port that clients use, 0 for a whole address; GuestPort is where it leads,
	// default Port.
	Port, GuestPort uint16
}

// String is what an operator would call it.
func (e Expose) String() string {
	if e.Port == 0 {
		return e.Address.String()
	}
	proto := e.Protocol
	if proto == "" {
		proto = "tcp and udp"
	}
	if e.Address.IsValid() {
		return fmt.Sprintf("%s port %d of %s", proto, e.Port, e.Address)
	}
	return fmt.Sprintf("%s port %d", proto, e.Port)
}

// priDstNAT is netfilter's NF_IP_PRI_NAT_DST.
const priDstNAT = -100

// withExposed makes the guests that are reached from outside known ones: their
// pool address stands in rules.
func (c Config) withExposed() Config {
	c.Known = slices.Clone(c.Known)
	for _, e := range c.Expose {
		if !slices.Contains(c.Known, e.Guest) {
			c.Known = append(c.Known, e.Guest)
		}
	}
	return c
}

// checkExpose returns a *plan.Refusal for what can't be exposed. c has its
// defaults.
func (c Config) checkExpose() error {
	refuse := func(e Expose, format string, args ...any) error {
		return &plan.Refusal{Subject: "expose", Reason: fmt.Sprintf("%s %s", e, fmt.Sprintf(format, args...)), Err: ErrExpose}
	}
	for i, e := range c.Expose {
		switch {
		case !c.Guests.Contains(e.Guest):
			return &plan.Refusal{Subject: "expose", Reason: fmt.Sprintf("want a guest's address in %s, not %s", c.Guests, e.Guest), Err: ErrGuests}
		case e.Address.IsValid() && (!e.Address.Is4() || e.Address.IsUnspecified() || c.Pool.Contains(e.Address)):
			return refuse(e, "can't be an address that clients use")
		case e.Port == 0 && !e.Address.IsValid():
			return &plan.Refusal{Subject: "expose", Reason: fmt.Sprintf("want a port, or an address that leads to %s as a whole", e.Guest), Err: ErrExpose}
		case e.Port == 0 && (e.Protocol != "" || e.GuestPort != 0):
			return refuse(e, "leads to its guest as a whole, so it takes no protocol and no port")
		case !slices.Contains([]string{"", "tcp", "udp"}, e.Protocol):
			return refuse(e, "is neither tcp nor udp")
		}
		for _, f := range c.Expose[:i] {
			if e.collides(f) {
				return refuse(e, "leads to %s already, by %s", f.Guest, f)
			}
		}
	}
	return nil
}

// collides reports whether there are packets that both are about.
func (e Expose) collides(f Expose) bool {
	switch {
	case e.Address.IsValid() && f.Address.IsValid() && e.Address != f.Address:
		return false
	case e.Port == 0 && f.Port == 0:
		return e.Address == f.Address
	case e.Port == 0 || f.Port == 0:
		// A port of one address that is led on as a whole: who of the two gets it
		// would depend on their order.
		return e.Address == f.Address
	}
	return e.Port == f.Port && (e.Protocol == "" || f.Protocol == "" || e.Protocol == f.Protocol)
}

// pinExposed gives known guests the pool addresses that the rules of what is
// exposed have, before any other mapping can take one of them.
func (g *Gateway) pinExposed(now time.Time) {
	if len(g.config.Expose) == 0 {
		return
	}
	g.table.now.Store(now.Unix())
	for _, a := range g.config.Known {
		g.table.assign(a, 0, true)
	}
}

// exposeRules replace the destination of what is exposed by the pool address of
// its guest. c has its defaults.
func (c Config) exposeRules() []nft.Rule {
	t := newTable(c.Pool, nil)
	for _, a := range c.Known {
		t.assign(a, 0, true)
	}
	var rules []nft.Rule
	for _, e := range c.Expose {
		pool, ok := t.assign(e.Guest, 0, true)
		if !ok {
			continue // more known guests than the pool has room for
		}
		to := nft.DaddrIs(e.Address)
		if !e.Address.IsValid() {
			to = nft.FibDaddr("local")
		}
		// Guests reach the host's IPv4 addresses as little as before.
		match := []nft.Expr{nft.Invert(nft.IIFName(c.Device)), nft.Protocol(nft.EthIPv4), to}
		add := func(more ...nft.Expr) {
			rules = append(rules, nft.NewRule("to "+e.Guest.String(), append(slices.Clone(match), more...)...))
		}
		port := e.GuestPort
		if port == 0 {
			port = e.Port
		}
		switch {
		case e.Port == 0:
			add(nft.DNAT(pool, 0))
			continue
		case e.Protocol != "udp":
			add(nft.TCPDport(e.Port), nft.DNAT(pool, port))
		}
		if e.Protocol != "tcp" {
			add(nft.UDPDport(e.Port), nft.DNAT(pool, port))
		}
	}
	return rules
}
