package slaac

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// The kernel, as a guest, takes the addresses we say it will: link-local, and
// in an advertised prefix, both from the MAC and from a stable secret.
func TestKernelAgrees(t *testing.T) {
	const secret = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"
	m := mac(t, "52:54:00:12:34:56")
	prefix := netip.MustParsePrefix("2001:db8:1:3::/64")
	linkLocal := netip.MustParsePrefix("fe80::/64")

	for name, tc := range map[string]struct {
		set  map[string]string
		want func(ns *netns.NS, p netip.Prefix) (netip.Addr, error)
	}{
		"EUI-64": {
			want: func(_ *netns.NS, p netip.Prefix) (netip.Addr, error) { return Addr(p, m) },
		},
		"stable secret": {
			set: map[string]string{"stable_secret": secret},
			want: func(_ *netns.NS, p netip.Prefix) (netip.Addr, error) {
				return KernelStable(p, MAC{}, netip.MustParseAddr(secret), 0)
			},
		},
		"random secret": {
			set: map[string]string{"addr_gen_mode": "3"},
			want: func(ns *netns.NS, p netip.Prefix) (a netip.Addr, err error) {
				err = ns.Do(func() error {
					s, err := sysctl.Read("net/ipv6/conf/eth0/stable_secret")
					if err != nil {
						return err
					}
					key, err := netip.ParseAddr(s)
					if err != nil {
						return err
					}
					a, err = KernelStable(p, MAC{}, key, 0)
					return err
				})
				return a, err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			guest, router := nstest.NS(t), nstest.NS(t)
			hg, err := guest.Handle()
			if err != nil {
				t.Fatal(err)
			}
			defer hg.Close()
			hr, err := router.Handle()
			if err != nil {
				t.Fatal(err)
			}
			defer hr.Close()
			if err := hg.LinkAdd(&netlink.Veth{
				LinkAttrs:     netlink.LinkAttrs{Name: "eth0", HardwareAddr: m.HardwareAddr()},
				PeerName:      "eth0",
				PeerNamespace: netlink.NsFd(router.File().Fd()),
			}); err != nil {
				t.Fatal(err)
			}
			nstest.Do(t, guest, func() error {
				for k, v := range tc.set {
					if err := sysctl.Write("net/ipv6/conf/eth0/"+k, v); err != nil {
						return err
					}
				}
				return nil
			})
			for _, ns := range []*netns.NS{guest, router} { // nothing to wait for
				nstest.Do(t, ns, func() error { return sysctl.Write("net/ipv6/conf/eth0/accept_dad", "0") })
			}
			for _, h := range []*netlink.Handle{hg, hr} {
				l, err := h.LinkByName("eth0")
				if err != nil {
					t.Fatal(err)
				}
				if err := h.LinkSetUp(l); err != nil {
					t.Fatal(err)
				}
			}
			want, err := tc.want(guest, linkLocal)
			if err != nil {
				t.Fatal(err)
			}
			if name == "EUI-64" && want != LinkLocal(m) {
				t.Errorf("LinkLocal(%s) = %s, want %s", m, LinkLocal(m), want)
			}
			got := wait(t, hg, linkLocal, func() {})
			if got != want {
				t.Errorf("link-local address is %s, want %s", got, want)
			}

			if want, err = tc.want(guest, prefix); err != nil {
				t.Fatal(err)
			}
			var sent error
			got = wait(t, hg, prefix, func() { sent = advertise(router, prefix) })
			if sent != nil {
				t.Errorf("advertise %s: %v", prefix, sent)
			}
			if got != want {
				t.Errorf("address in %s is %s, want %s", prefix, got, want)
			}
		})
	}
}

// wait polls until eth0 has exactly one address in p, and returns it.
func wait(t *testing.T, h *netlink.Handle, p netip.Prefix, nudge func()) netip.Addr {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		nudge()
		l, err := h.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := h.AddrList(l, netlink.FAMILY_V6)
		if err != nil {
			t.Fatal(err)
		}
		var in []netip.Addr
		for _, a := range addrs {
			if ip, ok := netip.AddrFromSlice(a.IP); ok && p.Contains(ip) {
				in = append(in, ip)
			}
		}
		if len(in) == 1 {
			return in[0]
		}
		if len(in) > 1 {
			t.Fatalf("eth0 has %s in %s", strings.Join(strings.Fields(fmt.Sprint(in)), ", "), p)
		}
	}
	t.Fatalf("eth0 has no address in %s", p)
	return netip.Addr{}
}

// advertise sends one router advertisement with the prefix from eth0 of ns.
func advertise(ns *netns.NS, p netip.Prefix) error {
	return ns.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c, _, err := ndp.Listen(ifi, ndp.LinkLocal)
		if err != nil {
			return err
		}
		defer c.Close()
		return c.WriteTo(&ndp.RouterAdvertisement{
			CurrentHopLimit: 64,
			Options: []ndp.Option{&ndp.PrefixInformation{
				PrefixLength:                   uint8(p.Bits()),
				AutonomousAddressConfiguration: true,
				OnLink:                         true,
				ValidLifetime:                  time.Hour,
				PreferredLifetime:              time.Hour,
				Prefix:                         p.Addr(),
			}},
		}, nil, netip.IPv6LinkLocalAllNodes())
	})
}
