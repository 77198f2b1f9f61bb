package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"

	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/plan"
)

func TestMain(m *testing.M) {
	if cfg := os.Getenv(serveEnv); cfg != "" {
		os.Exit(serveAlone(cfg))
	}
	os.Exit(nstest.Main(m))
}

const (
	testGuest  = "2001:db8:1:3::10"
	testHost6  = "2001:db8:1:3::1"
	testHost4  = "203.0.113.10"
	testWeb    = "203.0.114.9" // in the IPv4 Internet
	testWeb6   = "64:ff9b::203.0.114.9"
	testRouter = "203.0.113.1"
)

// network is a guest and an IPv4 Internet on one bridge br0 in a host, as on a
// server whose NIC is a port of the guests' bridge.
type network struct {
	guest, host, web *netns.NS
	cfg              Config
}

func newNetwork(t *testing.T) *network {
	nstest.RequireTun(t)
	n := &network{guest: nstest.NS(t), host: nstest.NS(t), web: nstest.NS(t), cfg: sampleConfig()}
	n.cfg.Mappings = t.TempDir() + "/nat64.json"
	for _, ns := range []*netns.NS{n.guest, n.host, n.web} {
		nstest.Do(t, ns, func() error {
			for _, key := range []string{"net/ipv6/conf/all/accept_dad", "net/ipv6/conf/default/accept_dad", "net/ipv6/conf/all/accept_ra", "net/ipv6/conf/default/accept_ra"} {
				if err := sysctl.Write(key, "0"); err != nil {
					return err
				}
			}
			// Errors come as fast as the tests ask for them.
			if err := sysctl.Write("net/ipv6/icmp/ratelimit", "0"); err != nil {
				return err
			}
			return sysctl.Write("net/ipv4/icmp_ratelimit", "0")
		})
	}
	snooping := false
	on(t, n.host, func(h *netlink.Handle) error {
		return errors.Join(
			h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}, MulticastSnooping: &snooping}),
			up(h, "br0"),
		)
	})
	for _, end := range []struct {
		ns   *netns.NS
		port string
	}{{n.guest, "vnet0"}, {n.web, "enp2s0"}} {
		on(t, n.host, func(h *netlink.Handle) error {
			br, err := h.LinkByName("br0")
			if err != nil {
				return err
			}
			return errors.Join(
				h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: end.port, MasterIndex: br.Attrs().Index}, PeerName: "eth0",
					PeerNamespace: netlink.NsFd(int(end.ns.File().Fd()))}),
				up(h, end.port),
			)
		})
	}
	on(t, n.guest, func(h *netlink.Handle) error {
		return errors.Join(up(h, "eth0"), address(h, "eth0", testGuest+"/64"), route(h, "eth0", "::/0", testHost6, 0))
	})
	on(t, n.host, func(h *netlink.Handle) error {
		return errors.Join(address(h, "br0", testHost6+"/64"), address(h, "br0", testHost4+"/32"),
			route(h, "br0", "0.0.0.0/0", testRouter, 0))
	})
	on(t, n.web, func(h *netlink.Handle) error {
		return errors.Join(up(h, "eth0"), address(h, "eth0", testRouter+"/24"), address(h, "lo", testWeb+"/32"),
			address(h, "eth0", "2001:db8:ffff::1/64"), route(h, "eth0", "64:ff9b::/96", "2001:db8:ffff::2", 0))
	})
	on(t, n.host, func(h *netlink.Handle) error { return address(h, "br0", "2001:db8:ffff::2/64") })
	nstest.Do(t, n.host, func() error { return sysctl.Write("net/ipv6/conf/all/forwarding", "1") })
	for _, ns := range []*netns.NS{n.guest, n.web} {
		to := map[*netns.NS]string{n.guest: testHost6, n.web: "2001:db8:ffff::2"}[ns]
		for try := 0; ; try++ {
			if _, m := icmp6(t, ns, to, 10, 100*time.Millisecond); m != nil {
				break
			}
			if try == 100 {
				t.Fatalf("%s does not answer", to)
			}
		}
	}
	return n
}

