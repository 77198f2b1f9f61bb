package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addr is an IPv6 address of an interface.
type Addr struct {
	Prefix netip.Prefix `json:"prefix"`
	// Tentative addresses are not usable yet: DAD goes on, or found a duplicate.
	Tentative bool `json:"tentative,omitempty"`
	// Deprecated addresses are not chosen for new connections.
	Deprecated bool `json:"deprecated,omitempty"`
	// Dynamic addresses are from router advertisements.
	Dynamic bool `json:"dynamic,omitempty"`
}

// Addrs returns the IPv6 addresses of an interface of the node.
func (n *Node) Addrs(link string) ([]Addr, error) {
	l, err := n.link(link)
	if err != nil {
		return nil, err
	}
	list, err := n.nl.AddrList(l, netlink.FAMILY_V6)
	for i := 0; errors.Is(err, netlink.ErrDumpInterrupted) && i < 10; i++ {
		list, err = n.nl.AddrList(l, netlink.FAMILY_V6)
	}
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s in %s: %w", link, n.name, err)
	}
	var addrs []Addr
	for _, a := range list {
		ip, _ := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		addrs = append(addrs, Addr{
			Prefix:     netip.PrefixFrom(ip, bits),
			Tentative:  a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0,
			Deprecated: a.Flags&unix.IFA_F_DEPRECATED != 0,
			Dynamic:    a.Flags&unix.IFA_F_PERMANENT == 0,
		})
	}
	return addrs, nil
}

// DefaultRoutes returns the gateways of the node's IPv6 default routes.
func (n *Node) DefaultRoutes() ([]netip.Addr, error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN}
	list, err := n.nl.RouteListFiltered(netlink.FAMILY_V6, filter, netlink.RT_FILTER_TABLE)
	for i := 0; errors.Is(err, netlink.ErrDumpInterrupted) && i < 10; i++ {
		list, err = n.nl.RouteListFiltered(netlink.FAMILY_V6, filter, netlink.RT_FILTER_TABLE)
	}
	if err != nil {
		return nil, fmt.Errorf("list routes of %s: %w", n.name, err)
	}
	var gws []netip.Addr
	for _, r := range list {
		if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if r.Dst != nil {
			if ones, _ := r.Dst.Mask.Size(); ones != 0 {
				continue
			}
		}
		if gw, ok := netip.AddrFromSlice(r.Gw); ok {
			gws = append(gws, gw)
		}
		for _, hop := range r.MultiPath {
			if gw, ok := netip.AddrFromSlice(hop.Gw); ok {
				gws = append(gws, gw)
			}
		}
	}
	return gws, nil
}

// waitUsable waits until a link's addresses can all be used. It is for links
// without DAD, whose addresses are ready as soon as the kernel gets round to it.
func (n *Node) waitUsable(ctx context.Context, link string) error {
	for {
		addrs, err := n.Addrs(link)
		if err != nil {
			return err
		}
		tentative := 0
		for _, a := range addrs {
			if a.Tentative {
				tentative++
			}
		}
		if tentative == 0 {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for addresses of %s in %s: %w", link, n.name, context.Cause(ctx))
		}
	}
}
