package macrewrite

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/slaac"
)

// TestAnswererFollowsUplink: a NIC that goes and comes back under its name, as by
// a new start of its driver, is answered on again, after looks at it in vain too.
func TestAnswererFollowsUplink(t *testing.T) {
	t.Parallel()
	hostNS, providerNS := nstest.NS(t), nstest.NS(t)
	plug := func() {
		nstest.Do(t, hostNS, func() error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.Flags = "enp2s0", net.FlagUp
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "prov0", PeerNamespace: netlink.NsFd(int(providerNS.File().Fd()))})
		})
		for _, line := range []string{"link set prov0 up", "addr add 2001:db8:1:3::1/64 dev prov0 nodad"} {
			nstest.Output(t, providerNS, "ip", strings.Fields(line)...)
		}
	}
	plug()
	c := Config{
		Kind: OnLink, Uplink: "enp2s0", MAC: slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}, Prefix: netip.MustParsePrefix("2001:db8:1:3::/64"),
		Host: []netip.Addr{ip("2001:db8:1:3::2")}, Gateways: []netip.Addr{ip("2001:db8:1:3::1")},
		Guests: []Guest{{Port: "vnet0", MAC: slaac.MAC{0x52, 0x54, 0, 0, 0, 1}}},
	}
	var a *Answerer
	var out lockedBuffer
	nstest.Do(t, hostNS, func() (err error) {
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
	t.Cleanup(func() { cancel(); wg.Wait() })
	answered := func(when string) {
		t.Helper()
		const guest = "2001:db8:1:3:5054:ff:fe00:1"
		for deadline := time.Now().Add(30 * time.Second); ; {
			// Nobody answers the ping itself.
			_ = providerNS.Do(func() error { return exec.Command(nstest.Tool(t, "ping"), "-c", "1", "-W", "1", guest).Run() })
			got := nstest.Output(t, providerNS, "ip", "neigh", "show", guest, "dev", "prov0")
			if strings.Contains(got, "lladdr "+c.MAC.String()) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: the router has %q\n%s", when, got, out.String())
			}
			nstest.Output(t, providerNS, "ip", "neigh", "flush", "dev", "prov0")
		}
	}
	answered("at first")
	nstest.Output(t, hostNS, "ip", "link", "del", "enp2s0")
	time.Sleep(3 * reopenAfter) // it is looked for in vain
	plug()
	answered("on a link made anew")
	nstest.Output(t, hostNS, "ip", "link", "set", "enp2s0", "down")
	nstest.Output(t, hostNS, "ip", "link", "set", "enp2s0", "up")
	nstest.Output(t, providerNS, "ip", "neigh", "flush", "dev", "prov0")
	answered("after it was down")
}