// on changes the links of a namespace.
func on(t *testing.T, ns *netns.NS, f func(h *netlink.Handle) error) {
	t.Helper()
	h, err := ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := f(h); err != nil {
		t.Fatal(err)
	}
}

func up(h *netlink.Handle, name string) error {
	l, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	return h.LinkSetUp(l)
}

func address(h *netlink.Handle, name, prefix string) error {
	l, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	return ifaddr.AddText(h, l, prefix)
}

func route(h *netlink.Handle, name, dst, via string, mtu int) error {
	l, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(netip.MustParsePrefix(dst)), MTU: mtu}
	if via != "" {
		r.Gw, r.Flags = net.IP(netip.MustParseAddr(via).AsSlice()), int(netlink.FLAG_ONLINK)
	}
	return h.RouteReplace(r)
}

// routeIn adds a route in a namespace.
func routeIn(t *testing.T, ns *netns.NS, name, dst, via string, mtu int) {
	t.Helper()
	h, err := ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := route(h, name, dst, via, mtu); err != nil {
		t.Fatal(err)
	}
}

func (n *network) capture(t *testing.T) (s State) {
	t.Helper()
	nstest.Do(t, n.host, func() (err error) {
		s, err = Capture(context.Background(), n.cfg.Scope())
		return err
	})
	return s
}

// apply runs the plan and returns how many steps it had.
func (n *network) apply(t *testing.T) int {
	t.Helper()
	there := n.capture(t)
	want, err := n.cfg.State(there)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Plan(there, want)
	if err != nil {
		t.Fatal(err)
	}
	nstest.Do(t, n.host, func() error { return p.Run(context.Background(), plan.Apply, nil) })
	return len(p.Steps)
}

// serve runs a gateway until stop is called or the test ends.
func (n *network) serve(t *testing.T, change ...func(*Gateway)) (g *Gateway, stop func()) {
	t.Helper()
	nstest.Do(t, n.host, func() (err error) { g, err = New(n.cfg); return err })
	for _, f := range change {
		f(g)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run does not end")
		}
	}
	t.Cleanup(stop)
	return g, stop
}

func (n *network) listen(t *testing.T, ns *netns.NS, network, addr string) (l net.Listener) {
	t.Helper()
	nstest.Do(t, ns, func() (err error) { l, err = net.Listen(network, addr); return err })
	t.Cleanup(func() { l.Close() })
	return l
}

func (n *network) dial(t *testing.T, ns *netns.NS, network, addr string) net.Conn {
	t.Helper()
	var c net.Conn
	nstest.Do(t, ns, func() (err error) { c, err = net.DialTimeout(network, addr, 5*time.Second); return err })
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func (n *network) packetConn(t *testing.T, ns *netns.NS, network, addr string) *net.UDPConn {
	t.Helper()
	var c net.PacketConn
	nstest.Do(t, ns, func() (err error) { c, err = net.ListenPacket(network, addr); return err })
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.UDPConn)
}

// icmp6 sends an ICMPv6 echo request from the guest and returns the next
// message that isn't an echo request or about neighbours.
func icmp6(t *testing.T, ns *netns.NS, dst string, size int, wait time.Duration) (from netip.Addr, m *icmp.Message) {
	t.Helper()
	nstest.Do(t, ns, func() error {
		c, err := icmp.ListenPacket("ip6:ipv6-icmp", "::")
		if err != nil {
			return err
		}
		defer c.Close()
		echo := icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &icmp.Echo{ID: 4711, Seq: 1, Data: make([]byte, size)}}
		b, err := echo.Marshal(nil)
		if err != nil {
			return err
		}
		if _, err := c.WriteTo(b, &net.IPAddr{IP: net.ParseIP(dst)}); err != nil {
			return fmt.Errorf("ping %s: %w", dst, err)
		}
		buf := make([]byte, 20000)
		c.SetReadDeadline(time.Now().Add(wait))
		for {
			k, peer, err := c.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			if err != nil {
				return err
			}
			got, err := icmp.ParseMessage(58, buf[:k])
			if err != nil {
				return err
			}
			if typ := got.Type.(ipv6.ICMPType); typ > 4 && typ != ipv6.ICMPTypeEchoReply {
				continue
			}
			m = got
			from, _ = netip.AddrFromSlice(peer.(*net.IPAddr).IP)
			return nil
		}
	})
	return from, m
}

