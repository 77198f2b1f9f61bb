package bridge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nldump"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/slaac"
)

// Capture reads the state of a scope in the calling thread's network
// namespace. Links that don't exist are left out of it.
func Capture(ctx context.Context, scope Scope) (State, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return State{}, fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return State{}, fmt.Errorf("read the time since the boot: %w", err)
	}
	s := State{Scope: scope, Sysctls: make(map[string]string), Uptime: time.Duration(up.Nano())}
	names, err := linkNames(h)
	if err != nil {
		return State{}, err
	}
	for _, name := range []string{scope.Uplink, scope.Bridge} {
		if err := ctx.Err(); err != nil {
			return State{}, err
		}
		link, err := h.LinkByName(name)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			continue
		}
		if err != nil {
			return State{}, fmt.Errorf("read link %s: %w", name, err)
		}
		if err := s.captureLink(h, link, names); err != nil {
			return State{}, err
		}
	}
	if err := s.captureRoutes(names); err != nil {
		return State{}, err
	}
	if err := s.captureNextHops(names); err != nil {
		return State{}, err
	}
	if err := s.captureRules(); err != nil {
		return State{}, err
	}
	if err := s.captureForwarding(names); err != nil {
		return State{}, err
	}
	for _, key := range slices.Concat(netfilterKeys(), neighborLimitKeys(), []string{filterKey("all")}) {
		if err := s.captureSysctl(key); err != nil {
			return State{}, err
		}
	}
	if s.Bypass, err = hasBypass(ctx, names); err != nil {
		return State{}, err
	}
	s.keepGateways()
	s.sort()
	return s, nil
}

// captureForwarding reads whether IPv6 is forwarded. Where it is not in
// general, it may be for single links, which switching it on and off again for
// all would forget.
func (s *State) captureForwarding(names map[int]linkName) error {
	all := forwardingKey("all")
	if err := s.captureSysctl(all); err != nil {
		return err
	}
	if s.Sysctls[all] != "0" {
		return nil
	}
	links := []string{"default"}
	for _, n := range names {
		links = append(links, n.name)
	}
	for _, link := range links {
		key := forwardingKey(link)
		if err := s.captureSysctl(key); err != nil {
			return err
		}
		if s.Sysctls[key] == "0" {
			delete(s.Sysctls, key)
		}
	}
	return nil
}

// keepGateways forgets all learned neighbours that are no gateways.
func (s *State) keepGateways() {
	s.Neighbors = slices.DeleteFunc(s.Neighbors, func(n Neighbor) bool {
		return !n.Permanent && !slices.ContainsFunc(s.Routes, func(r Route) bool { return slices.Contains(r.Gateways(), n.IP) })
	})
}

type linkName struct {
	name, kind string
	master     int
	parent     int // what a VLAN and the like stands on
}

// standsOnOther tells kinds of links that send through another.
func standsOnOther(kind string) bool {
	return slices.Contains([]string{"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"}, kind)
}

// captureUpper finds links that take what arrives at the uplink before a bridge
// could: the kernel makes no port of it. A VLAN gets its share all the same.
func (s *State) captureUpper(index int, names map[int]linkName) {
	for _, i := range slices.Sorted(maps.Keys(names)) {
		if n := names[i]; n.parent == index && n.kind != "vlan" {
			s.Unsupported = append(s.Unsupported, fmt.Sprintf("the %s %s stands on it", n.kind, n.name))
		}
	}
}

