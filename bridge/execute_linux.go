package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// execute makes one change, in the calling thread's network namespace.
func execute(ctx context.Context, c change) error {
	if s, ok := c.(setSysctl); ok {
		err := sysctl.Write(s.key, s.value)
		if strings.HasSuffix(s.key, "/forwarding") {
			// The link that it was for may be gone by now.
			return ignore(err, fs.ErrNotExist)
		}
		return err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	if b, ok := c.(createBridge); ok {
		off := false
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.HardwareAddr = b.Name, b.MTU, b.MAC.HardwareAddr()
		if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}); err != nil {
			return fmt.Errorf("add bridge %s: %w", b.Name, err)
		}
		return nil
	}
	if _, ok := c.(delBypass); ok {
		return takeBypass(ctx, h) // the link it was for may be gone by now
	}
	link, err := h.LinkByName(subject(c))
	if err != nil {
		return fmt.Errorf("find %s: %w", subject(c), err)
	}
	switch c := c.(type) {
	case deleteBridge:
		return wrap(h.LinkDel(link), "delete %s", c.name)
	case setMAC:
		return announced(c.link, func() error {
			return wrap(h.LinkSetHardwareAddr(link, c.mac.HardwareAddr()), "set MAC of %s", c.link)
		})
	case setMTU:
		return wrap(h.LinkSetMTU(link, c.mtu), "set MTU of %s", c.link)
	case setSnooping:
		return wrap(h.BridgeSetMcastSnoop(link, c.on), "set multicast snooping of %s", c.link)
	case setUp:
		if c.up {
			return wrap(h.LinkSetUp(link), "set %s up", c.link)
		}
		return wrap(h.LinkSetDown(link), "set %s down", c.link)
	case setMaster:
		return enslave(ctx, h, link, c)
	case addBypass:
		return putBypass(ctx, h, link)
	case addAddr:
		err := sendAddr(unix.NLM_F_CREATE|unix.NLM_F_EXCL, link.Attrs().Index, c.Addr, true)
		if err == nil && c.Prefix.Addr().Is6() {
			// Not before packets to it are received here may it leave the other link.
			err = ifaddr.Ready(ctx, h, link, c.Prefix.Addr().AsSlice())
		}
		return wrap(ignore(err, unix.EEXIST), "add address %s to %s", c.Prefix, c.Link)
	case changeAddr:
		return wrap(replaceAddr(link.Attrs().Index, c.Addr, c.NoDAD), "change address %s of %s", c.Prefix, c.Link)
	case settleAddr:
		// Replacing an address without the flag clears it and starts no detection.
		return wrap(replaceAddr(link.Attrs().Index, c.Addr, false), "clear nodad of %s on %s", c.Prefix, c.Link)
	case delAddr:
		return wrap(removeAddr(h, link, c.Addr), "remove address %s from %s", c.Prefix, c.Link)
	case addNeighbor:
		state := netlink.NUD_REACHABLE
		if c.Permanent {
			state = netlink.NUD_PERMANENT
		}
		return wrap(h.NeighSet(toNetlinkNeighbor(link, c.Neighbor, state)), "set neighbour %s on %s", c.IP, c.Link)
	case delNeighbor:
		return wrap(ignore(h.NeighDel(toNetlinkNeighbor(link, c.Neighbor, netlink.NUD_PERMANENT)), unix.ENOENT), "forget neighbour %s on %s", c.IP, c.Link)
	case replaceRoute:
		return wrap(sendRoute(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, kernelRoute{Route: c.Route, oif: link.Attrs().Index}), "set route %s", describeRoute(c.Route))
	case delRoute:
		return wrap(ignore(sendRoute(unix.RTM_DELROUTE, 0, kernelRoute{Route: c.Route, oif: link.Attrs().Index}), unix.ESRCH), "remove route %s", describeRoute(c.Route))
	}
	return fmt.Errorf("no way to make the change %q", c)
}

