package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/internal/nldump"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// Capture reads the state of a scope in the calling thread's network
// namespace. Links that don't exist are left out of it. It needs CAP_NET_ADMIN
// for the firewall's table.
func Capture(ctx context.Context, scope Scope) (State, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return State{}, fmt.Errorf("capture gateway: open netlink: %w", err)
	}
	defer h.Close()
	s := State{Scope: scope, Sysctls: make(map[string]string)}
	links, err := nldump.Retry(h.LinkList)
	if err != nil {
		return State{}, fmt.Errorf("capture gateway: list links: %w", err)
	}
	names := make(map[int]string)
	device, guests := 0, 0
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
		if l.Attrs().Name == scope.GuestLink {
			guests = l.Attrs().Index
			s.GuestMTU = l.Attrs().MTU
		}
		if l.Attrs().Name == scope.Device {
			device = l.Attrs().Index
			s.Link = linkOf(l)
		}
	}
	if err := s.captureRoutes(h, names, device); err != nil {
		return State{}, fmt.Errorf("capture gateway: %w", err)
	}
	for _, key := range []string{addrGenMode(scope.Device), forwarding4(scope.Device), forwarding4(scope.GuestLink), forwarding4(scope.Uplink)} {
		v, err := sysctl.Read(key)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return State{}, fmt.Errorf("capture gateway: %w", err)
		}
		s.Sysctls[key] = v
	}
	all, err := sysctl.Read(forwarding4("all"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return State{}, fmt.Errorf("capture gateway: %w", err)
	}
	s.Forwards = all == "1"
	if s.Table, err = nft.Read(ctx, nft.INet, TableName); err != nil {
		return State{}, fmt.Errorf("capture gateway rules: %w", err)
	}
	if err := s.captureFast(device, guests); err != nil {
		return State{}, fmt.Errorf("capture gateway: %w", err)
	}
	if s.Stamp, err = nft.Read(ctx, nft.Bridge, TableName); err != nil {
		return State{}, fmt.Errorf("capture gateway rules: %w", err)
	}
	if scope.Mappings != "" {
		if _, err := os.Stat(scope.Mappings); err == nil {
			s.Kept = true
		} else if !errors.Is(err, fs.ErrNotExist) {
			return State{}, fmt.Errorf("capture gateway: %w", err)
		}
	}
	s.sort()
	return s, ctx.Err()
}

func linkOf(l netlink.Link) *Link {
	a := l.Attrs()
	out := &Link{Kind: l.Type(), MTU: a.MTU, Up: a.Flags&net.FlagUp != 0}
	if t, ok := l.(*netlink.Tuntap); ok {
		out.Tun = t.Mode == netlink.TUNTAP_MODE_TUN
		out.Persistent = !t.NonPersist
		out.MultiQueue = t.Flags&netlink.TUNTAP_MULTI_QUEUE != 0
		out.Kind = kindTun
	}
	return out
}

// captureRoutes sorts the routes of all tables, the local one with the host's
// addresses included, into ours and those in our way.
func (s *State) captureRoutes(h *netlink.Handle, names map[int]string, device int) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := nldump.Retry(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for _, r := range routes {
			dst, ok := prefixOf(r.Dst)
			if !ok {
				continue
			}
			switch {
			case device != 0 && r.LinkIndex == device:
				if r.Protocol != unix.RTPROT_KERNEL && r.Type == unix.RTN_UNICAST {
					s.Routes = append(s.Routes, Route{Dst: dst, MTU: r.MTU, Metric: r.Priority, Table: r.Table})
				}
			case r.Type == unix.RTN_UNREACHABLE, r.Type == unix.RTN_BLACKHOLE, r.Type == unix.RTN_PROHIBIT, r.Type == unix.RTN_THROW:
				// A fence around unused addresses, which ours is more specific than.
			case s.inTheWay(dst):
				s.InUse = append(s.InUse, InUse{Prefix: dst, Link: names[r.LinkIndex]})
			}
		}
	}
	return nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	bits, size := n.Mask.Size()
	if size == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, bits), true
}
