package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/proxy"
	"github.com/sixhost/sixhost/slaac"
)

// Who is where: a guest behind br0, the host, and beyond the uplink the Internet
// of both families.
const (
	guestAddr  = "2001:db8:1:3:5054:ff:fe00:11"
	hostIPv4   = "203.0.113.10"
	web4, web6 = "203.0.114.9", "2001:db8:2::9"
	guestName  = "guest.example"
)

// page is what web servers have: more than one segment.
func page() []byte { return make([]byte, 200_000) }

// site is a whole host with its edge, a guest behind it, and the Internet.
type site struct{ guest, host, internet *netns.NS }

func newSite(t *testing.T) site {
	t.Helper()
	s := site{guest: nstest.NS(t), host: nstest.NS(t), internet: nstest.NS(t)}
	sh := func(ns *netns.NS, lines ...string) {
		t.Helper()
		for _, l := range lines {
			f := strings.Fields(l)
			nstest.Output(t, ns, f[0], f[1:]...)
		}
	}
	for _, ns := range []*netns.NS{s.guest, s.host, s.internet} {
		sh(ns, "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0", "ip link set lo up")
	}
	mac := config().MAC
	sh(s.host, "ip link add br0 address "+mac.String()+" type bridge mcast_snooping 0",
		"sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 net.bridge.bridge-nf-call-arptables=0")
	nstest.Do(t, s.host, func() error {
		for _, l := range []struct {
			port, end string
			mac, of   slaac.MAC
			ns        *netns.NS
		}{
			{"vnet0", "eth0", slaac.MAC{0xfe, 0x54, 5: 0x11}, slaac.MAC{0x52, 0x54, 5: 0x11}, s.guest},
			{"enp2s0", "prov0", mac, slaac.MAC{2, 5: 1}, s.internet},
		} {
			if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: l.port, HardwareAddr: l.mac.HardwareAddr()}, PeerName: l.end,
				PeerHardwareAddr: l.of.HardwareAddr(), PeerNamespace: netlink.NsFd(l.ns.File().Fd())}); err != nil {
				return fmt.Errorf("add %s: %w", l.port, err)
			}
		}
		return nil
	})
	sh(s.host, "sysctl -qw net.ipv6.conf.vnet0.disable_ipv6=1 net.ipv6.conf.enp2s0.disable_ipv6=1 net.ipv6.conf.all.forwarding=1",
		"ip link set vnet0 master br0 up", "ip link set enp2s0 master br0 up", "ip link set br0 up",
		"ip addr add 2001:db8:1:3::2/64 dev br0", "ip addr add "+hostIPv4+"/32 dev br0")
	sh(s.internet, "ip link set prov0 up", "ip addr add fe80::1/64 dev prov0", "ip addr add 203.0.113.1/24 dev prov0",
		"ip addr add "+web4+"/32 dev lo", "ip addr add "+web6+"/128 dev lo",
		"ip route add 2001:db8:1:3::/64 via "+slaac.LinkLocal(mac).String()+" dev prov0")
	sh(s.host, "ip -6 route add default via fe80::1 dev br0", "ip route add default via 203.0.113.1 dev br0 onlink")
	sh(s.guest, "ip link set eth0 up", "ip -6 route add default via "+slaac.LinkLocal(mac).String()+" dev eth0", "ip addr add "+guestAddr+"/64 dev eth0")
	edge, err := macrewrite.Config{
		Uplink: "enp2s0", MAC: mac, Prefix: netip.MustParsePrefix("2001:db8:1:3::/64"), NAT64: []netip.Prefix{nat64.WellKnown().Prefix()},
		Host: []netip.Addr{ip("2001:db8:1:3::2"), ip(hostIPv4)}, Gateways: []netip.Addr{ip("fe80::1"), ip("203.0.113.1")},
		Guests: []macrewrite.Guest{{Port: "vnet0", MAC: slaac.MAC{0x52, 0x54, 5: 0x11}}},
	}.State()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := macrewrite.Plan(macrewrite.State{}, edge)
	if err != nil {
		t.Fatal(err)
	}
	nstest.Do(t, s.host, func() error { return rules.Run(context.Background(), plan.Apply, nil) })
	for at, ns := range map[string]*netns.NS{"[" + web6 + "]:80": s.internet, web4 + ":80": s.internet, "[" + guestAddr + "]:80": s.guest} {
		serve(t, ns, at)
	}
	return s
}

// serve has a web server at an address until the test ends.
func serve(t *testing.T, ns *netns.NS, at string) {
	t.Helper()
	var l net.Listener
	nstest.Do(t, ns, func() (err error) { l, err = net.Listen("tcp", at); return err })
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(page()) })}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
}

