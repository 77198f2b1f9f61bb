package persist

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// network is the wanted state as both formats see it.
type network struct {
	nic
	uplinkMTU, bridgeMTU int
	stp                  bool
	forwardDelay         int // seconds
	groupForward         int
	bridgeMAC            slaac.MAC
	addrs                []bridge.Addr // without the link-local one that follows from the MAC
	routes               []bridge.Route
	neighbors            []bridge.Neighbor
	servers              []string // instead of those in kept
	kept                 kept
}

// Numbers of rtnetlink(7).
const (
	mainTable   = 254
	typeUnicast = 1
	scopeSite   = 200
	scopeLink   = 253
)

// newNetwork looks at the bridge's wanted state and refuses what can't be
// rendered in any format.
func newNetwork(s bridge.State) (network, error) {
	refuse := func(subject, format string, args ...any) error {
		return &plan.Refusal{Subject: subject, Reason: fmt.Sprintf(format, args...), Err: ErrInexpressible}
	}
	up, ok := linkOf(s, s.Uplink)
	if !ok {
		return network{}, refuse("uplink "+s.Uplink, "the wanted state has no such link")
	}
	br, ok := linkOf(s, s.Bridge)
	if !ok {
		return network{}, refuse("bridge "+s.Bridge, "the wanted state has no such link")
	}
	for _, name := range []string{s.Uplink, s.Bridge} {
		if !plainName(name) {
			return network{}, refuse("interface "+name, "its name has characters that configuration files give a meaning to")
		}
	}
	n := network{
		nic:       nic{uplink: s.Uplink, bridge: s.Bridge, mac: up.MAC, kind: up.Kind},
		uplinkMTU: up.MTU, bridgeMTU: br.MTU, bridgeMAC: br.MAC, groupForward: int(br.GroupForward),
	}
	// Without the spanning tree, the delay that the kernel has by itself means
	// nothing.
	if n.stp = br.STP; n.stp {
		n.forwardDelay = int(br.ForwardDelay / time.Second)
	}
	for _, a := range s.Addrs {
		ip := a.Prefix.Addr()
		// RFC 4291, 2.5.6: every program makes this one by itself.
		// What expires is somebody's who renews it.
		if a.Link != s.Bridge || a.Temporary || a.Valid != bridge.Forever || ip == slaac.LinkLocal(br.MAC) && a.Prefix.Bits() == 64 {
			continue
		}
		n.addrs = append(n.addrs, a)
	}
	for _, r := range s.Routes {
		if r.Link != s.Bridge || r.Expires != 0 {
			continue
		}
		if r.TOS != 0 {
			return network{}, refuse("route "+r.Dst.String(), "is for the type of service %#x, which networkd has no word for", r.TOS)
		}
		if !r.Hops.IsZero() || r.Via.IsValid() && r.Via.Is4() != r.Dst.Addr().Is4() {
			return network{}, refuse("route "+r.Dst.String(), "has several next hops, or one of the other family, which can't be written yet; set format to none, and see to it yourself")
		}
		if t := routeType(r); t < typeUnicast || t > 4 {
			return network{}, refuse("route "+r.Dst.String(), "is of the kernel's type %d, which leaves by no interface", t)
		}
		n.routes = append(n.routes, r)
		if r.HopLimit != 0 {
			n.kept.notes = append(n.kept.notes, fmt.Sprintf("networkd before version 255 passes over the hop limit of the route to %s", r.Dst))
		}
	}
	if len(s.Rules) > 0 {
		return network{}, refuse(fmt.Sprintf("routing rule %q", s.Rules[0]), "can't be written yet; set format to none, and see to it yourself")
	}
	for _, r := range n.routes {
		if r.Metrics != (bridge.Metrics{}) || r.Realm != 0 {
			n.kept.notes = append(n.kept.notes, fmt.Sprintf("the route to %s has metrics or realms that the next boot's files don't hold (initcwnd, quickack and the like)", r.Dst))
		}
	}
	for _, e := range s.Neighbors {
		if e.Proxy {
			return network{}, refuse("proxy neighbor "+e.IP.String(), "can't be written yet; set format to none, and see to it yourself")
		}
		if e.Permanent && e.Link == s.Bridge {
			n.neighbors = append(n.neighbors, e)
		}
	}
	return n, nil
}

// nameServers are those that were asked for, or those that were there.
func (n network) nameServers() []string {
	if len(n.servers) > 0 {
		return n.servers
	}
	return n.kept.servers
}

func linkOf(s bridge.State, name string) (bridge.Link, bool) {
	i := slices.IndexFunc(s.Links, func(l bridge.Link) bool { return l.Name == name })
	if i < 0 {
		return bridge.Link{}, false
	}
	return s.Links[i], true
}

// plainName accepts what can stand in every file and in a file's name.
func plainName(s string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@:-]*$`).MatchString(s)
}

// plainAddr reports whether netplan can express all of an address.
func plainAddr(a bridge.Addr) bool {
	return !a.Peer.IsValid() && !a.NoPrefixRoute && !a.ManageTempAddr && !unusualBroadcast(a) && !unusualScope(a)
}

// plainRoute reports whether netplan can express all of a route.
func plainRoute(r bridge.Route) bool {
	return (r.Via.IsValid() || r.Dst.Addr().Is6() || r.Scope == scopeLink) && routeType(r) == typeUnicast && r.AdvMSS == 0 && r.HopLimit == 0 &&
		!r.From.IsValid() && r.Preference == 0
}

func routeType(r bridge.Route) int {
	if r.Type == 0 {
		return typeUnicast
	}
	return r.Type
}

// unusualBroadcast reports whether an address has another broadcast address
// than the one that every program gives it.
func unusualBroadcast(a bridge.Addr) bool {
	if !a.Broadcast.IsValid() || !a.Prefix.Addr().Is4() {
		return false
	}
	b := a.Prefix.Addr().As4()
	for i := a.Prefix.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return a.Broadcast != netip.AddrFrom4(b)
}

// unusualScope reports whether an address has another scope than follows from
// it.
func unusualScope(a bridge.Addr) bool {
	return a.Prefix.Addr().Is4() && a.Scope != 0
}
