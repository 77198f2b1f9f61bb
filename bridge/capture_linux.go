package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

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
	s := State{Scope: scope, Sysctls: make(map[string]string), At: time.Now()}
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
	if err := s.captureRoutes(h, names); err != nil {
		return State{}, err
	}
	if err := s.captureForwarding(names); err != nil {
		return State{}, err
	}
	if err := s.captureSysctl(filterKey("all")); err != nil {
		return State{}, err
	}
	if s.Bypass, err = hasBypass(ctx, names); err != nil {
		return State{}, err
	}
	s.keepGateways()
	s.sort()
	return s, nil
}

// retry repeats a dump that the kernel says changed under it.
func retry[T any](dump func() (T, error)) (v T, err error) {
	for range 10 {
		if v, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			return v, err
		}
	}
	return v, err
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
		return !n.Permanent && !slices.ContainsFunc(s.Routes, func(r Route) bool { return r.Via == n.IP })
	})
}

type linkName struct {
	name, kind string
	master     int
}

func linkNames(h *netlink.Handle) (map[int]linkName, error) {
	links, err := retry(h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	names := make(map[int]linkName)
	for _, l := range links {
		names[l.Attrs().Index] = linkName{l.Attrs().Name, l.Type(), l.Attrs().MasterIndex}
	}
	return names, nil
}

func (s *State) captureLink(h *netlink.Handle, link netlink.Link, names map[int]linkName) error {
	a := link.Attrs()
	l := Link{Name: a.Name, Kind: link.Type(), MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, Ethernet: a.EncapType == "ether"}
	if mac, err := slaac.MACFrom(a.HardwareAddr); err == nil {
		l.MAC = mac
	}
	if a.MasterIndex != 0 {
		l.Master, l.MasterKind = names[a.MasterIndex].name, names[a.MasterIndex].kind
	}
	if b, ok := link.(*netlink.Bridge); ok && b.MulticastSnooping != nil {
		l.MulticastSnooping = *b.MulticastSnooping
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

	addrs, err := retry(func() ([]netlink.Addr, error) { return h.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", a.Name, err)
	}
	for _, na := range addrs {
		if addr, ok := fromNetlinkAddr(a.Name, na); ok {
			s.Addrs = append(s.Addrs, addr)
		}
	}
	neighbors, err := retry(func() ([]netlink.Neigh, error) { return h.NeighList(a.Index, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("list neighbours of %s: %w", a.Name, err)
	}
	for _, n := range neighbors {
		s.captureNeighbor(a.Name, n)
	}
	for _, key := range []string{"net/ipv6/conf/%s/accept_ra", "net/ipv6/conf/%s/accept_redirects", "net/ipv6/conf/%s/autoconf", "net/ipv6/conf/%s/addr_gen_mode", "net/ipv6/conf/%s/disable_ipv6", "net/ipv4/conf/%s/rp_filter"} {
		if err := s.captureSysctl(fmt.Sprintf(key, a.Name)); err != nil {
			return err
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

func fromNetlinkAddr(link string, n netlink.Addr) (Addr, bool) {
	p, ok := prefixOf(n.IPNet)
	if !ok {
		return Addr{}, false
	}
	a := Addr{
		Link:           link,
		Prefix:         p,
		Label:          n.Label,
		Scope:          n.Scope,
		NoPrefixRoute:  n.Flags&unix.IFA_F_NOPREFIXROUTE != 0,
		ManageTempAddr: n.Flags&unix.IFA_F_MANAGETEMPADDR != 0,
		Temporary:      p.Addr().Is6() && n.Flags&unix.IFA_F_TEMPORARY != 0,
		Preferred:      lifetime(n.PreferedLft),
		Valid:          lifetime(n.ValidLft),
	}
	if peer, ok := prefixOf(n.Peer); ok && peer.Addr() != p.Addr() {
		a.Peer = peer
	}
	if b, ok := netip.AddrFromSlice(n.Broadcast); ok && p.Addr().Is4() {
		a.Broadcast = b.Unmap()
	}
	return a, true
}

func (s *State) captureNeighbor(link string, n netlink.Neigh) {
	ip, ok := netip.AddrFromSlice(n.IP)
	mac, err := slaac.MACFrom(n.HardwareAddr)
	if !ok || err != nil || ip.Unmap().IsMulticast() {
		return
	}
	permanent := n.State&netlink.NUD_PERMANENT != 0
	// An entry that was confirmed once is worth handing on.
	if permanent || n.State&(netlink.NUD_REACHABLE|netlink.NUD_STALE|netlink.NUD_DELAY|netlink.NUD_PROBE) != 0 {
		s.Neighbors = append(s.Neighbors, Neighbor{Link: link, IP: ip.Unmap(), MAC: mac, Permanent: permanent})
	}
}

func (s *State) captureRoutes(h *netlink.Handle, names map[int]linkName) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := retry(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for _, n := range routes {
			s.captureRoute(n, family, names)
		}
		rules, err := retry(func() ([]netlink.Rule, error) { return h.RuleList(family) })
		if err != nil {
			return fmt.Errorf("list rules: %w", err)
		}
		for _, r := range rules {
			for _, name := range []string{r.IifName, r.OifName} {
				if name != "" && (name == s.Uplink || name == s.Bridge) {
					s.Unsupported = append(s.Unsupported, fmt.Sprintf("the routing rule %d names %s", r.Priority, name))
				}
			}
		}
	}
	return nil
}

func (s *State) captureRoute(n netlink.Route, family int, names map[int]linkName) {
	for _, hop := range n.MultiPath {
		if name := names[hop.LinkIndex].name; name != "" && (name == s.Uplink || name == s.Bridge) {
			s.Unsupported = append(s.Unsupported, fmt.Sprintf("the route %s has several next hops, one of them through %s", n.Dst, name))
			return
		}
		// Of equal rank: who looks for the uplink has to be told of each.
		hopRoute := n
		hopRoute.MultiPath, hopRoute.LinkIndex, hopRoute.Gw = nil, hop.LinkIndex, hop.Gw
		s.captureRoute(hopRoute, family, names)
	}
	// The kernel makes local, broadcast, multicast and prefix routes from
	// addresses, and takes them away with these.
	if n.LinkIndex == 0 || n.Protocol == protocolKernel || n.Table == unix.RT_TABLE_LOCAL || n.Type == unix.RTN_MULTICAST {
		return
	}
	r := Route{
		Link: names[n.LinkIndex].name, Family: 6, Table: n.Table, Type: n.Type, Metric: n.Priority, TOS: n.Tos, Scope: int(n.Scope),
		Protocol: int(n.Protocol), MTU: n.MTU, AdvMSS: n.AdvMSS, HopLimit: n.Hoplimit, OnLink: n.Flags&unix.RTNH_F_ONLINK != 0,
		Dst: netip.PrefixFrom(netip.IPv6Unspecified(), 0),
	}
	if family == netlink.FAMILY_V4 {
		r.Family, r.Dst = 4, netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	if p, ok := prefixOf(n.Dst); ok {
		r.Dst = p
	}
	if via, ok := netip.AddrFromSlice(n.Gw); ok {
		r.Via = via.Unmap()
	}
	if src, ok := netip.AddrFromSlice(n.Src); ok {
		r.Source = src.Unmap()
	}
	switch {
	case r.Link == s.Uplink || r.Link == s.Bridge:
		s.Routes = append(s.Routes, r)
	case r.isDefault() && r.Type == unix.RTN_UNICAST:
		s.Elsewhere = append(s.Elsewhere, r)
	}
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	ones, bits := n.Mask.Size()
	if ip.Is4In6() && bits == 32 {
		ip = ip.Unmap()
	}
	return netip.PrefixFrom(ip, ones), true
}
