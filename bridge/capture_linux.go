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
	if err := s.captureRoutes(h, names); err != nil {
		return State{}, err
	}
	if err := s.captureForwarding(names); err != nil {
		return State{}, err
	}
	if err := s.captureSysctl(filterKey("all")); err != nil {
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

	addrs, err := listAddrs(a.Name, a.Index)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", a.Name, err)
	}
	s.Addrs = append(s.Addrs, addrs...)
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
		routes, err := listRoutes(family)
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for _, n := range routes {
			s.captureRoute(n, names)
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

func (s *State) captureRoute(n kernelRoute, names map[int]linkName) {
	for _, hop := range n.hops {
		if name := names[hop.oif].name; name != "" && (name == s.Uplink || name == s.Bridge) {
			s.Unsupported = append(s.Unsupported, fmt.Sprintf("the route %s has several next hops, one of them through %s", n.Dst, name))
			return
		}
		// Of equal rank: who looks for the uplink has to be told of each.
		hopRoute := n
		hopRoute.hops, hopRoute.oif, hopRoute.Via, hopRoute.OnLink = nil, hop.oif, hop.via, hop.onlink
		s.captureRoute(hopRoute, names)
	}
	if n.oif == 0 || n.cloned || n.Table == unix.RT_TABLE_LOCAL || n.Type == unix.RTN_MULTICAST {
		return
	}
	r := n.Route
	r.Link = names[n.oif].name
	if r.Protocol == protocolKernel && (r.Link != s.Uplink && r.Link != s.Bridge || r.Expires > 0 || s.followsAddr(r)) {
		return
	}
	if n.odd != "" && (r.Link == s.Uplink || r.Link == s.Bridge) {
		s.Unsupported = append(s.Unsupported, fmt.Sprintf("the route %s %s", n.Dst, n.odd))
		return
	}
	switch {
	case r.Link == s.Uplink || r.Link == s.Bridge:
		s.Routes = append(s.Routes, r)
	case r.isDefault() && r.Type == unix.RTN_UNICAST:
		s.Elsewhere = append(s.Elsewhere, r)
	}
}
