package bridge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

func TestMain(m *testing.M) {
	if os.Getenv(envMeddler) != "" {
		meddle()
		return
	}
	os.Exit(nstest.Main(m))
}

const (
	nic       = "enp2s0"
	serverMAC = "90:1b:0e:12:34:56"
)

// rental is a server as a provider hands it over, and the provider's end.
type rental struct {
	server, provider *netns.NS
}

func newRental(t *testing.T) rental {
	t.Helper()
	r := rental{nstest.NS(t), nstest.NS(t)}
	nstest.Do(t, r.server, func() error {
		mac, err := net.ParseMAC(serverMAC)
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = nic, mac
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "srv", PeerNamespace: netlink.NsFd(int(r.provider.File().Fd()))})
	})
	nstest.Do(t, r.provider, func() error {
		// fe80::1 only: the port's own link-local address would be a second one.
		if err := sysctl.Write("net/ipv6/conf/srv/addr_gen_mode", "1"); err != nil {
			return err
		}
		for _, key := range []string{"net/ipv6/conf/all/forwarding", "net/ipv4/ip_forward"} {
			if err := sysctl.Write(key, "1"); err != nil {
				return err
			}
		}
		// A source beyond the link, so that answers take the default route.
		if err := configure("lo", []string{"2001:db8:2::1/128"}, nil); err != nil {
			return err
		}
		return configure("srv", []string{"203.0.113.1/32", "fe80::1/64"}, []string{
			"203.0.113.10/32", "2001:db8:1:3::/64 fe80::921b:eff:fe12:3456",
		})
	})
	nstest.Do(t, r.server, func() error {
		return configure(nic, []string{"203.0.113.10/32", "2001:db8:1:3::2/64"}, []string{
			"0.0.0.0/0 203.0.113.1", "::/0 fe80::1",
		})
	})
	r.settled(t)
	return r
}

// configure sets a link up and gives it addresses without DAD, and routes
// "prefix [gateway]".
func configure(name string, addrs, routes []string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	for _, a := range addrs {
		if err := ifaddr.AddText(&netlink.Handle{}, link, a); err != nil {
			return err
		}
	}
	for _, r := range routes {
		words := strings.Fields(r)
		_, dst, err := net.ParseCIDR(words[0])
		if err != nil {
			return err
		}
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst}
		if len(words) > 1 {
			route.Gw = net.ParseIP(words[1])
			route.Flags = int(netlink.FLAG_ONLINK)
		} else {
			route.Scope = netlink.SCOPE_LINK
		}
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
	}
	return nil
}

// settled waits until the NIC's own link-local address has passed detection.
func (r rental) settled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, to := range []string{"2001:db8:1:3::2", "203.0.113.10"} {
		for {
			if a := probe.TryPing(ctx, r.provider, netip.MustParseAddr(to), 300*time.Millisecond); a.Outcome == probe.Answered {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("%s does not answer before the move", to)
			}
		}
	}
}

func (r rental) capture(t *testing.T) bridge.State {
	t.Helper()
	var s bridge.State
	nstest.Do(t, r.server, func() (err error) {
		s, err = bridge.Capture(context.Background(), bridge.Scope{Uplink: nic, Bridge: "br0"})
		return err
	})
	return s
}

func (r rental) run(t *testing.T, p plan.Plan, phases ...plan.Phase) {
	t.Helper()
	for _, ph := range phases {
		nstest.Do(t, r.server, func() error {
			return p.Run(context.Background(), ph, func(n, of int, s plan.Step) { t.Logf("%s %d/%d %s", ph, n, of, s.Text) })
		})
	}
}

func mustPlan(t *testing.T, c bridge.Config, there bridge.State) (bridge.State, plan.Plan) {
	t.Helper()
	want, err := c.State(there)
	if err != nil {
		t.Fatal(err)
	}
	p, err := bridge.Plan(there, want)
	if err != nil {
		t.Fatal(err)
	}
	return want, p
}

// ignored fields: what the kernel counts down or learns by itself.
func ignored() cmp.Option {
	return cmp.Options{
		cmpopts.IgnoreFields(bridge.State{}, "Neighbors", "Retiring", "Uptime"),
		cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}),
	}
}

func TestMoveThereAndBack(t *testing.T) {
	for _, tc := range []struct {
		name  string
		setUp func() error // in the server
	}{
		{"plain", func() error { return nil }},
		{"strict reverse path filter", func() error {
			for _, link := range []string{"all", "default", nic} {
				if err := sysctl.Write("net/ipv4/conf/"+link+"/rp_filter", "1"); err != nil {
					return err
				}
			}
			return nil
		}},
		{"unusual defaults for new links", func() error {
			if err := sysctl.Write("net/ipv6/conf/default/disable_ipv6", "1"); err != nil {
				return err
			}
			if err := sysctl.Write("net/ipv6/conf/default/forwarding", "1"); err != nil {
				return err
			}
			return sysctl.Write("net/ipv6/conf/default/addr_gen_mode", "3")
		}},
		{"several addresses, the first is the source", func() error {
			return configure(nic, []string{"203.0.113.200/32", "203.0.113.100/32", "2001:db8:1:3::30/64", "2001:db8:1:3::20/64"}, nil)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRental(t)
			nstest.Do(t, r.server, tc.setUp)
			r.thereAndBack(t, bridge.Config{Uplink: nic})
		})
	}
}

