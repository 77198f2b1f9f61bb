package ra

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/slaac"
)

// The kernel's view: a default route that goes takes the guests' along, and the
// host stays a router to them: the R flag of its neighbour advertisements (RFC
// 4861, section 4.4) stays set, as clearing it makes hosts drop all they know.
func TestKernelUplinkLost(t *testing.T) {
	n := newTestNet(t)
	r := handle(t, n.router)
	route := &netlink.Route{Dst: &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}, Gw: net.ParseIP("fe80::fe")}
	var up *DefaultRoute
	nstest.Do(t, n.router, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "uplink"
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "provider"}); err != nil {
			return fmt.Errorf("add uplink: %w", err)
		}
		for _, name := range []string{"uplink", "provider"} {
			if err := setUp(name, true); err != nil {
				return err
			}
		}
		l, err := netlink.LinkByName("uplink")
		if err != nil {
			return err
		}
		route.LinkIndex = l.Attrs().Index
		up, err = NewDefaultRoute()
		return err
	})
	t.Cleanup(func() { up.Close() })
	isUp := func(want bool) {
		t.Helper()
		if got, err := up.Up(); err != nil || got != want {
			t.Errorf("Up = %t, %v, want %t", got, err, want)
		}
	}
	isUp(false)
	// What leads nowhere is no way: an unreachable route, another table's.
	if err := r.RouteAdd(&netlink.Route{Dst: route.Dst, Type: unix.RTN_UNREACHABLE, LinkIndex: 1, Priority: 4000}); err != nil {
		t.Fatal(err)
	}
	elsewhere := *route
	elsewhere.Table = 100
	if err := r.RouteAdd(&elsewhere); err != nil {
		t.Fatal(err)
	}
	isUp(false)
	if err := r.RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	isUp(true)

	cfg := kernelConfig()
	cfg.Routes = nil
	cfg.Uplink = up
	s, _ := n.serve(t, cfg)
	h := handle(t, n.guest)
	n.guestUp(t, true)
	gateways := func(want int) {
		t.Helper()
		eventually(t, 15*time.Second, func() string {
			if _, gateways := guestState(h); len(gateways) != want {
				return fmt.Sprintf("default routes by %v, want %d; %+v", gateways, want, s.Stats())
			}
			return ""
		})
	}
	gateways(1)
	// The guest asks for the router's MAC, so that it has seen its flag.
	ask := func() {
		nstest.Do(t, n.guest, func() error {
			c, err := net.Dial("udp6", fmt.Sprintf("[%s%%%s]:9", slaac.LinkLocal(n.routerMAC), guestLink))
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte("x"))
			return err
		})
	}
	isRouter := func() string {
		l, err := h.LinkByName(guestLink)
		if err != nil {
			return err.Error()
		}
		list, err := h.NeighList(l.Attrs().Index, netlink.FAMILY_V6)
		if err != nil {
			return err.Error()
		}
		for _, e := range list {
			if e.IP.Equal(net.IP(slaac.LinkLocal(n.routerMAC).AsSlice())) && e.State&(unix.NUD_REACHABLE|unix.NUD_STALE|unix.NUD_DELAY) != 0 {
				if e.Flags&netlink.NTF_ROUTER == 0 {
					return "the guest's neighbour is no router"
				}
				return ""
			}
		}
		return "the guest has no neighbour"
	}
	if err := r.RouteDel(route); err != nil {
		t.Fatal(err)
	}
	gateways(0)
	// Forget and ask again: the answer is the kernel's neighbour advertisement.
	l, err := h.LinkByName(guestLink)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.NeighDel(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: net.IP(slaac.LinkLocal(n.routerMAC).AsSlice())}); err != nil {
		t.Fatal(err)
	}
	ask()
	eventually(t, 10*time.Second, isRouter)
	if err := r.RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	gateways(1)
	// A link that goes down takes its routes along.
	nstest.Do(t, n.router, func() error { return setUp("uplink", false) })
	gateways(0)
}

func TestDefaultRouteWaitEnds(t *testing.T) {
	ns := nstest.NS(t)
	var up *DefaultRoute
	nstest.Do(t, ns, func() (err error) {
		up, err = NewDefaultRoute()
		return err
	})
	defer up.Close()
	for range 2 {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- up.Wait(ctx) }()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Wait goes on")
		}
	}
}
