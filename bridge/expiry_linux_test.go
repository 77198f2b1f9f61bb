package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ndp"
	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/plan"
)

// shortLife is how long everything dynamic of these tests lives.
const shortLife = 8 * time.Second

// The address that the kernel makes of an advertised prefix and the NIC's MAC.
const advertisedAddr = "2001:db8:1:3:921b:eff:fe12:3456"

// newDynamic is a server whose provider has its end configured.
func newDynamic(t *testing.T) rental {
	t.Helper()
	r := newServer(t)
	// A router does not listen to its own advertisements.
	nstest.Do(t, r.provider, func() error { return sysctl.Write("net/ipv6/conf/srv/accept_ra", "0") })
	batch(t, r.provider, []string{
		"addr add fe80::1/64 dev srv nodad",
		"addr add 2001:db8:2::1/128 dev lo nodad",
		"addr add 203.0.113.1/32 dev srv",
		"route add 203.0.113.10 dev srv",
		"-6 route add 2001:db8:1:3::/64 dev srv",
	})
	// Until the server listens, an advertisement would be lost.
	link := netip.MustParseAddr("fe80::921b:eff:fe12:3456%srv")
	for end := time.Now().Add(10 * time.Second); probe.TryPing(context.Background(), r.provider, link, 300*time.Millisecond).Outcome != probe.Answered; {
		if time.Now().After(end) {
			t.Fatalf("%s does not answer before the move", link)
		}
	}
	return r
}

// advertise sends one router advertisement, and no second one.
func (r rental) advertise(t *testing.T, router time.Duration, options ...ndp.Option) {
	t.Helper()
	nstest.Do(t, r.provider, func() error {
		ifi, err := net.InterfaceByName("srv")
		if err != nil {
			return err
		}
		conn, _, err := ndp.Listen(ifi, "fe80::1")
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		defer conn.Close()
		return conn.WriteTo(&ndp.RouterAdvertisement{CurrentHopLimit: 64, RouterLifetime: router, Options: options}, nil, netip.MustParseAddr("ff02::1"))
	})
}

func advertisedPrefix(autonomous bool, life time.Duration) *ndp.PrefixInformation {
	return &ndp.PrefixInformation{PrefixLength: 64, OnLink: true, AutonomousAddressConfiguration: autonomous, ValidLifetime: life, PreferredLifetime: life, Prefix: netip.MustParseAddr("2001:db8:1:3::")}
}

func (r rental) await(t *testing.T, what string, args ...string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !strings.Contains(ipOutput(t, r.server, args...), what); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("ip %s does not show %q", strings.Join(args, " "), what)
		}
	}
}

// TestDynamicOutlivesItsLifetime: with static, what came from router
// advertisements or has a lifetime is there and works when those are over, and
// at every moment before.
func TestDynamicOutlivesItsLifetime(t *testing.T) {
	t.Parallel()
	// On a busy machine the move may take longer than things live.
	for life := shortLife; !outlives(t, life); life *= 4 {
		if t.Logf("the move took longer than lifetimes of %v", life); life > time.Minute {
			t.Fatal("the machine is too slow")
		}
	}
}

// outlives is one attempt. moved is false if the lifetimes were over before the
// move was.
func outlives(t *testing.T, life time.Duration) (moved bool) {
	t.Helper()
	r := newDynamic(t)
	begun := time.Now()
	inTime := func() bool { return time.Since(begun) < life-time.Second }
	r.advertise(t, life, advertisedPrefix(true, life))
	batch(t, r.server, []string{
		fmt.Sprintf("addr add 203.0.113.10/32 dev %s valid_lft %d preferred_lft 2", nic, int(life/time.Second)),
		"route add default via 203.0.113.1 dev " + nic + " onlink",
	})
	r.await(t, "default via fe80::1", "-6", "route")
	r.await(t, advertisedAddr, "-6", "addr", "show", "-tentative")
	over := time.Now().Add(life + 2*time.Second)

	ctx, cancel := context.WithTimeout(t.Context(), life+time.Minute)
	defer cancel()
	pings := map[string]*probe.Pinger{}
	for _, to := range []string{"203.0.113.10", advertisedAddr} {
		p, err := probe.StartPinger(ctx, r.provider, probe.PingConfig{To: netip.MustParseAddr(to)})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Stop()
		answered, cancel := context.WithDeadline(ctx, begun.Add(life))
		err = p.WaitAnswer(answered)
		cancel()
		if err != nil {
			return false
		}
		p.Mark("move")
		pings[to] = p
	}
	cfg := bridge.Config{Uplink: nic, Static: true}
	before := r.capture(t)
	if !inTime() {
		return false
	}
	_, p := mustPlan(t, cfg, before)
	for _, step := range p.Phase(plan.Apply).Steps {
		nstest.Do(t, r.server, func() error { return step.Do(context.Background()) })
		// Forwarding removes what was advertised.
		there := r.defaultRoute6(t)
		if !inTime() {
			return false
		}
		if !there {
			t.Errorf("there is no default route after: %s", step.Text)
		}
	}
	for _, p := range pings {
		p.Mark("after")
	}
	time.Sleep(time.Until(over))
	for to, p := range pings {
		report := p.Stop()
		for _, w := range report.Windows {
			t.Logf("%s, %s: %d of %d lost, %d not sent (%s), %d not taken in", to, w.Name, w.Lost, w.Sent, report.SendErrors, report.FirstSendError, report.Overflow)
			if w.Lost > 20 {
				t.Errorf("%s, %s: %d of %d pings lost", to, w.Name, w.Lost, w.Sent)
			}
		}
		if a := probe.TryPing(ctx, r.provider, netip.MustParseAddr(to), 2*time.Second); a.Outcome != probe.Answered {
			t.Errorf("after the lifetimes: %v", a)
		}
	}
	for _, args := range [][]string{{"-6", "route", "show", "dev", "br0"}, {"addr", "show", "dev", "br0"}} {
		out := ipOutput(t, r.server, args...)
		if strings.Contains(out, "expires") || strings.Contains(out, "proto ra") || strings.Contains(out, "dynamic") || strings.Contains(out, "deprecated") {
			t.Errorf("something on the bridge still has a lifetime:\n%s", out)
		}
	}
	if _, again := mustPlan(t, cfg, r.capture(t)); !again.Empty() {
		t.Errorf("the second plan still wants to %q", again.Steps[0].Text)
	}
	nstest.Do(t, r.server, func() error {
		v, err := sysctl.Read("net/ipv6/conf/all/forwarding")
		if v != "1" {
			t.Errorf("forwarding is %s", v)
		}
		return err
	})
	return true
}