// sources are the addresses that new connections to the outside come from.
func (r rental) sources(t *testing.T) (list []string) {
	t.Helper()
	nstest.Do(t, r.server, func() error {
		for _, to := range []string{"203.0.114.1", "2001:db8:2::1"} {
			routes, err := netlink.RouteGet(net.ParseIP(to))
			if err != nil {
				return err
			}
			list = append(list, routes[0].Src.String())
		}
		return nil
	})
	return list
}

func (r rental) thereAndBack(t *testing.T, cfg bridge.Config) {
	before, from := r.capture(t), r.sources(t)
	_, there := mustPlan(t, cfg, before)
	ctx := context.Background()
	pings := map[string]*probe.Pinger{}
	for _, to := range []string{"203.0.113.10", "2001:db8:1:3::2"} {
		p, err := probe.StartPinger(ctx, r.provider, probe.PingConfig{To: netip.MustParseAddr(to)})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.WaitAnswer(ctx); err != nil {
			t.Fatal(err)
		}
		pings[to] = p
	}
	for _, p := range pings {
		p.Mark("there")
	}
	r.run(t, there, plan.Apply)
	moved := r.capture(t)
	if _, again := mustPlan(t, cfg, moved); !again.Empty() {
		t.Errorf("the second plan still wants to %q", again.Steps[0].Text)
	}
	if now := r.sources(t); !slices.Equal(now, from) {
		t.Errorf("on the bridge new connections come from %v, before from %v", now, from)
	}
	back, err := bridge.Plan(moved, before)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pings {
		p.Mark("back")
	}
	r.run(t, back, plan.Apply, plan.Confirm)
	for to, p := range pings {
		report := p.Stop()
		for _, w := range report.Windows {
			t.Logf("%s %s: %d of %d lost", to, w.Name, w.Lost, w.Sent)
			// A machine under load may lose one; every stall loses many.
			if w.Lost > 20 {
				t.Errorf("%s %s: %d of %d pings lost", to, w.Name, w.Lost, w.Sent)
			}
		}
	}
	if diff := cmp.Diff(before, r.capture(t), ignored()); diff != "" {
		t.Errorf("after the way back (-before +after):\n%s", diff)
	}
	if now := r.sources(t); !slices.Equal(now, from) {
		t.Errorf("after the way back new connections come from %v, before from %v", now, from)
	}
}

func TestConfirmLeavesOneAddress(t *testing.T) {
	r := newRental(t)
	cfg := bridge.Config{Uplink: nic, Address: bridge.SLAACAddress()}
	before := r.capture(t)
	_, p := mustPlan(t, cfg, before)
	r.run(t, p, plan.Apply, plan.Confirm)
	after := r.capture(t)
	_, rest := mustPlan(t, cfg, after)
	if !rest.Empty() {
		t.Errorf("after confirm the plan still wants to %q", rest.Steps[0].Text)
	}
	var got []string
	for _, a := range after.Addrs {
		got = append(got, a.Link+" "+a.Prefix.String())
	}
	slices.Sort(got)
	mac, _ := slaac.ParseMAC(serverMAC)
	own, _ := slaac.Addr(netip.MustParsePrefix("2001:db8:1:3::/64"), mac)
	want := []string{"br0 " + own.String() + "/64", "br0 203.0.113.10/32", "br0 " + slaac.LinkLocal(mac).String() + "/64"}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, to := range []string{own.String(), "203.0.113.10"} {
		if a := probe.TryPing(ctx, r.provider, netip.MustParseAddr(to), 2*time.Second); a.Outcome != probe.Answered {
			t.Error(a)
		}
	}
}

// TestKilledAfterEveryStep cuts the move off after each step in turn: from
// there the way back must lead to what was before, and the way on to what is
// wanted.
func TestKilledAfterEveryStep(t *testing.T) {
	r := newRental(t)
	cfg := bridge.Config{Uplink: nic, Address: bridge.SLAACAddress()}
	before := r.capture(t)
	want, p := mustPlan(t, cfg, before)
	steps := p.Phase(plan.Apply).Steps
	for cut := range len(steps) + 1 {
		t.Run(fmt.Sprintf("after %d", cut), func(t *testing.T) {
			r.run(t, plan.Plan{Steps: steps[:cut]}, plan.Apply)
			onward, err := bridge.Plan(r.capture(t), want)
			if err != nil {
				t.Fatal(err)
			}
			r.run(t, onward, plan.Apply)
			if _, rest := mustPlan(t, cfg, r.capture(t)); !rest.Phase(plan.Apply).Empty() {
				t.Errorf("way on: still wants to %q", rest.Steps[0].Text)
			}
			back, err := bridge.Plan(r.capture(t), before)
			if err != nil {
				t.Fatal(err)
			}
			r.run(t, back, plan.Apply, plan.Confirm)
			if diff := cmp.Diff(before, r.capture(t), ignored()); diff != "" {
				t.Fatalf("way back from the end (-before +after):\n%s", diff)
			}
			r.run(t, plan.Plan{Steps: steps[:cut]}, plan.Apply)
			back, err = bridge.Plan(r.capture(t), before)
			if err != nil {
				t.Fatal(err)
			}
			r.run(t, back, plan.Apply, plan.Confirm)
			if diff := cmp.Diff(before, r.capture(t), ignored()); diff != "" {
				t.Fatalf("way back from the cut (-before +after):\n%s", diff)
			}
			nstest.Do(t, r.server, func() error {
				for _, name := range bridge.TransientLinks() {
					if _, err := netlink.LinkByName(name); err == nil {
						t.Errorf("%s is left behind", name)
					}
				}
				return nil
			})
		})
	}
}

func TestStateSurvivesJSON(t *testing.T) {
	r := newRental(t)
	s := r.capture(t)
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back bridge.State
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}
