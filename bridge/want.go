package bridge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// State decides what is wanted, given what is there. A wish that can't be
// served is a *plan.Refusal that matches one of the package's errors.
//
// It finds its own work again: on a host where the plan has run it wants what
// is there.
func (c Config) State(there State) (State, error) {
	scope := c.Scope()
	up, err := c.uplink(there)
	if err != nil {
		return State{}, err
	}
	prefix, err := c.HostPrefix(there)
	if err != nil {
		return State{}, err
	}
	br := wantedBridge(up, there, scope)
	delay, err := c.forwardDelay()
	if err != nil {
		return State{}, err
	}
	// Without the spanning tree, a delay has no effect, and is left.
	if br.STP = c.STP; c.STP {
		br.ForwardDelay = delay
	}
	want := State{
		Scope: scope,
		Links: []Link{wantedUplink(up, scope), br},
		Sysctls: map[string]string{
			// Required for a router; the kernel then ignores advertisements unless
			// accept_ra is 2, and an advertisement must not change the host's routes.
			"net/ipv6/conf/all/forwarding":                        "1",
			"net/ipv6/conf/" + scope.Bridge + "/accept_ra":        "0",
			"net/ipv6/conf/" + scope.Bridge + "/accept_redirects": "0",
			"net/ipv6/conf/" + scope.Bridge + "/autoconf":         "0",
			// 1 is "none": a port of the bridge makes no link-local address when its
			// carrier comes back.
			"net/ipv6/conf/" + scope.Uplink + "/addr_gen_mode": "1",
			// Nor does the bridge make another than the one it is given, whatever the
			// system's default; 0 (EUI-64) would make the same.
			"net/ipv6/conf/" + scope.Bridge + "/addr_gen_mode": "1",
			"net/ipv6/conf/" + scope.Bridge + "/disable_ipv6":  "0",
		},
		Elsewhere: there.Elsewhere,
	}
	if mode := "net/ipv6/conf/" + scope.Bridge + "/addr_gen_mode"; there.Sysctls[mode] == "0" {
		want.Sysctls[mode] = "0"
	}
	want.inherit(there, up)
	want.wantNetfilter(there)
	want.wantNeighbors(there, c.Guests)
	own, err := c.ownAddress(up.MAC, prefix)
	if err != nil {
		return State{}, err
	}
	c.wantAddrs(&want, there, up.MAC, prefix, own)
	for _, r := range there.Routes {
		if r.dynamic() && c.Static {
			r.Protocol, r.Expires = 4, 0 // RTPROT_STATIC: nothing will renew it
		}
		r.Link, r.Hops = scope.Bridge, r.Hops.moved(scope.Uplink, scope.Bridge)
		if slices.ContainsFunc(want.Retiring, func(a Addr) bool { return a.Prefix.Addr() == r.Source }) {
			r.Source = own
		}
		if !slices.Contains(want.Routes, r) {
			want.Routes = append(want.Routes, r)
		}
	}
	for _, n := range there.Neighbors {
		n.Link = scope.Bridge
		if n.Permanent && !slices.ContainsFunc(want.Neighbors, func(o Neighbor) bool { return o.IP == n.IP && o.Proxy == n.Proxy }) {
			want.Neighbors = append(want.Neighbors, n)
		}
	}
	want.Rules = wantedRules(there.Rules, scope)
	want.sort()
	return want, nil
}

// uplink looks at the NIC and refuses what can't be a bridge's uplink.
func (c Config) uplink(there State) (Link, error) {
	scope := c.Scope()
	refuse := func(err error, format string, args ...any) error {
		return &plan.Refusal{Subject: "uplink " + scope.Uplink, Reason: fmt.Sprintf(format, args...), Err: err}
	}
	up, ok := there.link(scope.Uplink)
	switch {
	case scope.Uplink == "":
		return up, &plan.Refusal{Subject: "uplink", Reason: "is not given", Err: ErrNoUplink}
	case !ok:
		return up, refuse(ErrNoUplink, "there is no such interface")
	case scope.Uplink == scope.Bridge:
		return up, refuse(ErrNotBridge, "is named as the bridge too")
	case up.Wireless:
		return up, refuse(ErrWireless, "is wireless, and an access point takes frames of one MAC only")
	case !up.Ethernet:
		return up, refuse(ErrNotEthernet, "is no Ethernet interface (%s), so it can't be a port of a bridge", up.Kind)
	case up.Parent != "" && up.Kind != "vlan":
		return up, refuse(ErrNotEthernet, "is a %s on %s, and gets only what is for its own address, not what a bridge is for; name %s", up.Kind, up.Parent, up.Parent)
	case slices.Contains([]string{"macvlan", "macvtap", "ipvlan", "ipvtap", "bridge"}, up.Kind):
		return up, refuse(ErrNotEthernet, "is a %s, which can't be a port of a bridge", up.Kind)
	case up.Master != "" && up.Master != scope.Bridge:
		return up, refuse(ErrEnslaved, "is already a port of the %s %s", up.MasterKind, up.Master)
	case up.MAC.IsZero() || up.MAC.IsMulticast():
		return up, refuse(ErrNotEthernet, "has no usable MAC (%s)", up.MAC)
	}
	if br, ok := there.link(scope.Bridge); ok && br.Kind != "bridge" {
		return up, &plan.Refusal{Subject: "bridge " + scope.Bridge, Reason: fmt.Sprintf("there is an interface of that name already, and it is a %s", br.Kind), Err: ErrNotBridge}
	}
	if up.Master == "" && len(there.Ports) > 0 {
		return up, &plan.Refusal{Subject: "bridge " + scope.Bridge, Reason: fmt.Sprintf("is there already, and is somebody else's: it has the port %s, not %s", there.Ports[0], scope.Uplink), Err: ErrNotBridge}
	}
	if up.Master == scope.Bridge {
		return up, nil // what stands on the bridge by now has not to be moved
	}
	for _, what := range there.Unsupported {
		return up, refuse(ErrUnsupportedSetup, "%s; that can't be moved to a bridge", what)
	}
	if c.Static {
		return up, nil
	}
	for _, a := range there.Addrs {
		if a.finite() && !a.Temporary {
			return up, refuse(ErrDynamic, "its address %s has a lifetime (DHCP or router advertisements), and nothing would renew it on the bridge; set static to make it permanent", a.Prefix)
		}
	}
	for _, r := range there.Routes {
		if r.Protocol == protocolRA && r.isDefault() {
			return up, refuse(ErrDynamic, "its default route via %s is from router advertisements, and switching forwarding on would remove it; set static to make it permanent", r.Via)
		}
		if r.dynamic() {
			return up, refuse(ErrDynamic, "its route %s has a lifetime, and nothing would renew it on the bridge; set static to make it permanent", describeRoute(r))
		}
	}
	return up, nil
}