// byValue lets cmp compare values that have fields of their own.
func byValue() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b nat64.Prefix) bool { return a == b }),
	}
}

func TestPlanAppliesAndRestores(t *testing.T) {
	n := newNetwork(t)
	before := n.capture(t)
	if before.Link != nil || before.Table != nil || len(before.InUse) != 0 {
		t.Fatalf("fresh: %+v", before)
	}
	if got := n.apply(t); got < 8 {
		t.Errorf("%d steps", got)
	}
	after := n.capture(t)
	if got := n.apply(t); got != 0 {
		t.Errorf("second plan has %d steps", got)
	}
	// Somebody else's hands: each is found and put right.
	for _, harm := range []string{
		"ip link set nat64 down",
		"ip link set nat64 mtu 1400",
		"ip route del 10.64.0.0/16",
		"ip -6 route del 64:ff9b::/96",
		"ip route add 10.99.0.0/16 dev nat64",
		"ip route change 10.64.0.0/16 dev nat64 mtu 1200",
		"ip link del nat64",
		"nft flush chain inet sixhost_nat64 no_leaks",
		"nft delete table inet sixhost_nat64",
		"sysctl -qw net.ipv4.conf.br0.forwarding=0",
	} {
		f := strings.Fields(harm)
		nstest.Output(t, n.host, f[0], f[1:]...)
		if n.apply(t) == 0 {
			t.Errorf("%s: not found", harm)
		}
		if now := n.capture(t); !cmp.Equal(now, after, byValue()) {
			t.Errorf("%s: not put right:\n%s", harm, cmp.Diff(after, now, byValue()))
		}
	}
	captured, err := plan.Capture(Part, before)
	if err != nil {
		t.Fatal(err)
	}
	nstest.Do(t, n.host, func() error {
		return plan.Restore(context.Background(), []plan.Captured{captured}, []plan.Restorer{Restorer()})
	})
	if now := n.capture(t); !cmp.Equal(now, before, byValue()) {
		t.Errorf("restored otherwise than it was:\n%s", cmp.Diff(before, now, byValue()))
	}
}

func TestConflictsAreFound(t *testing.T) {
	n := newNetwork(t)
	routeIn(t, n.host, "br0", "10.64.8.0/24", "", 0)
	_, err := n.cfg.State(n.capture(t))
	if !errors.Is(err, ErrOverlap) || !strings.Contains(err.Error(), "10.64.8.0/24 is already reached by br0") {
		t.Error(err)
	}
	n = newNetwork(t)
	nstest.Output(t, n.host, "ip", "addr", "add", "10.64.9.9/32", "dev", "lo")
	if _, err := n.cfg.State(n.capture(t)); !errors.Is(err, ErrOverlap) {
		t.Error(err)
	}
	nstest.Output(t, n.host, "ip", "tuntap", "add", "mode", "tap", "name", "nat64")
	n.cfg.Pool = netip.MustParsePrefix("10.77.0.0/16")
	if _, err := n.cfg.State(n.capture(t)); !errors.Is(err, ErrDevice) {
		t.Error(err)
	}
	nstest.Do(t, n.host, func() error {
		if _, err := New(n.cfg); !errors.Is(err, ErrNotSetUp) {
			t.Errorf("New on a foreign device: %v", err)
		}
		return nil
	})
}

// The rules mean to the kernel what they say to nft.
func TestRulesAgainstNft(t *testing.T) {
	n := newNetwork(t)
	n.apply(t)
	want := n.capture(t).Table
	other := nstest.NS(t)
	file := t.TempDir() + "/rules.nft"
	if err := os.WriteFile(file, []byte(want.Script()), 0o600); err != nil {
		t.Fatal(err)
	}
	nstest.Output(t, other, "nft", "-f", file)
	a := nstest.Output(t, other, "nft", "list", "table", "inet", TableName)
	b := nstest.Output(t, n.host, "nft", "list", "table", "inet", TableName)
	if a != b {
		t.Errorf("nft -f makes\n%s\nwe make\n%s", a, b)
	}
}
