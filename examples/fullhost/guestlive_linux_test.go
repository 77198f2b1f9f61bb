package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/slaac"
)

// foreignDomain is what somebody else might define: nothing of it is ours but,
// if there are names, what stands in its metadata.
func foreignDomain(name string, mac slaac.MAC, serve ...string) string {
	var meta strings.Builder
	if len(serve) > 0 {
		fmt.Fprintf(&meta, "<metadata><x:guest xmlns:x='%s'>", libvirtguests.MetadataURI)
		for _, s := range serve {
			fmt.Fprintf(&meta, "<x:serve>%s</x:serve>", s)
		}
		meta.WriteString("</x:guest></metadata>")
	}
	return fmt.Sprintf(`<domain type='qemu'><name>%s</name>%s<memory>65536</memory><os><type>hvm</type></os><devices>
<interface type='bridge'><mac address='%s'/><source bridge='br0'/></interface></devices></domain>`, name, meta.String(), mac)
}

// TestLiveInventory: guests that somebody else makes while run serves are known
// to everything that run does, for as long as libvirt has them.
func TestLiveInventory(t *testing.T) {
	nstest.RequireRoot(t)
	nstest.RequireTun(t)
	nstest.Tool(t, "qemu-system-x86_64")
	virsh := nstest.Tool(t, "virsh")
	t.Setenv(envProgram, "1") // for the server's commands
	ctx := t.Context()
	l, err := lab.New(ctx, lab.Config{Dir: t.TempDir(), Ports: func(string) string { return "tap7" }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	v := newVirtHost(t, l)
	dir := t.TempDir()
	p := &productRecipe{lab: l, out: newProgress(io.Discard, false), dir: dir, config: filepath.Join(dir, "host.yaml")}
	if err := installProviderNetplan(filepath.Join(dir, "root"), l.Gateway6()); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("address: slaac\nstate_dir: %[1]s/state\npersist: {root: %[1]s/root}\nlibvirt: {socket: %[2]s, emulate: true}\ndns: {domain: %[3]s, upstreams: [%[4]q]}\nguests:\n- {name: web}\n- {name: mail, ipv4: [203.0.113.77], no_dns64: true}\n",
		dir, v.socket, zone(), l.Resolvers()[0])
	if err := os.WriteFile(p.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.stand(t, ctx)
	v.dial(t).Close()

	resolver := netip.AddrPortFrom(predictedServer(), 53)
	resolves := func(name string, want netip.Addr) bool {
		a, err := probe.Query(ctx, l.Server().NS(), resolver, name+"."+zone(), probe.TypeAAAA, false)
		if err != nil {
			t.Fatal(err)
		}
		got := a.Addrs(name+"."+zone(), probe.TypeAAAA)
		return !want.IsValid() && len(got) == 0 || len(got) == 1 && got[0] == want
	}
	edge := func() string { return edgeThere(t, l.Server().NS()).String() }
	doorOpen := func() bool {
		var open bool
		nstest.Do(t, l.Node(lab.Client4).NS(), func() error {
			c, err := net.DialTimeout("tcp", netip.AddrPortFrom(lab.ServerIPv4().Addr(), 80).String(), 10*time.Second)
			if open = err == nil; open {
				c.Close()
			}
			return nil
		})
		return open
	}
	domain := func(args ...string) {
		t.Helper()
		nstest.Output(t, l.Server().NS(), virsh, append([]string{"-c", "qemu+unix:///system?socket=" + v.socket}, args...)...)
	}
	define := func(text string) {
		t.Helper()
		path := filepath.Join(dir, "foreign.xml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		domain("define", path)
	}

	// Those of the file are known from the start.
	if !resolves("web", guestAddr(t, "web")) || !resolves("host", predictedServer()) {
		t.Error("the name server does not know the guests of host.yaml")
	}
	shop, idle := slaac.MAC{0x52, 0x54, 0, 0xaa, 0xbb, 0xcc}, slaac.MAC{0x52, 0x54, 0, 0xaa, 0xbb, 0xdd}
	addr := func(m slaac.MAC) netip.Addr {
		a, err := slaac.Addr(lab.ServerIPv6().Masked(), m)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if !resolves("old-shop", netip.Addr{}) || strings.Contains(edge(), shop.String()) || doorOpen() {
		t.Fatal("known before it is there")
	}

	define(foreignDomain("Old Shop", shop, "shop."+zone(), "a b", "web."+zone()))
	eventually(t, "the name of a domain that virsh defined", func() bool { return resolves("old-shop", addr(shop)) })
	eventually(t, "the edge to know its MAC", func() bool { return strings.Contains(edge(), shop.String()) })
	eventually(t, "the front door", doorOpen)

	// A stand-in for the machine: it has its MAC, and a web server.
	l.Judge().AddGuest(wire.MAC(shop))
	g, err := l.AddGuest(ctx, "shop", wire.MAC(shop), "br0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.WaitAddress(ctx); err != nil {
		t.Fatal(err)
	}
	l.SetName("shop", lab.ServerIPv4().Addr(), addr(shop))
	got, err := probe.Fetch(ctx, l.Node(lab.Client4).NS(), "http://shop.example"+lab.PathSmall, probe.FetchOptions{Addr: netip.AddrPortFrom(lab.ServerIPv4().Addr(), 80)})
	if err != nil || string(got.Body) != string(lab.Page("shop", lab.PathSmall)) {
		t.Errorf("through the front door: %v, %d octets, status %d", err, len(got.Body), got.Status)
	}
	if out := p.say(t, "guest", "list", "-f", p.config); !strings.Contains(out, `"a b" in its metadata is not served`) {
		t.Errorf("list says nothing about the name that can't be served:\n%s", out)
	}

	// One that runs has a port, and the edge holds it to that.
	define(foreignDomain("idle", idle))
	domain("start", "idle")
	eventually(t, "the edge to know its port", func() bool {
		return slices.ContainsFunc(strings.Split(edge(), "\n"), func(line string) bool {
			return strings.Contains(line, "vnet0") && strings.Contains(line, idle.String())
		})
	})
	// A plan is made with the same guests, and finds nothing to do.
	if out := p.repeat(ctx); out != "" {
		t.Errorf("a plan would undo what libvirt has told:\n%s", out)
	}

	// libvirtd dies: what it has told stays, before and after its return, and over
	// a restart of run.
	stays := func(when string) {
		t.Helper()
		if !resolves("old-shop", addr(shop)) || !resolves("idle", addr(idle)) || !strings.Contains(edge(), shop.String()) || !doorOpen() {
			t.Errorf("%s a guest is forgotten", when)
		}
	}
	v.kill(t)
	stays("after libvirtd's death")
	v.dial(t).Close()
	stays("after its return")
	p.serveAgain(t, ctx)
	stays("after a restart of run")

	domain("destroy", "idle")
	domain("undefine", "idle")
	// By the name that the list has.
	if out := p.say(t, "guest", "undefine", "-f", p.config, "old-shop"); !strings.Contains(out, "undefine guest Old Shop") {
		t.Errorf("undefine said:\n%s", out)
	}
	eventually(t, "the names to be gone", func() bool { return resolves("old-shop", netip.Addr{}) && resolves("idle", netip.Addr{}) })
	eventually(t, "the edge to forget them", func() bool {
		return !strings.Contains(edge(), shop.String()) && !strings.Contains(edge(), idle.String())
	})
	eventually(t, "the front door to close", func() bool { return !doorOpen() })
	if out := p.repeat(ctx); out != "" {
		t.Errorf("afterwards a plan has:\n%s", out)
	}
}

// Whatever libvirt has, the edge's rules can be made, and the guests of the file
// are in them as before.
func FuzzFoundGuests(f *testing.F) {
	f.Add([]byte("aabbccddeeff"), "web", true)
	f.Add([]byte{0x52, 0x54, 0, 1, 2, 3, 0x52, 0x54, 0, 1, 2, 3}, "vnet0", false)
	web := slaac.GuestMAC("web")
	f.Add(append(slices.Clone(web[:]), 0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56), "br0", true)
	f.Add(make([]byte, 12), "host", true)
	f.Fuzz(func(t *testing.T, macs []byte, name string, running bool) {
		h := inventoryHost(t, guestConfig{Name: "web", Addresses: []netip.Addr{netip.MustParseAddr("2001:db8:1:3::7")}}, guestConfig{Name: "mail"})
		h.uplink, h.config.NAT64.Prefix = "enp2s0", nat64.WellKnown()
		h.edge.ports = []bridgePort{{"br0", "enp2s0", h.mac, true}, {"br0", "g-web", slaac.MAC{2}, true}, {"br0", "vnet0", slaac.MAC{0xfe, 0x54}, true}}
		h.config.DNS.Domain = "example.com"
		var found libvirtguests.State
		for i := 0; len(macs) >= 6 && i < 8; i, macs = i+1, macs[6:] {
			found.Domains = append(found.Domains, libvirtguests.Domain{
				Name: name[:len(name)*i/8], NICs: []libvirtguests.NIC{{MAC: slaac.MAC(macs[:6]), Port: name}, {MAC: slaac.MAC(macs[:6]), Port: "vnet0"}},
				Running: running != (i%2 == 0), Serve: []string{name, "www.example.com", strings.ToUpper(name)},
			})
		}
		h = h.withFound(found)
		s, err := h.edgeConfig(nil).State()
		if err != nil {
			t.Fatalf("%+v: %v", found, err)
		}
		for _, g := range h.listed() {
			if !strings.Contains(s.String(), g.LinkAddr().String()) {
				t.Errorf("%+v: %s is not in the rules", found, g.Name)
			}
		}
		if _, err := h.hosts(); err != nil {
			t.Errorf("%+v: names: %v", found, err)
		}
		if cfg, wanted := h.proxyConfig(nil); wanted {
			if err := cfg.Validate(); err != nil {
				t.Errorf("%+v: front door: %v", found, err)
			}
		}
		if cfg := h.answerConfig(); cfg.Kind != macrewrite.Routed && cfg.Kind != "" {
			t.Error("of another kind")
		}
		if !sameServices(h, h.withFound(libvirtguests.State{})) {
			t.Errorf("%+v: run would have to start again", found)
		}
	})
}