func linkNames(h *netlink.Handle) (map[int]linkName, error) {
	links, err := nldump.Retry(h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	names := make(map[int]linkName)
	for _, l := range links {
		n := linkName{name: l.Attrs().Name, kind: l.Type(), master: l.Attrs().MasterIndex}
		// Of other kinds this may be the index of a link in another namespace.
		if standsOnOther(n.kind) && l.Attrs().NetNsID < 0 {
			n.parent = l.Attrs().ParentIndex
		}
		names[l.Attrs().Index] = n
	}
	return names, nil
}

func (s *State) captureLink(h *netlink.Handle, link netlink.Link, names map[int]linkName) error {
	a := link.Attrs()
	l := Link{Name: a.Name, Kind: link.Type(), MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, Ethernet: a.EncapType == "ether",
		TxQueueLen: max(0, a.TxQLen), RxQueues: a.NumRxQueues, TxQueues: a.NumTxQueues,
	}
	if mac, err := slaac.MACFrom(a.HardwareAddr); err == nil {
		l.MAC = mac
	}
	if a.MasterIndex != 0 {
		l.Master, l.MasterKind = names[a.MasterIndex].name, names[a.MasterIndex].kind
	}
	if standsOnOther(link.Type()) {
		l.Parent = names[a.ParentIndex].name
	}
	if a.Name == s.Uplink {
		s.captureUpper(a.Index, names)
	}
	if link.Type() == "bridge" {
		if err := l.captureTree(a.Index); err != nil {
			return err
		}
	}
	if b, ok := link.(*netlink.Bridge); ok && b.MulticastSnooping != nil {
		l.MulticastSnooping = *b.MulticastSnooping
	}
	if b, ok := link.(*netlink.Bridge); ok && b.GroupFwdMask != nil {
		l.GroupForward = *b.GroupFwdMask
	}
	if a.Name == s.Bridge {
		for _, n := range names {
			if n.master == a.Index && n.name != s.Uplink {
				s.Ports = append(s.Ports, n.name)
			}
		}
		slices.Sort(s.Ports)
	}
	wireless, err := isWireless(a.Index)
	if err != nil {
		return fmt.Errorf("ask whether %s is wireless: %w", a.Name, err)
	}
	l.Wireless = wireless
	s.Links = append(s.Links, l)

	if err := s.captureAddrs(a.Name, a.Index); err != nil {
		return err
	}
	if err := s.captureNeighbors(a.Name, a.Index); err != nil {
		return err
	}
	for _, key := range []string{"net/ipv6/conf/%s/accept_ra", "net/ipv6/conf/%s/accept_redirects", "net/ipv6/conf/%s/autoconf", "net/ipv6/conf/%s/addr_gen_mode", "net/ipv6/conf/%s/disable_ipv6", "net/ipv4/conf/%s/rp_filter"} {
		if err := s.captureSysctl(fmt.Sprintf(key, a.Name)); err != nil {
			return err
		}
	}
	return s.captureInherited(a.Name)
}

// captureInherited reads the parameters of a link that the bridge has from the
// uplink, where they differ from those of new links.
func (s *State) captureInherited(link string) error {
	for _, key := range inheritedKeys() {
		own := fmt.Sprintf(key, link)
		if err := s.captureSysctl(own); err != nil {
			return err
		}
		usual, err := sysctl.Read(fmt.Sprintf(key, "default"))
		if errors.Is(err, fs.ErrNotExist) {
			// Those of neighbours are shown in the initial namespace only.
			delete(s.Sysctls, own)
			continue
		}
		if err != nil {
			return err
		}
		if _, uplink := s.Sysctls[fmt.Sprintf(key, s.Uplink)]; s.Sysctls[own] == usual && (link == s.Uplink || !uplink) {
			delete(s.Sysctls, own)
		}
	}
	return nil
}

// captureSysctl reads a parameter; one that the kernel lacks is left out.
func (s *State) captureSysctl(key string) error {
	v, err := sysctl.Read(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s.Sysctls[key] = v
	return nil
}

func (s *State) captureRoutes(names map[int]linkName) error {
	for _, family := range []int{4, 6} {
		msgs, err := dump(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, &nl.RtMsg{RtMsg: unix.RtMsg{Family: familyOf(family)}})
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		var all []Route
		for _, m := range msgs {
			r, err := decodeRoute(m)
			if err != nil {
				return err
			}
			if r.flags&unix.RTM_F_CLONED != 0 {
				continue // what was learned about one destination
			}
			r.name(names)
			s.captureRoute(r)
			all = append(all, r.Route)
		}
		s.refuseTwins(all)
	}
	return nil
}

func (s *State) captureRoute(r routeMessage) {
	// The kernel makes local, broadcast and multicast routes from addresses, and
	// takes them away with these.
	if r.Table == unix.RT_TABLE_LOCAL && (r.Protocol == unix.RTPROT_UNSPEC || r.Protocol == protocolKernel) || r.Type == unix.RTN_MULTICAST {
		return
	}
	if s.Foreign != 0 && r.Protocol == s.Foreign {
		return
	}
	ours := func(link string) bool { return link != "" && (link == s.Uplink || link == s.Bridge) }
	for _, hop := range r.Hops.List() {
		if ours(hop.Link) {
			r.Link = hop.Link
		}
	}
	switch {
	// A prefix that is only advertised to be on the link has no address.
	case r.Protocol == protocolKernel && (!ours(r.Link) || r.Expires > 0 && s.hasPrefix(r.Link, r.Dst) || s.followsAddr(r.Route)):
	case ours(r.Link) && len(r.unknown) > 0:
		s.Unsupported = append(s.Unsupported, fmt.Sprintf("the route %s has what can't be carried over: %s", describeRoute(r.Route), strings.Join(r.unknown, "; ")))
	case ours(r.Link):
		s.Routes = append(s.Routes, r.Route)
	case !r.isDefault() || r.Type != unix.RTN_UNICAST:
	case r.Hops.IsZero() && r.Link != "":
		s.Elsewhere = append(s.Elsewhere, r.Route)
	default:
		// Of equal rank: who looks for the uplink has to be told of each.
		for _, hop := range r.Hops.List() {
			one := r.Route
			one.Hops, one.Link, one.Via = Hops{}, hop.Link, hop.Via
			s.Elsewhere = append(s.Elsewhere, one)
		}
	}
}

// hasPrefix reports whether an address of the link is in the prefix.
func (s *State) hasPrefix(link string, p netip.Prefix) bool {
	return slices.ContainsFunc(s.Addrs, func(a Addr) bool {
		return a.Link == link && (a.Prefix.Masked() == p || a.Peer.IsValid() && a.Peer.Masked() == p)
	})
}

// refuseTwins finds routes of ours that share destination, table and metric
// with others: the kernel replaces whichever comes first.
func (s *State) refuseTwins(all []Route) {
	for i, r := range all {
		ours := func(r Route) bool { return slices.Contains(s.Routes, r) }
		for _, o := range all[i+1:] {
			// The kernel's own come and go with addresses.
			if r.Protocol == protocolKernel || o.Protocol == protocolKernel {
				continue
			}
			if r.id() == o.id() && (ours(r) || ours(o)) {
				s.Unsupported = append(s.Unsupported, fmt.Sprintf("the routes %s and %s differ in nothing that they could be told apart by", describeRoute(r), describeRoute(o)))
			}
		}
	}
}

// captureNextHops finds nexthop objects, which routes refer to by number, that
// leave through a link of the scope.
func (s *State) captureNextHops(names map[int]linkName) error {
	const (
		newNextHop, getNextHop = 104, 106 // RTM_NEWNEXTHOP, RTM_GETNEXTHOP
		attrID, attrLink       = 1, 5     // NHA_ID, NHA_OIF
		headerLen              = 8        // struct nhmsg
	)
	msgs, err := dump(getNextHop, newNextHop, rawMessage(make([]byte, headerLen)))
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return nil // Linux before 5.3 has none
	}
	if err != nil {
		return fmt.Errorf("list nexthop objects: %w", err)
	}
	for _, m := range msgs {
		attrs, err := nl.ParseRouteAttr(m[headerLen:])
		if err != nil {
			return fmt.Errorf("parse nexthop object: %w", err)
		}
		var id, link uint32
		for _, a := range attrs {
			switch {
			case len(a.Value) < 4:
			case a.Attr.Type == attrID:
				id = binary.NativeEndian.Uint32(a.Value)
			case a.Attr.Type == attrLink:
				link = binary.NativeEndian.Uint32(a.Value)
			}
		}
		if name := names[int(link)].name; name != "" && (name == s.Uplink || name == s.Bridge) {
			s.Unsupported = append(s.Unsupported, fmt.Sprintf("the nexthop object %d (ip nexthop show id %d) leaves through %s", id, id, name))
		}
	}
	return nil
}

// rawMessage is a netlink header that the library has no type for.
type rawMessage []byte

func (m rawMessage) Len() int          { return len(m) }
func (m rawMessage) Serialize() []byte { return m }
