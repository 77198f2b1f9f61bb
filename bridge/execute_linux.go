package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
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
	// A rule names links that need not exist.
	switch c := c.(type) {
	case addRule:
		header, attrs := c.encode()
		return wrap(send(unix.RTM_NEWRULE, unix.NLM_F_CREATE, header, attrs), "add rule %q", c.Rule)
	case delRule:
		header, attrs := c.encode()
		return wrap(ignore(send(unix.RTM_DELRULE, 0, header, attrs), unix.ENOENT), "remove rule %q", c.Rule)
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	if b, ok := c.(createBridge); ok {
		off, groups := false, b.GroupForward
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.HardwareAddr = b.Name, b.MTU, b.MAC.HardwareAddr()
		if b.TxQueueLen > 0 {
			attrs.TxQLen = b.TxQueueLen
		}
		if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off, GroupFwdMask: &groups}); err != nil {
			return fmt.Errorf("add bridge %s: %w", b.Name, err)
		}
		return wrap(setTree(b.Name, b.STP, b.ForwardDelay), "set spanning tree of %s", b.Name)
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
	case setSpanningTree:
		return wrap(setTree(c.link, c.on, c.delay), "set spanning tree of %s", c.link)
	case setTxQueueLen:
		return wrap(h.LinkSetTxQLen(link, c.length), "set transmit queue of %s", c.link)
	case setSnooping:
		return wrap(h.BridgeSetMcastSnoop(link, c.on), "set multicast snooping of %s", c.link)
	case setGroupForward:
		return wrap(setGroups(c.link, c.mask), "set group forwarding of %s", c.link)
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
		return wrap(addReady(ctx, h, link, c.Addr), "add address %s to %s", c.Prefix, c.Link)
	case changeAddr:
		return wrap(setAddr(link, c.Addr, unix.NLM_F_REPLACE), "change address %s of %s", c.Prefix, c.Link)
	case settleAddr:
		// Replacing an address without the flag clears it and starts no detection.
		return wrap(setAddr(link, c.Addr, unix.NLM_F_REPLACE), "clear nodad of %s on %s", c.Prefix, c.Link)
	case delAddr:
		return wrap(removeAddr(link.Attrs().Index, c.Addr), "remove address %s from %s", c.Prefix, c.Link)
	case addNeighbor:
		header, attrs := c.encode(link.Attrs().Index)
		return wrap(send(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, header, attrs), "set neighbour %s on %s", c.IP, c.Link)
	case delNeighbor:
		header, attrs := c.encode(link.Attrs().Index)
		return wrap(ignore(send(unix.RTM_DELNEIGH, 0, header, attrs), unix.ENOENT), "forget neighbour %s on %s", c.IP, c.Link)
	case replaceRoute:
		return wrap(setRoute(h, c.Route, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE), "set route %s", describeRoute(c.Route))
	case addRoute:
		return wrap(ignore(setRoute(h, c.Route, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL), unix.EEXIST), "add route %s", describeRoute(c.Route))
	case delRoute:
		return wrap(ignore(setRoute(h, c.Route, unix.RTM_DELROUTE, 0), unix.ESRCH), "remove route %s", describeRoute(c.Route))
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
	case setSpanningTree:
		return c.link
	case setTxQueueLen:
		return c.link
	case setSnooping:
		return c.link
	case setGroupForward:
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
	case addRoute:
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

// addReady adds an address and returns when packets to it are received: not
// before may it leave the other link.
func addReady(ctx context.Context, h *netlink.Handle, link netlink.Link, a Addr) error {
	is6 := a.Prefix.Addr().Is6()
	a.NoDAD = is6
	if err := setAddr(link, a, unix.NLM_F_EXCL); err != nil || !is6 {
		return ignore(err, unix.EEXIST)
	}
	return ifaddr.WaitReady(ctx, h, link, a.Prefix.Addr().AsSlice())
}

func setAddr(link netlink.Link, a Addr, flags int) error {
	header, attrs := a.encode(link.Attrs().Index)
	return send(unix.RTM_NEWADDR, unix.NLM_F_CREATE|flags, header, attrs)
}

// removeAddr removes an address with what the kernel made for it. Where IPv6
// addresses of different metrics shared a prefix, or one had a peer, the kernel
// itself leaves a route behind, which would draw packets to the NIC.
func removeAddr(index int, a Addr) error {
	header, attrs := a.encode(index)
	if err := ignore(send(unix.RTM_DELADDR, 0, header, attrs), unix.EADDRNOTAVAIL); err != nil {
		return err
	}
	if a.Prefix.Addr().Is4() || a.NoPrefixRoute {
		return nil
	}
	gone, rest := State{Addrs: []Addr{a}}, State{}
	if err := rest.captureAddrs(a.Link, index); err != nil {
		return err
	}
	msgs, err := dump(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET6}})
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, m := range msgs {
		r, err := decodeRoute(m)
		if err != nil {
			return err
		}
		if r.Link = a.Link; r.Protocol != protocolKernel || r.Table != mainTable || !slices.Equal(r.links, []int{index}) || !gone.followsAddr(r.Route) || rest.followsAddr(r.Route) {
			continue
		}
		header, attrs, err := r.encode(func(string) (int, error) { return index, nil })
		if err != nil {
			return err
		}
		if err := ignore(send(unix.RTM_DELROUTE, 0, header, attrs), unix.ESRCH); err != nil {
			return fmt.Errorf("remove the route to %s that is left: %w", r.Dst, err)
		}
	}
	return nil
}

func setRoute(h *netlink.Handle, r Route, request uint16, flags int) error {
	header, attrs, err := r.encode(func(name string) (int, error) {
		link, err := h.LinkByName(name)
		if err != nil {
			return 0, fmt.Errorf("find %s: %w", name, err)
		}
		return link.Attrs().Index, nil
	})
	if err != nil {
		return err
	}
	return send(request, flags, header, attrs)
}
