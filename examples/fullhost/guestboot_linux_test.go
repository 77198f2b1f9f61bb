package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/slaac"
)

// TestRealGuests: what libvirt and QEMU make of our guests has the addresses
// that were known before, and reaches and is reached as promised.
func TestRealGuests(t *testing.T) {
	nstest.RequireRoot(t)
	nstest.RequireTun(t)
	nstest.Tool(t, "qemu-system-x86_64")
	parts := newGuestParts(t)
	t.Setenv(envProgram, "1") // for the server's commands

	l, err := lab.New(t.Context(), lab.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	v := newVirtHost(t, l)
	own := netip.MustParseAddr("203.0.113.77")
	p := guestServer(t, l, v, parts, own)
	ctx := t.Context()
	p.stand(t, ctx)
	// The provider routes the guest's own address to the server.
	nstest.Output(t, l.Node(lab.Provider).NS(), nstest.Tool(t, "ip"), "route", "add", own.String()+"/32", "via", lab.ServerIPv4().Addr().String(), "dev", lab.Port)
	for _, name := range []string{"web", "mail"} {
		l.Judge().AddGuest(wire.MAC(slaac.GuestMAC(name)))
		a := guestAddr(t, name)
		l.SetName(name, lab.ServerIPv4().Addr(), a)
	}
	v.dial(t).Close()

	begun := time.Now()
	for _, name := range []string{"web", "mail"} {
		out := p.say(t, "guest", "start", "-f", p.config, name)
		if !strings.Contains(out, "define guest "+name) || !strings.Contains(out, "start guest "+name) {
			t.Errorf("start of %s said:\n%s", name, out)
		}
	}
	consoles := map[string]console{"web": {filepath.Join(p.dir, "web.log")}, "mail": {filepath.Join(p.dir, "mail.log")}}
	check := func(name string, boot int) {
		t.Helper()
		s := consoles[name].boot(t, boot)
		a := guestAddr(t, name)
		sum := func(node string) string { return fmt.Sprintf("%x -", sha256.Sum256(lab.Page(node, lab.PathLarge))) }
		for word, want := range map[string]string{
			"link":       slaac.GuestMAC(name).String(),
			"address":    a.String(),
			"resolver":   predictedServer().String(),
			"nat64-page": sum(lab.Web4),
			"ipv6-page":  sum(lab.Web6),
		} {
			if s[word].text != want {
				t.Errorf("%s, boot %d: %s is %q, want %q", name, boot, word, s[word].text, want)
			}
		}
		for word, from := range map[string]string{"nat64": lab.ServerIPv4().Addr().String() + ":", "ipv6": "[" + a.String() + "]:"} {
			if !strings.HasPrefix(s[word].text, from) {
				t.Errorf("%s, boot %d: its %s request came from %q, want %s", name, boot, word, s[word].text, from)
			}
		}
		if name == "mail" && !strings.HasPrefix(s["ipv4"].text, own.String()+":") {
			t.Errorf("mail, boot %d: its request by IPv4 came from %q, want %s", boot, s["ipv4"].text, own)
		}
		fetch := func(from, url string, o probe.FetchOptions) {
			t.Helper()
			got, err := probe.Fetch(ctx, l.Node(from).NS(), url, o)
			if err != nil {
				t.Errorf("%s, boot %d: %v", name, boot, err)
			} else if want := "this is " + name + "\n"; string(got.Body) != want {
				t.Errorf("%s, boot %d: %s has %d %q", name, boot, url, got.Status, got.Body)
			}
		}
		fetch(lab.Client6, "http://"+name+".example/", probe.FetchOptions{Addr: netip.AddrPortFrom(a, 80)})
		if name == "web" {
			fetch(lab.Client4, "http://web.example/", probe.FetchOptions{Addr: netip.AddrPortFrom(lab.ServerIPv4().Addr(), 80)})
		} else {
			fetch(lab.Client4, "http://mail.example/", probe.FetchOptions{Addr: netip.AddrPortFrom(own, 80)})
		}
		if boot == 1 {
			t.Logf("%s: %s", name, bootSplit(s))
		}
	}
	check("web", 1)
	check("mail", 1)
	t.Logf("both guests served %.1f s after the first start", time.Since(begun).Seconds())

	list := p.say(t, "guest", "list", "-f", p.config)
	for _, name := range []string{"web", "mail"} {
		if !strings.Contains(list, "g-"+name) || !strings.Contains(list, "running") || !strings.Contains(list, guestAddr(t, name).String()) {
			t.Errorf("list has no running %s:\n%s", name, list)
		}
	}
	if out := p.say(t, "guest", "wait", "-f", p.config, "web"); !strings.Contains(out, "answers at "+guestAddr(t, "web").String()) {
		t.Errorf("wait said %s", out)
	}

	// One that somebody else has made joins them.
	foreign := filepath.Join(p.dir, "foreign.xml")
	if err := os.WriteFile(foreign, []byte(`<domain type='qemu'><name>Foreign VM</name><memory>65536</memory><os><type>hvm</type></os><devices>
<interface type='bridge'><mac address='52:54:00:aa:bb:cc'/><source bridge='br0'/></interface></devices></domain>`), 0o644); err != nil {
		t.Fatal(err)
	}
	virsh := func(args ...string) string {
		t.Helper()
		return nstest.Output(t, l.Server().NS(), nstest.Tool(t, "virsh"), append([]string{"-c", "qemu+unix:///system?socket=" + v.socket}, args...)...)
	}
	virsh("define", foreign)
	if out := p.say(t, "guest", "list", "-f", p.config); !strings.Contains(out, "foreign-vm  stopped") || !strings.Contains(out, "2001:db8:1:3:5054:ff:feaa:bbcc") {
		t.Errorf("list has no foreign-vm:\n%s", out)
	}
	if out := p.say(t, "zone", "-f", p.config); !strings.Contains(out, "foreign-vm.example.\t300\tIN\tAAAA\t2001:db8:1:3:5054:ff:feaa:bbcc\n") {
		t.Errorf("zone has no foreign-vm:\n%s", out)
	}

	// run has learnt of them by libvirt's events.
	heard := p.serve.Cmd.Stderr.(*lineWriter)
	for _, name := range []string{"web", "mail"} {
		want := fmt.Sprintf("msg=\"a guest has started\" guest=%s mac=%s address=%s port=g-%s", name, slaac.GuestMAC(name), guestAddr(t, name), name)
		for end := time.Now().Add(60 * time.Second); !strings.Contains(heard.String(), want); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("fullhost run has not heard %q:\n%s", want, heard)
			}
		}
	}

	// A session to one guest, while all else happens.
	var session *probe.Session
	open := func() {
		t.Helper()
		var err error
		if session, err = probe.StartSession(ctx, l.Node(lab.Client6).NS(), probe.SessionConfig{To: netip.AddrPortFrom(guestAddr(t, "web"), 7)}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { session.Stop() })
	}
	open()
	lives := func(after string) {
		t.Helper()
		wait, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if err := session.WaitEcho(wait); err != nil {
			t.Fatalf("after %s: %v; %v", after, err, session.Report())
		}
	}
	lives("the start")

	v.restart(t)
	lives("a restart of libvirtd")
	if out := p.say(t, "guest", "start", "-f", p.config, "web"); !strings.Contains(out, "Nothing to do") {
		t.Errorf("a second start of web said:\n%s", out)
	}

	// Applying again finds nothing to do.
	if out := p.repeat(ctx); out != "" {
		t.Errorf("a second plan:\n%s", out)
	}
	p.say(t, "apply", "-f", p.config)
	lives("a second apply")

	conn := v.dial(t)
	defer conn.Close()
	if err := conn.Kill("mail"); err != nil {
		t.Fatal(err)
	}
	p.say(t, "guest", "start", "-f", p.config, "mail")
	check("mail", 2)
	lives("the other guest's death")

	p.serveAgain(t, ctx)
	lives("a restart of fullhost run")

	session.Stop() // it does not outlive the machine
	reboot(t, l, guestAddr(t, "web"))
	check("web", 2)
	open()

	// What libvirt is told, it does: by itself at the host's start or not, off when
	// asked, and forgotten.
	steps := func(want string, args ...string) {
		t.Helper()
		args = append([]string{"guest", args[0], "-f", p.config}, args[1:]...)
		if out := p.say(t, append(slices.Clone(args[:4]), append([]string{"-n"}, args[4:]...)...)...); !strings.Contains(out, want) {
			t.Errorf("fullhost %s -n: %s", strings.Join(args, " "), out)
		}
		if out := p.say(t, args...); !strings.Contains(out, want) {
			t.Errorf("fullhost %s: %s", strings.Join(args, " "), out)
		}
		if out := p.say(t, args...); !strings.Contains(out, "Nothing to do") {
			t.Errorf("fullhost %s once more: %s", strings.Join(args, " "), out)
		}
	}
	listed := func(name, state string) {
		t.Helper()
		for line := range strings.Lines(p.say(t, "guest", "list", "-f", p.config)) {
			if f := strings.Fields(line); len(f) > 0 && f[0] == name {
				if !strings.Contains(line, "  "+state+"  ") {
					t.Errorf("want %s %s: %s", name, state, line)
				}
				return
			}
		}
		t.Errorf("%s is not in the list", name)
	}
	steps("start guest mail with the host", "autostart", "mail")
	listed("mail", "running, autostart")
	if out := virsh("dominfo", "mail"); !regexp.MustCompile(`Autostart: +enable`).MatchString(out) {
		t.Errorf("libvirt says:\n%s", out)
	}
	steps("no longer start guest mail with the host", "autostart", "-off", "mail")
	begin := time.Now()
	steps("stop guest mail", "stop", "mail")
	if took := time.Since(begin); took >= libvirtguests.Grace {
		t.Errorf("mail did not shut down when it was asked to, after %s", took)
	}
	listed("mail", "stopped")
	lives("another guest's end")
	steps("undefine guest mail", "undefine", "mail")
	listed("mail", "not defined")
	if _, ok := consoles["mail"].last(t)["off"]; !ok {
		t.Error("mail was not asked to shut down")
	}
	if out := virsh("list", "--all", "--name"); strings.Contains(out, "mail") || !strings.Contains(out, "web") {
		t.Errorf("libvirt has:\n%s", out)
	}

	// The provider saw one MAC.
	if n, err := l.Dropped(); err != nil || n > 0 {
		t.Errorf("the provider's port refused %d frames, %v", n, err)
	}
	for _, c := range l.Judge().Report().Findings {
		t.Errorf("at the provider's port: %s", c.Text)
	}
	steps("undefine guest web", "undefine", "web")
	listed("web", "not defined")
}

