package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/slaac"
)

// TestGuestsOnLink is about guests at an on-link provider: one with an IPv4
// address of its own that the provider's router asks for by ARP, and others that
// use other addresses than were known in advance.
func TestGuestsOnLink(t *testing.T) {
	nstest.RequireRoot(t)
	nstest.RequireTun(t)
	t.Setenv(envProgram, "1") // for the server's commands
	ctx := t.Context()
	l, err := lab.New(ctx, lab.Config{Dir: t.TempDir(), Provider: lab.OnLink, Ports: func(name string) string { return "g-" + name }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	dir := t.TempDir()
	p := &productRecipe{lab: l, out: newProgress(io.Discard, false), dir: dir, config: filepath.Join(dir, "host.yaml")}
	if err := installProviderNetplan(filepath.Join(dir, "root"), l.Gateway6()); err != nil {
		t.Fatal(err)
	}
	own := netip.MustParseAddr("203.0.113.77")
	text := fmt.Sprintf("provider: on-link\naddress: slaac\nstate_dir: %[1]s/state\npersist: {root: %[1]s/root}\ndns: {domain: %[2]s, upstreams: [%[3]q]}\n"+
		"guests:\n- {name: mail, ipv4: [%[4]s], no_dns64: true}\n- {name: temp, open: true}\n- {name: opaque, open: true}\n- {name: strict}\n", dir, zone(), l.Resolvers()[0], own)
	if err := os.WriteFile(p.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.stand(t, ctx)
	ip := nstest.Tool(t, "ip")
	// The router takes the address for one on its segment.
	provider := l.Node(lab.Provider).NS()
	nstest.Output(t, provider, ip, "route", "add", own.String()+"/32", "dev", "lan")

	guests := make(map[string]*lab.Guest)
	for _, name := range []string{"mail", "temp", "opaque", "strict"} {
		l.Judge().AddGuest(wire.MAC(slaac.GuestMAC(name)))
		if guests[name], err = l.AddGuest(ctx, name, wire.MAC(slaac.GuestMAC(name)), "br0"); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range guests {
		if _, err := g.WaitAddress(ctx); err != nil {
			t.Fatal(err)
		}
	}
	// These are set up as many systems are by default.
	odd := func(name string, sysctl ...string) {
		t.Helper()
		nstest.Output(t, guests[name].NS(), ip, "link", "set", lab.GuestLink, "down")
		for _, s := range sysctl {
			nstest.Output(t, guests[name].NS(), nstest.Tool(t, "sysctl"), "-q", "-w", "net.ipv6.conf."+lab.GuestLink+"."+s)
		}
		nstest.Output(t, guests[name].NS(), ip, "link", "set", lab.GuestLink, "up")
	}
	odd("temp", "use_tempaddr=2")
	odd("opaque", "addr_gen_mode=3")
	odd("strict", "addr_gen_mode=3")

	nstest.Output(t, guests["mail"].NS(), ip, "addr", "add", own.String()+"/32", "dev", lab.GuestLink)
	nstest.Output(t, guests["mail"].NS(), ip, "route", "add", lab.ServerIPv4().Addr().String(), "dev", lab.GuestLink)
	nstest.Output(t, guests["mail"].NS(), ip, "route", "add", "default", "via", lab.ServerIPv4().Addr().String())
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "this is mail") })}
	t.Cleanup(func() { web.Close() })
	nstest.Do(t, guests["mail"].NS(), func() error {
		at, err := net.Listen("tcp4", netip.AddrPortFrom(own, 80).String())
		if err == nil {
			go web.Serve(at)
		}
		return err
	})
	l.SetName("mail", own, guestAddr(t, "mail"))
	fetch := func(within time.Duration) error {
		wait, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		got, err := probe.Fetch(wait, l.Node(lab.Client4).NS(), "http://mail.example/", probe.FetchOptions{Addr: netip.AddrPortFrom(own, 80)})
		if err == nil && string(got.Body) != "this is mail" {
			err = fmt.Errorf("status %d, %d octets", got.Status, len(got.Body))
		}
		return err
	}
	if err := fetch(20 * time.Second); err != nil {
		t.Errorf("from outside by the guest's own IPv4 address: %v", err)
	}
	if got, err := probe.Fetch(ctx, guests["mail"].NS(), "http://web4.example"+lab.PathWho, probe.FetchOptions{Addr: netip.AddrPortFrom(l.Node(lab.Web4).IPv4(), 80)}); err != nil || !strings.HasPrefix(string(got.Body), own.String()+":") {
		t.Errorf("to the outside from the guest's own IPv4 address: %v, %q", err, got.Body)
	}
	if seen := nstest.Output(t, provider, ip, "neigh", "show", own.String(), "dev", "lan"); !strings.Contains(seen, lab.ServerMAC().String()) {
		t.Errorf("the router has %q, want the server's MAC", seen)
	}
	if out := nstest.Output(t, guests["mail"].NS(), ip, "route", "get", l.Node(lab.Web4).IPv4().String()); !strings.Contains(out, "via "+lab.ServerIPv4().Addr().String()) || strings.Contains(out, "redirected") {
		t.Errorf("the guest sends elsewhere: %s", out)
	}
	// Who uses another address is told, with the one setting to change.
	reach := func(name string) {
		t.Helper()
		eventually(t, name+" to reach the host", func() bool {
			return guests[name].NS().Do(func() error { return solicit(predictedServer()) }) == nil &&
				strings.Contains(p.say(t, "guest", "list", "-f", p.config), "guest "+name+" uses")
		})
	}
	heard := p.serve.Cmd.Stderr.(*lineWriter)
	for name, setting := range map[string]string{"temp": "use_tempaddr=0", "opaque": "addr_gen_mode=0"} {
		reach(name)
		want := "guest=" + name + " advice=\"guest " + name + " uses "
		eventually(t, "run to tell of "+name, func() bool {
			for line := range strings.Lines(heard.String()) {
				if strings.Contains(line, want) && strings.Contains(line, setting) {
					return true
				}
			}
			return false
		})
	}

	// One that is held to its address can't be seen using another: it is told of
	// as one that does not answer, and nobody else is.
	eventually(t, "the list to tell of strict", func() bool {
		told := ""
		for line := range strings.Lines(p.say(t, "guest", "list", "-f", p.config)) {
			if strings.Contains(line, "it does not answer at") {
				told += line[:strings.IndexByte(line, ' ')] + " "
			}
		}
		return told == "strict "
	})
	// The name server has no synthesised address for the one, and has for others.
	for name, want := range map[string]int{"mail": 0, "temp": 1} {
		a, err := probe.Query(ctx, guests[name].NS(), netip.AddrPortFrom(predictedServer(), 53), lab.NameV4Only, probe.TypeAAAA, false)
		if err != nil || len(a.Addrs(lab.NameV4Only, probe.TypeAAAA)) != want {
			t.Errorf("%s asks for an IPv4-only name and gets %v, %v", name, a, err)
		}
	}

	// The guest goes, and the host answers for it no more.
	nstest.Output(t, guests["mail"].NS(), ip, "link", "set", lab.GuestLink, "down")
	eventually(t, "the router to hear nothing of a guest that is gone", func() bool {
		nstest.Output(t, provider, ip, "neigh", "flush", "dev", "lan")
		fetch(2 * time.Second)
		return !strings.Contains(nstest.Output(t, provider, ip, "neigh", "show", own.String(), "dev", "lan"), "lladdr")
	})
	if n, err := l.Dropped(); err != nil || n > 0 {
		t.Errorf("the provider's port refused %d frames, %v", n, err)
	}
	for _, c := range l.Judge().Report().Findings {
		// To the judge, which knows the server's own addresses alone, the guest's is
		// a stranger's. With the server's MAC it is what this test is about.
		if !strings.Contains(c.Text, fmt.Sprintf("ARP of %s at %s about ", own, lab.ServerMAC())) {
			t.Errorf("at the provider's port: %s", c.Text)
		}
	}

	// The route to it goes with the bridge, and comes back with it; one that
	// somebody takes away, the doctor tells of.
	server := l.Server().NS()
	const led = "guests' own IPv4 addresses are led to them"
	if c := findings(t, server, p.config, 0)[led]; !c.OK {
		t.Errorf("doctor: %+v", c)
	}
	nstest.Output(t, server, ip, "link", "del", "br0")
	eventually(t, "the route to come back with the bridge", func() bool {
		return strings.Contains(nstest.Output(t, server, ip, "-4", "route", "show", own.String()), "dev br0")
	})
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	nstest.Output(t, server, ip, "route", "del", own.String()+"/32", "dev", "br0")
	if c := findings(t, server, p.config, 1)[led]; c.OK || !strings.Contains(c.Measured, own.String()) {
		t.Errorf("doctor: %+v", c)
	}
}