// run runs a service until the test ends.
func run(t *testing.T, service func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// translate sets NAT64 up and serves it, with the fast path where pins is a
// folder for it.
func (s site) translate(t *testing.T, pins string) *gateway.Gateway {
	t.Helper()
	cfg := gateway.Config{Prefix: nat64.WellKnown(), Guests: netip.MustParsePrefix("2001:db8:1:3::/64"), GuestLink: "br0", Pins: pins, Mappings: t.TempDir() + "/nat64.json"}
	var g *gateway.Gateway
	nstest.Do(t, s.host, func() error {
		there, err := gateway.Capture(context.Background(), cfg.Scope())
		if err != nil {
			return err
		}
		want, err := cfg.State(there)
		if err != nil {
			return err
		}
		p, err := gateway.Plan(there, want)
		if err != nil {
			return err
		}
		if err := p.Run(context.Background(), plan.Apply, nil); err != nil {
			return err
		}
		g, err = gateway.New(cfg)
		return err
	})
	run(t, g.Run)
	return g
}

// fetch fetches the page as a program somewhere does.
func fetch(ns *netns.NS, at, host string) error {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
			err = ns.Do(func() error { conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", at); return err })
			return conn, err
		},
	}}
	r, err := client.Get("http://" + host + "/")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && len(b) != len(page()) {
		err = errors.New("the page came in part")
	}
	return err
}

// arrived is how many frames have come beyond the uplink.
func (s site) arrived(t *testing.T) (n uint64) {
	t.Helper()
	nstest.Do(t, s.internet, func() error {
		l, err := netlink.LinkByName("prov0")
		if err == nil {
			n = l.Attrs().Statistics.RxPackets
		}
		return err
	})
	return n
}

// TestEveryPathIsCounted sends traffic of each way that there is from a guest to
// the Internet, and to it: each way of counting counts each frame that arrives
// beyond the uplink, none of them as what should not leave. What the partial one
// does not see is in TestRedirected; nothing of ours goes that way.
func TestEveryPathIsCounted(t *testing.T) {
	nstest.RequireTun(t)
	for _, way := range []string{tcx, clsact, byNft} {
		t.Run(way, func(t *testing.T) {
			for _, fast := range []bool{false, true} {
				s := newSite(t)
				pins := ""
				if fast {
					pins = nstest.BPFFS(t) + "/nat64"
				}
				g := s.translate(t, pins)
				c := network{ns: s.host}.counter(t, way)
				count := func(what string, traffic func() error) {
					t.Helper()
					// Nothing is on its way when it begins.
					var counted, arrived uint64
					for still := false; !still; {
						counted, arrived = read(t, c).Frames, s.arrived(t)
						time.Sleep(50 * time.Millisecond)
						still = counted == read(t, c).Frames && arrived == s.arrived(t)
					}
					if err := traffic(); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					var saw, came uint64
					for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
						if came, saw = s.arrived(t)-arrived, read(t, c).Frames-counted; came > 0 && came == saw {
							break
						}
					}
					t.Logf("%s: %d frames arrived, %d were counted", what, came, saw)
					if came == 0 || came != saw {
						t.Errorf("%s: %d frames arrived, %d were counted", what, came, saw)
					}
				}
				mapped := "[" + nat64.WellKnown().Embed(ip(web4)).String() + "]:80"
				if !fast {
					count("plain IPv6", func() error { return fetch(s.guest, "["+web6+"]:80", "web.example") })
					count("plain IPv6 to a guest", func() error { return fetch(s.internet, "["+guestAddr+"]:80", guestName) })
					count("NAT64 by the portable path", func() error { return fetch(s.guest, mapped, "web.example") })
					if st := g.Stats(); st.Path != gateway.PathPortable || st.To4.Packets == 0 || st.To6.Packets == 0 {
						t.Errorf("not by the portable path: %+v", st)
					}
					var door *proxy.Server
					nstest.Do(t, s.host, func() (err error) {
						door, err = proxy.New(proxy.Config{HTTP: []netip.AddrPort{netip.MustParseAddrPort(hostIPv4 + ":80")}, Routes: map[string]proxy.Route{guestName: {Addr: ip(guestAddr)}}})
						return err
					})
					run(t, door.Run)
					count("IPv4 by the front door", func() error { return fetch(s.internet, hostIPv4+":80", guestName) })
				} else {
					// The first packet of a guest is the portable path's.
					count("NAT64, a guest's first", func() error { return fetch(s.guest, mapped, "web.example") })
					before := g.Stats()
					count("NAT64 by the fast path", func() error { return fetch(s.guest, mapped, "web.example") })
					st := g.Stats()
					if st.Path != gateway.PathFast || st.To4.FastPackets == before.To4.FastPackets || st.To4.Packets != before.To4.Packets || st.To6.Packets != before.To6.Packets {
						t.Errorf("not by the fast path alone: %+v, before %+v", st, before)
					}
				}
				if n := read(t, c); !n.Clean() {
					t.Errorf("something left that should not: %s", n)
				}
			}
		})
	}
}