// defaultRoute6 reports whether there is one.
func (r rental) defaultRoute6(t *testing.T) (there bool) {
	t.Helper()
	nstest.Do(t, r.server, func() error {
		routes, err := netlink.RouteList(nil, netlink.FAMILY_V6)
		for _, route := range routes {
			there = there || route.Dst == nil || route.Dst.IP.IsUnspecified() && route.Gw != nil
		}
		return err
	})
	return there
}

// TestDynamicRefused: without static, each kind of it is refused, and capturing
// and deciding have changed nothing.
func TestDynamicRefused(t *testing.T) {
	t.Parallel()
	const life = 600 * time.Second
	own := "addr add 2001:db8:1:3::2/64 dev " + nic
	for _, tc := range []struct {
		name     string
		commands []string
		router   time.Duration
		options  []ndp.Option
		await    []string
		want     string
	}{
		{"advertised address", nil, 0, []ndp.Option{advertisedPrefix(true, life)}, []string{advertisedAddr, "-6", "addr", "show", "-tentative"}, "its address " + advertisedAddr + "/64 has a lifetime"},
		{"advertised default route", []string{own}, life, nil, []string{"default via fe80::1", "-6", "route"}, "its default route via fe80::1 is from router advertisements"},
		{"advertised prefix without an address", []string{"addr add 2001:db8:1:3::2/128 dev " + nic}, 0, []ndp.Option{advertisedPrefix(false, life)}, []string{"2001:db8:1:3::/64", "-6", "route"}, "its route 2001:db8:1:3::/64 dev enp2s0 metric 256 has a lifetime"},
		{"IPv4 address", []string{own, "addr add 203.0.113.10/32 dev " + nic + " valid_lft 600 preferred_lft 600"}, 0, nil, nil, "its address 203.0.113.10/32 has a lifetime"},
		{"route", []string{own, "-6 route add 2001:db8:64::/64 via fe80::1 dev " + nic + " expires 600"}, 0, nil, nil, "its route 2001:db8:64::/64 via fe80::1 dev enp2s0 metric 1024 has a lifetime"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newDynamic(t)
			batch(t, r.server, tc.commands)
			if tc.await != nil {
				r.advertise(t, tc.router, tc.options...)
				r.await(t, tc.await[0], tc.await[1:]...)
			}
			waitSettled(t, r.server)
			before := dumpHost(t, r.server)
			cfg := bridge.Config{Uplink: nic, Prefix: prefix("2001:db8:1:3::/64")}
			there := r.capture(t)
			_, err := cfg.State(there)
			var refusal *plan.Refusal
			if !errors.As(err, &refusal) || !errors.Is(err, bridge.ErrDynamic) || !strings.Contains(refusal.Reason, tc.want) {
				t.Errorf("got %v, want a refusal with %q", err, tc.want)
			}
			if diff := cmp.Diff(withoutLifetimes(before), withoutLifetimes(dumpHost(t, r.server))); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
			cfg.Static = true
			want, err := cfg.State(there)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range want.Addrs {
				if a.Valid != bridge.Forever || a.Preferred != bridge.Forever {
					t.Errorf("%s is wanted for %v, preferred for %v", a.Prefix, a.Valid, a.Preferred)
				}
			}
			for _, route := range want.Routes {
				if route.Expires != 0 || route.Protocol == 9 {
					t.Errorf("wanted is a route with a lifetime: %+v", route)
				}
			}
		})
	}
}
