package hostroute

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Capture reads the routes on a bridge that were made here: none where there is
// no such link.
func Capture(ctx context.Context, bridge string) (State, error) {
	s := State{Bridge: bridge}
	err := with(ctx, bridge, func(h *netlink.Handle, l netlink.Link) error {
		for {
			list, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{LinkIndex: l.Attrs().Index, Protocol: Protocol}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
			if errors.Is(err, netlink.ErrDumpInterrupted) {
				continue
			}
			for _, r := range list {
				if a, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok {
					s.Routes = append(s.Routes, a)
				}
			}
			return err
		}
	})
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return s, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("capture guests' routes: %w", err)
	}
	return s, nil
}

func set(ctx context.Context, bridge string, a netip.Addr, present bool) error {
	err := with(ctx, bridge, func(h *netlink.Handle, l netlink.Link) error {
		r := &netlink.Route{
			LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK, Protocol: Protocol,
			Dst: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)},
		}
		if present {
			return h.RouteReplace(r)
		}
		if err := h.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("route of %s on %s: %w", a, bridge, err)
	}
	return nil
}

func with(ctx context.Context, bridge string, fn func(*netlink.Handle, netlink.Link) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(bridge)
	if err != nil {
		return err
	}
	return fn(h, l)
}
