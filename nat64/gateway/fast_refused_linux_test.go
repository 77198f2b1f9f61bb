package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/gateway/fastpath"
	"github.com/sixhost/sixhost/plan"
)

// programsOf is what the pinned programs know.
func (n *network) programsOf(t *testing.T) map[netip.Addr]netip.Addr {
	t.Helper()
	p, err := fastpath.Open(n.cfg.Pins)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	all, err := p.Mappings()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// portable fails the test unless the gateway says that it goes by the portable
// path, and the guest is served.
func (n *network) portable(t *testing.T, g *Gateway) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s := g.Stats()
		if s.Path == PathPortable && errors.Is(s.FastPathError, ErrNoFastPath) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("path %s: %v", s.Path, s.FastPathError)
		}
	}
	if all := n.programsOf(t); len(all) != 0 {
		t.Errorf("programs that are refused know %v", all)
	}
	if _, m := icmp6(t, n.guest, testWeb6, 10, 5*time.Second); m == nil {
		t.Error("no answer by the portable path")
	}
}

// Programs that New refuses stay refused, whatever they knew of before, and are
// followed once a plan has put them right.
func TestFastRefusedForGood(t *testing.T) {
	n := newFastNetwork(t)
	n.apply(t)
	n.fastAttached(t)
	_, stop := n.serve(t)
	icmp6(t, n.guest, testWeb6, 10, 5*time.Second)
	stop()
	if len(n.programsOf(t)) == 0 {
		t.Fatal("no mapping")
	}
	// As of another configuration: the programs are for another prefix.
	there := n.capture(t)
	there.Fast.Prefix = otherPrefix(t)
	nstest.Do(t, n.host, func() error { return attachFast(context.Background(), there) })
	g, _ := n.serve(t)
	n.portable(t, g)
	for range 3 {
		g.refollow() // what Run does each second
	}
	n.portable(t, g)
	if n.apply(t) == 0 {
		t.Fatal("the plan finds nothing to put right")
	}
	g.refollow()
	if s := g.Stats(); s.Path != PathFast || s.FastPathError != nil || s.Fast.To4[fastpath.Translated].Packets != 0 {
		t.Errorf("path %s: %v, %+v", s.Path, s.FastPathError, s.Fast.To4)
	}
	if _, m := icmp6(t, n.guest, testWeb6, 10, 5*time.Second); m == nil {
		t.Error("no answer by the fast path")
	}
	if s := g.Stats(); s.Fast.To4[fastpath.Translated].Packets != 1 || s.Fast.To6[fastpath.Translated].Packets != 1 {
		t.Errorf("%+v", s.Fast)
	}
}

// A guests' link that is made anew is not where the programs lead: answers go
// the portable way until a plan attaches the programs again.
func TestGuestLinkMadeAnew(t *testing.T) {
	for _, name := range []string{"while serving", "while nobody serves"} {
		t.Run(name, func(t *testing.T) {
			n := newFastNetwork(t)
			n.apply(t)
			n.fastAttached(t)
			g, stop := n.serve(t)
			icmp6(t, n.guest, testWeb6, 10, 5*time.Second)
			serving := name == "while serving"
			if !serving {
				stop()
			}
			n.remakeBridge(t)
			if !serving {
				g, _ = n.serve(t)
			}
			n.portable(t, g)
			if n.apply(t) == 0 {
				t.Fatal("the plan finds nothing to put right")
			}
			n.fastAttached(t)
			for deadline := time.Now().Add(20 * time.Second); g.Stats().Path != PathFast; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal(g.Stats().FastPathError)
				}
			}
			before := g.Stats()
			if _, m := icmp6(t, n.guest, testWeb6, 10, 5*time.Second); m == nil {
				t.Error("no answer by the fast path")
			}
			if after := g.Stats(); after.To6.FastPackets != before.To6.FastPackets+1 {
				t.Errorf("%+v, then %+v", before.To6, after.To6)
			}
		})
	}
}

// remakeBridge takes br0 away and makes it again, with all that a plan doesn't
// own.
func (n *network) remakeBridge(t *testing.T) {
	t.Helper()
	h, err := n.host.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	old, err := h.LinkByName("br0")
	if err != nil {
		t.Fatal(err)
	}
	snooping := false
	err = errors.Join(h.LinkDel(old),
		h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}, MulticastSnooping: &snooping}),
		up(h, "br0"))
	if err != nil {
		t.Fatal(err)
	}
	br, err := h.LinkByName("br0")
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{"vnet0", "enp2s0"} {
		l, err := h.LinkByName(port)
		if err == nil {
			err = h.LinkSetMaster(l, br)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	err = errors.Join(address(h, "br0", testHost6+"/64"), address(h, "br0", testHost4+"/32"), route(h, "br0", "0.0.0.0/0", testRouter, 0),
		address(h, "br0", "2001:db8:ffff::2/64"))
	if err != nil {
		t.Fatal(err)
	}
	nstest.Output(t, n.host, "sysctl", "-qw", "net.ipv4.conf.br0.forwarding=1")
	for try := 0; ; try++ {
		if _, m := icmp6(t, n.guest, testHost6, 10, 100*time.Millisecond); m != nil {
			return
		}
		if try == 100 {
			t.Fatal("the host does not answer")
		}
	}
}

// Two gateways of one namespace that name the same folder: the one that did not
// attach the programs leaves them, and what they know, alone.
func TestFolderOfAnother(t *testing.T) {
	n := newFastNetwork(t)
	n.apply(t)
	n.fastAttached(t)
	g, _ := n.serve(t)
	icmp6(t, n.guest, testWeb6, 10, 5*time.Second)
	was := fmt.Sprint(n.programsOf(t))

	other := *n
	other.cfg.Device, other.cfg.Pool = "nat64b", netip.MustParsePrefix("10.99.0.0/24")
	other.cfg.Prefix, other.cfg.Mappings = otherPrefix(t), "-"
	there := other.capture(t)
	want, err := other.cfg.State(there)
	if err != nil {
		t.Fatal(err)
	}
	want.Table, want.Stamp = there.Table, there.Stamp
	there.Fast, want.Fast = nil, nil
	p, err := Plan(there, want)
	if err != nil {
		t.Fatal(err)
	}
	nstest.Do(t, n.host, func() error { return p.Run(context.Background(), plan.Apply, nil) })
	second, _ := other.serve(t)
	for range 3 {
		second.refollow()
	}
	if s := second.Stats(); s.Path != PathPortable || !errors.Is(s.FastPathError, ErrNoFastPath) {
		t.Errorf("the other's path is %s: %v", s.Path, s.FastPathError)
	}
	second.table.assign(netip.MustParseAddr("2001:db8:1:3::77"), 0, false)
	if now := fmt.Sprint(n.programsOf(t)); now != was {
		t.Errorf("the programs know %s, knew %s", now, was)
	}
	if s := g.Stats(); s.Path != PathFast {
		t.Errorf("path %s: %v", s.Path, s.FastPathError)
	}
}

func otherPrefix(t *testing.T) nat64.Prefix {
	t.Helper()
	p, err := nat64.ParsePrefix("64:ff9b:1::/96")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
