package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/hostile"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
)

// neighbours reads a node's IPv4 and IPv6 neighbour entries that name a MAC.
func neighbours(n *lab.Node) (map[netip.Addr]wire.MAC, error) {
	h, err := n.NS().Handle()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	entries := make(map[netip.Addr]wire.MAC)
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := h.NeighList(0, family)
		for i := 0; errors.Is(err, netlink.ErrDumpInterrupted) && i < 10; i++ {
			list, err = h.NeighList(0, family)
		}
		if err != nil {
			return nil, fmt.Errorf("list neighbours of %s: %w", n.Name(), err)
		}
		for _, e := range list {
			a, ok := netip.AddrFromSlice(e.IP)
			if !ok || a.IsMulticast() {
				continue
			}
			// An entry without a MAC takes its place in the table too.
			mac, _ := wire.MACOf(e.HardwareAddr)
			entries[a.Unmap()] = mac
		}
	}
	return entries, nil
}

// wrongs says in words what is not as it should be at the guests that behave,
// and at the host: each sentence names one thing.
func (a *attackRun) wrongs() ([]string, error) {
	var list []string
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, g := range a.victims {
		addrs, err := g.Addrs(lab.GuestLink)
		if err != nil {
			return nil, err
		}
		own := false
		for _, ad := range addrs {
			switch ip := ad.Prefix.Addr(); {
			case ip.IsLinkLocalUnicast():
			case ip == g.IPv6() && !ad.Tentative:
				own = true
			case ip != g.IPv6():
				say("%s has the address %s", g.Name(), ip)
			}
		}
		if !own {
			say("%s has lost its address", g.Name())
		}
		routes, err := g.DefaultRoutes()
		if err != nil {
			return nil, err
		}
		if len(routes) == 0 {
			say("%s has no default route", g.Name())
		}
		for _, via := range routes {
			if via.WithZone("") != a.hostLocal {
				say("%s has a default route via %s", g.Name(), via.WithZone(""))
			}
		}
		for _, s := range g.RDNSS() {
			if a.rdnss.IsValid() && s != a.rdnss {
				say("%s is told the name server %s", g.Name(), s)
			}
		}
		if err := a.wrongNeighbours(g.Node, say); err != nil {
			return nil, err
		}
	}
	if err := a.wrongNeighbours(a.run.lab.Server(), say); err != nil {
		return nil, err
	}
	gws, err := a.run.lab.Server().DefaultRoutes()
	if err != nil {
		return nil, err
	}
	for _, via := range gws {
		if via.WithZone("") != a.run.lab.Gateway6() {
			say("the host has a default route via %s", via.WithZone(""))
		}
	}
	if len(gws) == 0 {
		say("the host has no default route")
	}
	return list, nil
}

// wrongNeighbours finds entries that lead an address of somebody to another.
func (a *attackRun) wrongNeighbours(n *lab.Node, say func(string, ...any)) error {
	entries, err := neighbours(n)
	if err != nil {
		return err
	}
	for addr, mac := range entries {
		want, known := a.owners[addr]
		if known && !mac.IsZero() && mac != want {
			say("%s takes %s to be at %s", n.Name(), addr, mac)
		}
	}
	return nil
}

// heal undoes what the attack before has done, so that each is seen for itself:
// where the edge holds there is nothing to undo.
func (a *attackRun) heal(ctx context.Context) error {
	for _, n := range append([]*lab.Node{a.run.lab.Server()}, nodesOf(a.victims)...) {
		if err := a.forget(n); err != nil {
			return err
		}
	}
	// Bridges learn from what is sent where everybody is.
	var wg sync.WaitGroup
	for _, to := range []netip.Addr{lab.ServerIPv4().Addr(), a.stage.Host} {
		wg.Go(func() { probe.TryPing(ctx, a.run.lab.Node(lab.Provider).NS(), to, 300*time.Millisecond) })
	}
	for _, g := range a.run.lab.Guests() {
		wg.Go(func() { probe.TryPing(ctx, g.NS(), a.stage.Host, 300*time.Millisecond) })
	}
	wg.Wait()
	return ctx.Err()
}

func nodesOf(guests []*lab.Guest) []*lab.Node {
	var nodes []*lab.Node
	for _, g := range guests {
		nodes = append(nodes, g.Node)
	}
	return nodes
}

// forget removes neighbour entries, addresses and default routes that are wrong.
func (a *attackRun) forget(n *lab.Node) error {
	h, err := n.NS().Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := h.NeighList(0, family)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return fmt.Errorf("list neighbours of %s: %w", n.Name(), err)
		}
		for _, e := range list {
			addr, _ := netip.AddrFromSlice(e.IP)
			want, known := a.owners[addr.Unmap()]
			mac, _ := wire.MACOf(e.HardwareAddr)
			if known && !mac.IsZero() && mac != want {
				// It may be gone already.
				_ = h.NeighDel(&e)
			}
		}
	}
	if n == a.run.lab.Server() {
		return nil
	}
	l, err := h.LinkByName(lab.GuestLink)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", lab.GuestLink, n.Name(), err)
	}
	addrs, err := h.AddrList(l, netlink.FAMILY_V6)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("list addresses of %s: %w", n.Name(), err)
	}
	for _, ad := range addrs {
		if ip, ok := netip.AddrFromSlice(ad.IP); ok && hostile.RoguePrefix().Contains(ip) {
			_ = h.AddrDel(l, &ad)
		}
	}
	routes, err := h.RouteList(nil, netlink.FAMILY_V6)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("list routes of %s: %w", n.Name(), err)
	}
	right := false
	for _, r := range routes {
		via, ok := netip.AddrFromSlice(r.Gw)
		if ok && via != a.hostLocal {
			_ = h.RouteDel(&r)
		}
		right = right || ok && via == a.hostLocal
	}
	if right {
		return nil
	}
	// The next advertisement may be minutes away.
	back := &netlink.Route{LinkIndex: l.Attrs().Index, Gw: a.hostLocal.AsSlice(), Dst: &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}
	if err := h.RouteReplace(back); err != nil {
		return fmt.Errorf("give %s its default route back: %w", n.Name(), err)
	}
	return nil
}

// strays counts the host's neighbour entries for addresses that nobody has.
func (a *attackRun) strays() (int, error) {
	entries, err := neighbours(a.run.lab.Server())
	if err != nil {
		return 0, err
	}
	n := 0
	for addr := range entries {
		if a.stage.Absent(addr) {
			n++
		}
	}
	return n, nil
}

// fresh returns what of now was not in before, shortened to the first few.
func fresh(before, now []string) []string {
	var list []string
	for _, s := range now {
		if !slices.Contains(before, s) {
			list = append(list, s)
		}
	}
	slices.Sort(list)
	const few = 6
	if more := len(list) - few; more > 0 {
		list = append(list[:few], fmt.Sprintf("and %d more", more))
	}
	return slices.DeleteFunc(list, func(s string) bool { return strings.TrimSpace(s) == "" })
}