func guestAddr(t testing.TB, name string) netip.Addr {
	t.Helper()
	a, err := slaac.Addr(lab.ServerIPv6().Masked(), slaac.GuestMAC(name))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// bootSplit is how long after the kernel's start what was there.
func bootSplit(s map[string]said) string {
	var parts []string
	for _, word := range []string{"kernel", "link", "local", "route", "address", "resolver", "dns", "nat64", "ready"} {
		parts = append(parts, fmt.Sprintf("%s at %s s", word, s[word].uptime))
	}
	return strings.Join(parts, ", ")
}

// reboot asks a guest to.
func reboot(t *testing.T, l *lab.Lab, a netip.Addr) {
	t.Helper()
	nstest.Do(t, l.Node(lab.Client6).NS(), func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(a, 9).String(), 10*time.Second)
		if err != nil {
			return err
		}
		// Nobody is left to say good-bye.
		defer c.Close()
		_, err = io.WriteString(c, "reboot\n")
		return err
	})
}

// guestServer writes the server's host.yaml, with two real guests.
func guestServer(t testing.TB, l *lab.Lab, v *virtHost, parts guestParts, own netip.Addr) *productRecipe {
	t.Helper()
	dir := t.TempDir()
	p := &productRecipe{lab: l, out: newProgress(io.Discard, false), dir: dir, config: filepath.Join(dir, "host.yaml")}
	root := filepath.Join(dir, "root")
	if err := installProviderNetplan(root, l.Gateway6()); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "address: slaac\nstate_dir: %s\npersist: {root: %s}\nlibvirt: {socket: %s, emulate: true}\n", filepath.Join(dir, "state"), root, v.socket)
	fmt.Fprintf(&b, "dns: {domain: %s, upstreams: [%q, %q]}\nguests:\n", zone(), l.Resolvers()[0], l.Resolvers()[1])
	for _, name := range []string{"web", "mail"} {
		more := ""
		if name == "mail" {
			more = fmt.Sprintf(" sixhost.ipv4=%s sixhost.gateway=%s", own, lab.ServerIPv4().Addr())
		}
		fmt.Fprintf(&b, "- name: %s\n  memory_mib: 192\n  kernel: %s\n  initrd: %s\n  cmdline: console=ttyS0 quiet mitigations=off sixhost.name=%s%s\n  console_log: %s\n",
			name, parts.kernel, parts.initrd, name, more, filepath.Join(dir, name+".log"))
		if name == "mail" {
			fmt.Fprintf(&b, "  ipv4: [%s]\n", own)
		} else {
			fmt.Fprintf(&b, "  serve: [web.%s]\n", zone())
		}
	}
	if err := os.WriteFile(p.config, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// say runs a command in the server to its end and returns what it said.
func (p *productRecipe) say(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	w := &lineWriter{line: func(string) {}}
	cmd.Stdout, cmd.Stderr = w, w
	prog, err := p.lab.Run(p.lab.Server(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := prog.Wait(ctx); err != nil {
		t.Fatalf("fullhost %s: %v\n%s", strings.Join(args, " "), err, w)
	}
	return w.String()
}