func wantedUplink(up Link, scope Scope) Link {
	up.Master, up.MasterKind, up.Up = scope.Bridge, "bridge", true
	return up
}

// forwardableGroups are all that the kernel lets a bridge forward: -00 it forwards
// by itself without the spanning tree, -01 it drops, -02 stays with the port.
const forwardableGroups = 0xfff8

func wantedBridge(up Link, there State, scope Scope) Link {
	br := Link{Name: scope.Bridge, Kind: "bridge", Ethernet: true, MAC: up.MAC, MTU: up.MTU, Up: true, TxQueueLen: up.TxQueueLen, GroupForward: forwardableGroups}
	if b, ok := there.link(scope.Bridge); ok {
		br.Master, br.MasterKind = b.Master, b.MasterKind
		br.RxQueues, br.TxQueues, br.ForwardDelay = b.RxQueues, b.TxQueues, b.ForwardDelay
		if up.Master == scope.Bridge {
			br.TxQueueLen = b.TxQueueLen // the boot's files don't hold it
		}
	}
	return br
}

// ownAddress is the address the host is to have in the prefix, invalid to keep
// what is there.
func (c Config) ownAddress(mac slaac.MAC, prefix netip.Prefix) (netip.Addr, error) {
	switch {
	case c.Address.slaac:
		return slaac.Addr(prefix, mac)
	case c.Address.addr.IsValid():
		a := c.Address.addr
		if !prefix.Contains(a) || a == prefix.Addr() {
			return a, &plan.Refusal{Subject: "address", Reason: fmt.Sprintf("%s is not a host's address in %s", a, prefix), Err: ErrAddress}
		}
		return a, nil
	}
	return netip.Addr{}, nil
}

// wantAddrs puts all addresses on the bridge, one link-local and, if another
// one is to be adopted, one in the prefix.
func (c Config) wantAddrs(want *State, there State, mac slaac.MAC, prefix netip.Prefix, own netip.Addr) {
	bridge := want.Bridge
	add := func(list *[]Addr, a Addr) {
		if !slices.ContainsFunc(*list, func(o Addr) bool { return o.id() == a.id() }) {
			*list = append(*list, a)
		}
	}
	// RFC 4291, 2.5.6: this is where the provider routes the /64 to.
	add(&want.Addrs, Addr{Link: bridge, Prefix: netip.PrefixFrom(slaac.LinkLocal(mac), 64), Scope: scopeLink, Preferred: Forever, Valid: Forever})
	if own.IsValid() {
		add(&want.Addrs, Addr{Link: bridge, Prefix: netip.PrefixFrom(own, 64), Preferred: Forever, Valid: Forever})
	}
	for _, a := range there.Addrs {
		if a.Temporary || a.Prefix.Addr().IsLinkLocalUnicast() && a.Prefix.Addr().Is6() {
			continue
		}
		a.Label = strings.Replace(a.Label, want.Uplink, bridge, 1)
		// Whether it is unique was found out on the NIC, or is not to be.
		a.Link, a.NoDAD = bridge, false
		// Without Static it stands on the bridge already, and somebody renews it there.
		if a.finite() && c.Static {
			a.Preferred, a.Valid, a.Protocol = Forever, Forever, 0
			a.ManageTempAddr = false
		}
		if own.IsValid() && a.Prefix.Addr() != own && prefix.Contains(a.Prefix.Addr()) {
			a.Preferred = 0
			add(&want.Retiring, a)
			continue
		}
		if a.Prefix.Addr() == own {
			continue // added above
		}
		add(&want.Addrs, a)
	}
}
