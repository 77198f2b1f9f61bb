package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/sysctl"
)

// withLink runs one change to a link by its name.
func withLink(ctx context.Context, name string, f func(h *netlink.Handle, l netlink.Link) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	l, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	return f(h, l)
}

func createLink(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fd, err := openTun(name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("make %s persistent: %w", name, err)
	}
	return nil
}

func removeLink(ctx context.Context, name string) error {
	return withLink(ctx, name, func(h *netlink.Handle, l netlink.Link) error {
		if err := h.LinkDel(l); err != nil {
			return fmt.Errorf("remove link %s: %w", name, err)
		}
		return nil
	})
}

func setMTU(ctx context.Context, name string, mtu int) error {
	return withLink(ctx, name, func(h *netlink.Handle, l netlink.Link) error {
		if err := h.LinkSetMTU(l, mtu); err != nil {
			return fmt.Errorf("set MTU of %s: %w", name, err)
		}
		return nil
	})
}

func setUp(ctx context.Context, name string, up bool) error {
	return withLink(ctx, name, func(h *netlink.Handle, l netlink.Link) error {
		set := h.LinkSetDown
		if up {
			set = h.LinkSetUp
		}
		if err := set(l); err != nil {
			return fmt.Errorf("set link %s up or down: %w", name, err)
		}
		return nil
	})
}

func addRoute(ctx context.Context, dev string, r Route) error {
	return withLink(ctx, dev, func(h *netlink.Handle, l netlink.Link) error {
		if err := h.RouteAdd(r.netlink(l)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add route %s: %w", r.describe(dev), err)
		} else if err == nil {
			return nil
		}
		// There is one with other attributes, or the same already.
		if err := h.RouteReplace(r.netlink(l)); err != nil {
			return fmt.Errorf("replace route %s: %w", r.describe(dev), err)
		}
		return nil
	})
}

func removeRoute(ctx context.Context, dev string, r Route) error {
	return withLink(ctx, dev, func(h *netlink.Handle, l netlink.Link) error {
		// Whoever made it: any protocol and scope.
		n := r.netlink(l)
		n.Protocol, n.Scope = unix.RTPROT_UNSPEC, netlink.SCOPE_NOWHERE
		if err := h.RouteDel(n); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove route %s: %w", r.describe(dev), err)
		}
		return nil
	})
}

func (r Route) netlink(l netlink.Link) *netlink.Route {
	n := &netlink.Route{
		LinkIndex: l.Attrs().Index,
		Dst:       ipNet(r.Dst),
		MTU:       r.MTU,
		Priority:  r.Metric,
		Table:     r.Table,
		Protocol:  unix.RTPROT_STATIC,
		Scope:     netlink.SCOPE_UNIVERSE,
	}
	if r.Dst.Addr().Is4() {
		n.Scope = netlink.SCOPE_LINK
	}
	return n
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func setSysctl(ctx context.Context, key, value string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return sysctl.Write(key, value)
}
