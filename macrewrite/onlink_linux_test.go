package macrewrite

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// onLinkConfig is the host of the network at an on-link provider whose gateway
// is inside the /64.
func onLinkConfig(n *network, guests ...Guest) Config {
	return Config{
		Kind: OnLink, Isolate: true, Uplink: "enp2s0", MAC: n.mac[host], Prefix: sample().Prefix,
		Host:     []netip.Addr{ip("2001:db8:1:3::2")},
		Gateways: []netip.Addr{ip("2001:db8:1:3::1")}, GatewayMACs: []Neighbor{{ip("2001:db8:1:3::1"), n.mac[provider]}},
		Guests: guests,
	}
}

// setUp gives a place addresses and routes.
func (n *network) setUp(t *testing.T, p place, addrs []string, routes map[string]string) {
	t.Helper()
	nstest.Do(t, n.ns[p], func() error {
		if err := sysctl.Write("net/ipv6/conf/all/forwarding", map[bool]string{true: "1", false: "0"}[p == host || p == provider]); err != nil {
			return err
		}
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		l, err := h.LinkByName(n.iface[p])
		if err != nil {
			return err
		}
		if err := h.LinkSetUp(l); err != nil {
			return err
		}
		for _, a := range addrs {
			if err := ifaddr.AddText(h, l, a); err != nil {
				return fmt.Errorf("add %s: %w", a, err)
			}
		}
		for dst, via := range routes {
			r := &netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(via), Flags: int(netlink.FLAG_ONLINK)}
			if dst != "" {
				_, r.Dst, _ = net.ParseCIDR(dst)
			}
			if err := h.RouteAdd(r); err != nil {
				return fmt.Errorf("add route to %q: %w", dst, err)
			}
		}
		return nil
	})
}

// onLinkLive is the network at an on-link provider: the router has the /64 on
// its link and another host beside it, guests have theirs from the host alone.
func (n *network) onLinkLive(t *testing.T) {
	n.setUp(t, host, []string{"fe80::921b:eff:fe12:3456/64", "2001:db8:1:3::2/64"}, map[string]string{"": "2001:db8:1:3::1"})
	n.setUp(t, provider, []string{"fe80::1/64", "2001:db8:1:3::1/64", "2001:db8:1:3::5/64", "2001:db8:2::9/128"}, nil)
	for _, p := range []place{guest1, guest2} {
		a := fmt.Sprintf("2001:db8:1:3:5054:ff:fe00:%x/128", n.mac[p][5])
		n.setUp(t, p, []string{a}, map[string]string{"": "fe80::921b:eff:fe12:3456"})
	}
}

