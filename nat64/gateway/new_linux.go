package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nldump"
)

// New attaches to the device that a plan made, in the calling goroutine's
// network namespace. It needs CAP_NET_ADMIN there. The error matches
// ErrNotSetUp where the device is missing or of another make, and is a
// *plan.Refusal for a Config that can't be served.
func New(cfg Config) (*Gateway, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("start gateway: open netlink: %w", err)
	}
	l, err := h.LinkByName(cfg.Device)
	if err != nil && !errors.As(err, new(netlink.LinkNotFoundError)) {
		h.Close()
		return nil, fmt.Errorf("start gateway: find link %s: %w", cfg.Device, err)
	}
	if err != nil || !linkOf(l).ours() {
		h.Close()
		return nil, fmt.Errorf("start gateway: %w: %s (apply the plan first)", ErrNotSetUp, cfg.Device)
	}
	home, err := netns.NewHome()
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("start gateway: hold the network namespace: %w", err)
	}
	g := &Gateway{log: cfg.Logger, config: cfg, host: &kernel{h: h, home: home, link: cfg.GuestLink}}
	g.fast.aside = newAside()
	g.table = newTable(cfg.Pool, g.forget)
	g.table.quota = max(0, cfg.PerPort)
	g.mapper = newMapper(cfg, g.table)
	if guests, err := h.LinkByName(cfg.GuestLink); err == nil {
		_, g.mapper.stamped = guests.(*netlink.Bridge)
	}
	for i := range cfg.Queues {
		fd, segments, err := openQueue(cfg.Device)
		if err != nil {
			g.Close()
			return nil, fmt.Errorf("start gateway: %w", err)
		}
		dev, err := newTun(fd, fmt.Sprintf("%s queue %d", cfg.Device, i))
		if err != nil {
			g.Close()
			return nil, fmt.Errorf("start gateway: %w", err)
		}
		g.closers = append(g.closers, dev)
		q := newQueue(dev, g.mapper)
		if segments {
			q.join = newJoin()
		}
		q.tr.MTU6 = State{GuestMTU: l.Attrs().MTU}.mtu6() // the device's, as planned
		g.queues = append(g.queues, q)
	}
	if err := waitRunning(h, cfg.Device); err != nil {
		g.Close()
		return nil, fmt.Errorf("start gateway: %w", err)
	}
	g.pinExposed(time.Now())
	if cfg.Pins != "" {
		if err := g.host.hearRoutes(cfg.Guests, g.noteRoute); err != nil {
			g.Close()
			return nil, fmt.Errorf("start gateway: %w", err)
		}
		programs, err := g.host.programs(cfg)
		if err != nil {
			err = cfg.whyNone(err)
			g.standAside()
		} else {
			err = g.follow(programs)
		}
		g.fast.set(programs, err)
		if err != nil {
			g.log.Warn("no fast path", "error", err)
		}
	}
	g.start(time.Now())
	return g, nil
}

// waitRunning waits until the kernel has noticed that the device is served: it
// drops what is sent there before, though the device is up.
func waitRunning(h *netlink.Handle, device string) error {
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
		l, err := h.LinkByName(device)
		if err != nil {
			return fmt.Errorf("find link %s: %w", device, err)
		}
		if f := l.Attrs().Flags; f&net.FlagUp == 0 || f&net.FlagRunning != 0 || time.Now().After(deadline) {
			return nil
		}
	}
}

// kernel implements host. Its sockets stay in the namespace of New.
type kernel struct {
	h      *netlink.Handle
	home   *netns.Home
	link   string
	routes *routes // nil where nobody listens
}

func (k *kernel) neighbours() ([]netip.Addr, error) {
	l, err := k.h.LinkByName(k.link)
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", k.link, err)
	}
	all, err := nldump.Retry(func() ([]netlink.Neigh, error) { return k.h.NeighList(l.Attrs().Index, netlink.FAMILY_V6) })
	if err != nil {
		return nil, fmt.Errorf("list neighbours of %s: %w", k.link, err)
	}
	const known = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT
	var out []netip.Addr
	for _, n := range all {
		if a, ok := netip.AddrFromSlice(n.IP); ok && n.State&known != 0 {
			out = append(out, a)
		}
	}
	return out, nil
}

// source asks for the route to some guest: its preferred source is what the
// kernel itself would answer from.
func (k *kernel) source(guests netip.Prefix) (netip.Addr, error) {
	some := guests.Addr().As16()
	some[15] |= 0xfe
	routes, err := k.h.RouteGet(some[:])
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the source towards %s: %w", guests, err)
	}
	for _, r := range routes {
		if a, ok := netip.AddrFromSlice(r.Src); ok && a.Is6() && !a.IsLinkLocalUnicast() {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("the host has no address towards %s", guests)
}

func (k *kernel) own4() ([]netip.Addr, error) {
	all, err := nldump.Retry(func() ([]netlink.Addr, error) { return k.h.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var out []netip.Addr
	for _, a := range all {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok {
			out = append(out, ip)
		}
	}
	return out, nil
}

// ports are the names of links by their numbers as far as a stamp holds them.
func (k *kernel) ports() (map[origin]string, error) {
	links, err := nldump.Retry(k.h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	out := make(map[origin]string)
	for _, l := range links {
		if l.Attrs().MasterIndex != 0 {
			out[origin(l.Attrs().Index)] = l.Attrs().Name
		}
	}
	return out, nil
}

func (k *kernel) forget(pool netip.Addr) error {
	filter := &netlink.ConntrackFilter{}
	if err := filter.AddIP(netlink.ConntrackOrigSrcIP, pool.AsSlice()); err != nil {
		return err
	}
	if _, err := k.h.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, filter); err != nil {
		return fmt.Errorf("delete conntrack entries of %s: %w", pool, err)
	}
	return nil
}

func (k *kernel) Close() error {
	if k.routes != nil {
		k.routes.close()
		k.routes = nil
	}
	k.h.Close()
	return k.home.Close()
}