// subject is the link a change is made to.
func subject(c change) string {
	switch c := c.(type) {
	case deleteBridge:
		return c.name
	case setMAC:
		return c.link
	case setMTU:
		return c.link
	case setSnooping:
		return c.link
	case setUp:
		return c.link
	case setMaster:
		return c.link
	case addBypass:
		return c.link
	case addAddr:
		return c.Link
	case changeAddr:
		return c.Link
	case settleAddr:
		return c.Link
	case delAddr:
		return c.Link
	case addNeighbor:
		return c.Link
	case delNeighbor:
		return c.Link
	case replaceRoute:
		return c.Link
	case delRoute:
		return c.Link
	}
	return ""
}

// carrierPatience is how long a carrier is waited for. The kernel passes it on
// in a work queue, usually within a millisecond.
const carrierPatience = time.Second

func enslave(ctx context.Context, h *netlink.Handle, link netlink.Link, c setMaster) error {
	if c.master == "" {
		return wrap(h.LinkSetNoMaster(link), "release %s", c.link)
	}
	master, err := h.LinkByName(c.master)
	if err != nil {
		return fmt.Errorf("find %s: %w", c.master, err)
	}
	if err := h.LinkSetMaster(link, master); err != nil {
		return fmt.Errorf("make %s a port of %s: %w", c.link, c.master, err)
	}
	if link.Attrs().OperState == netlink.OperDown {
		return nil // it has none to lend
	}
	return awaitCarrier(ctx, h, c.master)
}

// awaitCarrier waits until the kernel has noticed a link's carrier: before, its
// queue is one that drops everything, so nothing may be led there yet. Where
// none comes, nothing is lost by going on.
func awaitCarrier(ctx context.Context, h *netlink.Handle, name string) error {
	for end := time.Now().Add(carrierPatience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return err
		}
		l, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if l.Attrs().OperState == netlink.OperUp {
			break
		}
	}
	return nil
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// ignore passes over an error that means that it is done already.
func ignore(err error, done error) error {
	if errors.Is(err, done) {
		return nil
	}
	return err
}

func toNetlinkAddr(a Addr) *netlink.Addr {
	n := &netlink.Addr{
		IPNet:       ipNet(a.Prefix),
		Label:       a.Label,
		Scope:       a.Scope,
		ValidLft:    lifetimeSeconds(a.Valid),
		PreferedLft: lifetimeSeconds(a.Preferred),
	}
	if a.Peer.IsValid() {
		n.Peer = ipNet(a.Peer)
	}
	if a.Prefix.Addr().Is4() {
		// The library makes a broadcast address up unless it is told there is none.
		n.Broadcast = net.IPv4zero
		if a.Broadcast.IsValid() {
			n.Broadcast = a.Broadcast.AsSlice()
		}
	}
	if a.NoPrefixRoute {
		n.Flags |= unix.IFA_F_NOPREFIXROUTE
	}
	if a.ManageTempAddr {
		n.Flags |= unix.IFA_F_MANAGETEMPADDR
	}
	return n
}

// lifetimeSeconds is a lifetime as rtnetlink has it: whole seconds, never
// rounded up, 2^32-1 for ever.
func lifetimeSeconds(d time.Duration) int {
	if d == Forever {
		return math.MaxUint32
	}
	return int(d / time.Second)
}

func lifetime(seconds int) time.Duration {
	if uint32(seconds) == math.MaxUint32 {
		return Forever
	}
	return time.Duration(seconds) * time.Second
}

func toNetlinkNeighbor(link netlink.Link, n Neighbor, state int) *netlink.Neigh {
	family := netlink.FAMILY_V6
	if n.IP.Is4() {
		family = netlink.FAMILY_V4
	}
	return &netlink.Neigh{LinkIndex: link.Attrs().Index, Family: family, State: state, IP: n.IP.AsSlice(), HardwareAddr: n.MAC.HardwareAddr()}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