// answering runs an Answerer until the test ends.
func (n *network) answering(t *testing.T, c Config) *Answerer {
	t.Helper()
	var a *Answerer
	var out lockedBuffer
	nstest.Do(t, n.ns[host], func() (err error) {
		a, err = NewAnswerer(c, slog.New(slog.NewTextHandler(&out, nil)))
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return a
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// flush forgets what the provider knows of its neighbours.
func (n *network) flush(t *testing.T) {
	t.Helper()
	nstest.Do(t, n.ns[provider], func() error {
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		list, err := h.NeighList(0, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		for _, e := range list {
			if e.State&unix.NUD_NOARP == 0 {
				if err := h.NeighDel(&e); err != nil && err != unix.ENOENT {
					return err
				}
			}
		}
		return nil
	})
}

// TestOnLink: guests are reached from the segment, reach it, and the provider
// sees one MAC. What a guest has is defended; who is gone is not answered for.
func TestOnLink(t *testing.T) {
	n := newNetwork(t, false, State{})
	one, two := guestsOf(n)[0], guestsOf(n)[1]
	c := onLinkConfig(n, one, two)
	if err := n.apply(must(t, c)); err != nil {
		t.Fatal(err)
	}
	j := newJudge(t, n)
	n.onLinkLive(t)
	n.up(t)
	a1, a2 := "2001:db8:1:3:5054:ff:fe00:11", "2001:db8:1:3:5054:ff:fe00:22"
	if got := n.ping(t, provider, a1, 1, "0.01"); got != 0 {
		t.Error("a guest is reached although nobody answers for it; the test lost its sense")
	}
	n.flush(t)
	a := n.answering(t, c)
	const pings = 5
	for _, x := range []struct {
		from place
		to   string
	}{
		{provider, a1}, {provider, a2}, {provider, "2001:db8:1:3::2"},
		{guest1, "2001:db8:2::9"}, {guest2, "2001:db8:2::9"},
		// The gateway and a neighbour inside the /64, and each other.
		{guest1, "2001:db8:1:3::1"}, {guest1, "2001:db8:1:3::5"}, {guest1, a2}, {host, "2001:db8:1:3::5"}, {host, "2001:db8:1:3::1"},
	} {
		if got := n.ping(t, x.from, x.to, pings, "0.05"); got != pings {
			t.Errorf("ping %s from %s: %d of %d answered", x.to, x.from, got, pings)
		}
	}
	if got := n.ping(t, provider, "2001:db8:1:3::dead", 1, "0.01"); got != 0 {
		t.Error("an address of nobody answers")
	}

	// A privacy address of the open guest is answered for as soon as it has used it.
	n.setUp(t, guest2, []string{"2001:db8:1:3:1234:5678:9abc:def0/128"}, nil)
	if got := n.ping(t, guest2, "2001:db8:1:3::5", 1, "0.05"); got != 1 {
		t.Error("the neighbour does not answer")
	}
	if got := n.pingFrom(t, guest2, "2001:db8:1:3:1234:5678:9abc:def0", "2001:db8:1:3::5", pings, "0.05"); got != pings {
		t.Errorf("from a privacy address: %d of %d pings answered", got, pings)
	}

	if !n.duplicate(t, provider, a1) {
		t.Error("somebody on the segment can take a guest's address")
	}
	if n.duplicate(t, provider, "2001:db8:1:3::99") {
		t.Error("somebody on the segment can't take a free address")
	}

	// The first guest goes.
	gone := onLinkConfig(n, two)
	if err := n.apply(must(t, gone)); err != nil {
		t.Fatal(err)
	}
	a.Guests(gone)
	n.flush(t)
	if got := n.ping(t, provider, a1, 1, "0.01"); got != 0 {
		t.Error("a guest that is gone is answered for")
	}
	if got := n.ping(t, provider, a2, pings, "0.05"); got != pings {
		t.Errorf("the other guest: %d of %d pings answered", got, pings)
	}

	frames, findings := j.sentence()
	for f := range findings {
		// What the judge takes for a leak with a routed provider is the point here.
		if strings.HasPrefix(f, "neighbour discovery about ") {
			delete(findings, f)
		}
	}
	if len(findings) > 0 || frames < 50 {
		t.Errorf("the provider saw %d frames, among them %v", frames, findings)
	}
}

// duplicate adds an address somewhere and reports whether somebody has it
// already.
func (n *network) duplicate(t *testing.T, p place, addr string) (found bool) {
	t.Helper()
	nstest.Do(t, n.ns[p], func() error {
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		l, err := h.LinkByName(n.iface[p])
		if err != nil {
			return err
		}
		a := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(addr), Mask: net.CIDRMask(128, 128)}}
		if err := h.AddrAdd(l, a); err != nil {
			return err
		}
		defer h.AddrDel(l, a)
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			list, err := h.AddrList(l, netlink.FAMILY_V6)
			if err != nil {
				return err
			}
			for _, x := range list {
				if !x.IP.Equal(a.IP) {
					continue
				}
				if x.Flags&unix.IFA_F_DADFAILED != 0 {
					found = true
					return nil
				}
				if x.Flags&unix.IFA_F_TENTATIVE == 0 {
					return nil
				}
			}
		}
		return fmt.Errorf("%s is still tentative", addr)
	})
	return found
}

func TestDetect(t *testing.T) {
	detect := func(t *testing.T, n *network, gateway string) (d Detection) {
		t.Helper()
		nstest.Do(t, n.ns[host], func() (err error) {
			d, err = Detect(context.Background(), DetectConfig{
				Uplink: "enp2s0", MAC: n.mac[host], Prefix: sample().Prefix, Gateway: ip(gateway), Destination: ip("2001:db8:2::77"), Wait: 3 * time.Second,
			})
			return err
		})
		t.Log(d.How)
		return d
	}
	// Something lies behind the router.
	far := func(t *testing.T, n *network) {
		nstest.Output(t, n.ns[provider], "ip", "-6", "route", "add", "2001:db8:2::/64", "dev", "prov0")
	}
	for _, rules := range []bool{false, true} {
		t.Run(fmt.Sprintf("routed, with rules: %v", rules), func(t *testing.T) {
			s := State{}
			if rules {
				s = must(t, sample())
			}
			n := newNetwork(t, false, s)
			n.live(t)
			far(t, n)
			n.up(t)
			if d := detect(t, n, "fe80::1"); d.Kind != Routed {
				t.Errorf("found %+v", d)
			}
		})
		t.Run(fmt.Sprintf("on-link, with rules: %v", rules), func(t *testing.T) {
			n := newNetwork(t, false, State{})
			if rules {
				if err := n.apply(must(t, onLinkConfig(n))); err != nil {
					t.Fatal(err)
				}
			}
			n.onLinkLive(t)
			far(t, n)
			n.up(t)
			if d := detect(t, n, "2001:db8:1:3::1"); d.Kind != OnLink {
				t.Errorf("found %+v", d)
			}
		})
	}
	t.Run("a router that knows no way", func(t *testing.T) {
		n := newNetwork(t, false, State{})
		n.live(t)
		n.up(t)
		if d := detect(t, n, "fe80::1"); d.Kind != Routed {
			t.Errorf("found %+v", d)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		n := newNetwork(t, true, State{})
		n.up(t)
		var d Detection
		nstest.Do(t, n.ns[host], func() (err error) {
			d, err = Detect(context.Background(), DetectConfig{Uplink: "enp2s0", MAC: n.mac[host], Prefix: sample().Prefix, Gateway: ip("fe80::1"), Wait: 20 * time.Millisecond})
			return err
		})
		if d.Kind != "" || !strings.Contains(d.How, "does not answer") {
			t.Errorf("found %+v", d)
		}
	})
	t.Run("a router that says nothing", func(t *testing.T) {
		n := newNetwork(t, false, State{})
		n.live(t)
		n.up(t)
		// No route back and no ICMP: what comes from the /64 is thrown away.
		nstest.Output(t, n.ns[provider], "nft", "add table ip6 f; add chain ip6 f p { type filter hook prerouting priority -300; }; add rule ip6 f p ip6 hoplimit 1 drop")
		var d Detection
		nstest.Do(t, n.ns[host], func() (err error) {
			d, err = Detect(context.Background(), DetectConfig{Uplink: "enp2s0", MAC: n.mac[host], Prefix: sample().Prefix, Gateway: ip("fe80::1"), Destination: ip("2001:db8:2::77"), Wait: 300 * time.Millisecond})
			return err
		})
		if d.Kind != "" || !strings.Contains(d.How, "the configuration has to say") {
			t.Errorf("found %+v", d)
		}
	})
}
