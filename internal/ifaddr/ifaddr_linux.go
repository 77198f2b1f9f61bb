package ifaddr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	patience = 10 * time.Second
	interval = time.Millisecond
)

// AddReady adds an address without duplicate address detection and returns when
// the interface receives packets to it. The interface must be up. The error of
// an address that is there already matches unix.EEXIST.
func AddReady(ctx context.Context, h *netlink.Handle, link netlink.Link, a *netlink.Addr) error {
	is6 := a.IP.To4() == nil
	if is6 {
		a.Flags |= unix.IFA_F_NODAD
	}
	if err := h.AddrAdd(link, a); err != nil {
		return err
	}
	if !is6 {
		return nil // made local before the kernel answers
	}
	return WaitReady(ctx, h, link, a.IP)
}

// WaitReady returns when the interface receives packets to an IPv6 address that
// was added to it.
func WaitReady(ctx context.Context, h *netlink.Handle, link netlink.Link, ip net.IP) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		local, err := isLocal(h, link, ip)
		if err != nil {
			return err
		}
		if local {
			return nil
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return fmt.Errorf("wait for the kernel to receive packets to %s: %w", ip, context.Cause(ctx))
		}
	}
}

// AddText is AddReady for an address written as "2001:db8::1/64".
func AddText(h *netlink.Handle, link netlink.Link, prefix string) error {
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		return fmt.Errorf("parse address %q: %w", prefix, err)
	}
	if err := AddReady(context.Background(), h, link, a); err != nil {
		return fmt.Errorf("add %s to %s: %w", prefix, link.Attrs().Name, err)
	}
	return nil
}

// isLocal reports whether the link has a host route for ip in the local table.
func isLocal(h *netlink.Handle, link netlink.Link, ip net.IP) (bool, error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_LOCAL, LinkIndex: link.Attrs().Index}
	list, err := h.RouteListFiltered(netlink.FAMILY_V6, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_OIF)
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return false, nil // the caller asks again
	}
	if err != nil {
		return false, fmt.Errorf("list local routes of %s: %w", link.Attrs().Name, err)
	}
	for _, r := range list {
		if r.Dst != nil && r.Dst.IP.Equal(ip) {
			return true, nil
		}
	}
	return false, nil
}
