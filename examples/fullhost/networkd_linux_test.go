package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// managedScript gives a server folders of its own, as far as its network is
// concerned, and a system bus, and stays until it is told to end. /sys can't be
// written, which tells networkd that there is no udev to wait for.
const managedScript = `set -e
mount -t tmpfs none /run
mount -t sysfs -o ro none /sys
for d in systemd/network netplan sysctl.d systemd/system sixhost NetworkManager; do
	mkdir -p /etc/$d "$1/etc/$d"
	mount --bind "$1/etc/$d" /etc/$d
done
for d in NetworkManager dhcp dhcpcd; do
	mkdir -p /var/lib/$d
	mount -t tmpfs none /var/lib/$d
done
mkdir -p /run/systemd/network /run/systemd/netif /run/dbus
chown systemd-network:systemd-network /run/systemd/netif
chmod -R a+rX /run/systemd
exec "$2" --system --nofork --nopidfile`

// managed is a server whose NIC a real network manager may configure, and the
// provider's end.
type managed struct {
	t        *testing.T
	server   *netns.NS
	provider *netns.NS
	root     string
	inside   *exec.Cmd // holds the server's mounts
	manager  *exec.Cmd
	log      string
}

// newManaged makes one whose NIC systemd-networkd configures by the provider's
// files.
func newManaged(t *testing.T, files map[string]string) *managed {
	t.Helper()
	m := newUnmanaged(t, files)
	if _, ok := files["etc/netplan/01-netcfg.yaml"]; ok {
		m.must(nstest.Tool(t, "netplan"), "generate")
	}
	m.startNetworkd()
	m.answers("by the provider's files")
	return m
}

// newUnmanaged makes one with the files, where no manager runs yet.
func newUnmanaged(t *testing.T, files map[string]string) *managed {
	t.Helper()
	nstest.RequireRoot(t)
	nstest.RequireTun(t)
	m := &managed{t: t, server: nstest.NS(t), provider: nstest.NS(t), root: t.TempDir()}
	for name, text := range files {
		path := filepath.Join(m.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".nmconnection") {
			mode = 0o600 // or it is passed over
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for dir := m.root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // networkd is not root
			t.Fatal(err)
		}
	}
	m.wire()
	unshare, dbus := nstest.Tool(t, "unshare"), nstest.Tool(t, "dbus-daemon")
	m.inside = exec.Command(unshare, "-m", "sh", "-c", managedScript, "sh", m.root, dbus)
	m.inside.Stderr = os.Stderr
	if err := m.server.Start(m.inside); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(m.inside) })
	m.eventually("the system bus", func() error {
		return m.command("test", "-S", "/run/dbus/system_bus_socket").Run()
	})
	t.Cleanup(func() { end(m.manager) })
	return m
}

func end(cmd *exec.Cmd) {
	if cmd != nil && cmd.Process != nil {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}
}

// wire joins server and provider and gives the provider its side.
func (m *managed) wire() {
	m.t.Helper()
	h, err := m.provider.Handle()
	if err != nil {
		m.t.Fatal(err)
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "srv"
	mac := serverMAC()
	if err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "enp2s0", PeerHardwareAddr: mac[:], PeerNamespace: netlink.NsFd(m.server.File().Fd())}); err != nil {
		m.t.Fatal(err)
	}
	srv, err := h.LinkByName("srv")
	if err != nil {
		m.t.Fatal(err)
	}
	lo, err := h.LinkByName("lo")
	if err != nil {
		m.t.Fatal(err)
	}
	if err := h.LinkSetUp(srv); err != nil {
		m.t.Fatal(err)
	}
	// Sources beyond the link, so that answers take the default routes.
	for link, addrs := range map[netlink.Link][]string{srv: {"203.0.113.1/32", "fe80::1/64"}, lo: {"203.0.114.1/32", "2001:db8:2::1/128"}} {
		for _, a := range addrs {
			if err := ifaddr.AddText(h, link, a); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	m.routes(h, srv)
}

// routes lead to the server. The kernel drops some when the wire goes down.
func (m *managed) routes(h *netlink.Handle, srv netlink.Link) {
	m.t.Helper()
	for dst, via := range map[string]string{"203.0.113.10/32": "", "2001:db8:1:3::/64": "fe80::921b:eff:fe12:3456"} {
		r := &netlink.Route{LinkIndex: srv.Attrs().Index, Scope: netlink.SCOPE_LINK}
		n, err := netlink.ParseIPNet(dst)
		if err != nil {
			m.t.Fatal(err)
		}
		r.Dst = n
		if via != "" {
			r.Gw, r.Scope = netip.MustParseAddr(via).AsSlice(), netlink.SCOPE_UNIVERSE
		} else {
			r.Src = netip.MustParseAddr("203.0.114.1").AsSlice()
		}
		if err := h.RouteReplace(r); err != nil {
			m.t.Fatalf("route %s: %v", dst, err)
		}
	}
}

// command is one that runs in the server.
func (m *managed) command(name string, args ...string) *exec.Cmd {
	return exec.Command(nstest.Tool(m.t, "nsenter"), append([]string{"-t", strconv.Itoa(m.inside.Process.Pid), "-m", "-n", "--", name}, args...)...)
}

func (m *managed) must(name string, args ...string) string {
	m.t.Helper()
	out, err := m.command(name, args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s %q: %v\n%s\nits manager says:\n%s", name, args, err, out, m.said())
	}
	return string(out)
}

// fullhost is the program, as its owner would run it there.
func (m *managed) fullhost(args ...string) *exec.Cmd {
	m.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := m.command(exe, args...)
	cmd.Env = append(os.Environ(), envProgram+"=1")
	return cmd
}

func (m *managed) run(args ...string) string {
	m.t.Helper()
	out, err := m.fullhost(args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("fullhost %q: %v\n%s\nits manager says:\n%s", args, err, out, m.said())
	}
	return string(out)
}

func (m *managed) startNetworkd() {
	m.t.Helper()
	m.start("env", "SYSTEMD_LOG_TARGET=console", nstest.Tool(m.t, "systemd-networkd"))
}

// start starts the manager.
func (m *managed) start(name string, args ...string) {
	m.t.Helper()
	f, err := os.OpenFile(filepath.Join(m.root, "manager.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	m.log = f.Name()
	m.manager = m.command(name, args...)
	m.manager.Stdout, m.manager.Stderr = f, f
	if err := m.manager.Start(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *managed) said() string {
	b, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (m *managed) eventually(what string, try func() error) {
	m.t.Helper()
	var err error
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	m.t.Fatalf("waited in vain for %s: %v", what, err)
}

// answers waits until the server answers over both families, and checks that
// it goes on doing so: a manager takes its time to do harm.
func (m *managed) answers(when string) {
	m.t.Helper()
	ctx := context.Background()
	for _, to := range []string{"203.0.113.10", "2001:db8:1:3::2"} {
		m.answersAt(ctx, when, netip.MustParseAddr(to))
	}
}

func (m *managed) answersAt(ctx context.Context, when string, to netip.Addr) {
	m.t.Helper()
	last := ""
	for deadline := time.Now().Add(15 * time.Second); ; {
		a := probe.TryPing(ctx, m.provider, to, 200*time.Millisecond)
		if a.Outcome == probe.Answered {
			break
		}
		if last = a.String(); time.Now().After(deadline) {
			state := m.must("sh", "-c", "ip a; ip r; ip -6 r; cat /run/systemd/netif/links/*; ls /run/systemd/network /etc/systemd/network; true")
			m.t.Fatalf("%s: %s does not answer: %s\n%s\nits manager says:\n%s", when, to, last, state, m.said())
		}
	}
	for range 20 {
		// What is lost stays lost, however long the wait; a busy machine needs one.
		if a := probe.TryPing(ctx, m.provider, to, 10*time.Second); a.Outcome != probe.Answered {
			m.t.Fatalf("%s: %s stopped to answer: %s\nits manager says:\n%s", when, to, a, m.said())
		}
		time.Sleep(25 * time.Millisecond)
	}
}

// harass does to the manager what upgrades, operators and cables do.
func (m *managed) harass(when string) {
	m.t.Helper()
	m.flap()
	m.answers("carrier flap " + when)
	m.must("networkctl", "reload")
	m.answers("networkctl reload " + when)
	end(m.manager)
	m.answers("without networkd " + when)
	m.startNetworkd()
	m.eventually("networkd to look at enp2s0", func() error {
		return m.command("networkctl", "--no-pager", "status", "enp2s0").Run()
	})
	time.Sleep(300 * time.Millisecond)
	m.answers("networkd restarted " + when)
	m.flap()
	m.answers("another carrier flap " + when)
}

// flap pulls the cable for a moment.
func (m *managed) flap() {
	m.t.Helper()
	h, err := m.provider.Handle()
	if err != nil {
		m.t.Fatal(err)
	}
	defer h.Close()
	srv, err := h.LinkByName("srv")
	if err != nil {
		m.t.Fatal(err)
	}
	if err := h.LinkSetDown(srv); err != nil {
		m.t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if err := h.LinkSetUp(srv); err != nil {
		m.t.Fatal(err)
	}
	// Setting a link down takes its IPv6 addresses with it.
	if err := ifaddr.AddText(h, srv, "fe80::1/64"); err != nil {
		m.t.Fatal(err)
	}
	m.routes(h, srv)
	time.Sleep(300 * time.Millisecond)
}

// begin starts fullhost apply and waits until its apply phase is complete.
func (m *managed) begin(config string) *applying {
	m.t.Helper()
	a := &applying{file: config, lines: make(chan string, 1000)}
	a.cmd = m.fullhost("apply", "-f", config)
	a.cmd.Stderr = os.Stderr
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go a.read(out)
	m.t.Cleanup(func() {
		a.cmd.Process.Signal(syscall.SIGTERM)
		a.cmd.Wait()
	})
	a.until(m.t, "Applied.")
	return a
}

func providersFiles() map[string]map[string]string {
	networkd := func(match string) map[string]string {
		return map[string]string{"etc/systemd/network/10-enp2s0.network": "[Match]\n" + match + `

[Network]
Address=2001:db8:1:3::2/64
Gateway=fe80::1

[Address]
Address=203.0.113.10/32

[Route]
Gateway=203.0.113.1
GatewayOnLink=yes
`}
	}
	return map[string]map[string]string{
		"networkd":        networkd("Name=enp2s0"),
		"networkd by MAC": networkd("MACAddress=" + serverMAC().String()),
		"netplan": {"etc/netplan/01-netcfg.yaml": `network:
  version: 2
  renderer: networkd
  ethernets:
    enp2s0:
      addresses: [203.0.113.10/32, "2001:db8:1:3::2/64"]
      routes:
      - {to: 0.0.0.0/0, via: 203.0.113.1, on-link: true}
      - {to: default, via: "fe80::1"}
`},
	}
}

// TestHandOverFromNetworkd moves a NIC that a real systemd-networkd manages,
// and harasses networkd before and after the confirmation.
func TestHandOverFromNetworkd(t *testing.T) {
	for format, files := range providersFiles() {
		t.Run(format, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			m := newManaged(t, files)
			config := filepath.Join(m.root, "host.yaml")
			if err := os.WriteFile(config, []byte("dns: {upstreams: [192.0.2.53]}\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			pings := make(map[string]*probe.Pinger)
			for _, to := range []string{"203.0.113.10", "2001:db8:1:3::2"} {
				p, err := probe.StartPinger(ctx, m.provider, probe.PingConfig{To: netip.MustParseAddr(to)})
				if err != nil {
					t.Fatal(err)
				}
				pings[to] = p
			}
			mark := func(what string) {
				for _, p := range pings {
					p.Mark(what)
				}
			}
			mark("apply")
			a := m.begin(config)
			time.Sleep(200 * time.Millisecond)
			mark("")
			m.harass("before confirm")
			mark("confirm")
			out := m.run("confirm", "-f", config)
			time.Sleep(200 * time.Millisecond)
			mark("")
			if err := a.cmd.Wait(); err != nil {
				t.Errorf("apply after the confirmation: %v", err)
			}
			for to, p := range pings {
				for _, w := range p.Stop().Windows {
					if w.Name == "" {
						continue
					}
					t.Logf("%s, %s: %d of %d lost", to, w.Name, w.Lost, w.Sent)
					if w.Lost > 20 {
						t.Errorf("%s, %s: %d of %d pings lost", to, w.Name, w.Lost, w.Sent)
					}
				}
			}
			m.answers("confirmed")
			if out := m.run("plan", "-f", config); !strings.Contains(out, "Nothing to do") {
				t.Errorf("after confirm there is still something to do:\n%s\nits manager says:\n%s", out, m.said())
			}
			m.harass("after confirm")
			if format == "networkd" {
				m.changeAddress(config)
			}
			if out := m.run("plan", "-f", config); !strings.Contains(out, "Nothing to do") {
				t.Errorf("after all that there is still something to do:\n%s", out)
			}
			if t.Failed() {
				t.Logf("confirm said:\n%s", out)
			}
		})
	}
}

// changeAddress has the host give ::2 up for another address, while networkd is
// in charge of the bridge by the files of the first change.
func (m *managed) changeAddress(config string) {
	m.t.Helper()
	if err := os.WriteFile(config, []byte("dns: {upstreams: [192.0.2.53]}\naddress: 2001:db8:1:3::77\n"), 0o644); err != nil {
		m.t.Fatal(err)
	}
	ctx, other := context.Background(), netip.MustParseAddr("2001:db8:1:3::77")
	a := m.begin(config)
	m.answersAt(ctx, "the new address, applied", other)
	m.answers("applied again")
	m.flap()
	m.answers("carrier flap before the second confirm")
	m.run("confirm", "-f", config)
	if err := a.cmd.Wait(); err != nil {
		m.t.Errorf("apply after the second confirmation: %v", err)
	}
	m.flap()
	m.answersAt(ctx, "the new address, confirmed", other)
	if try := probe.TryPing(ctx, m.provider, netip.MustParseAddr("2001:db8:1:3::2"), 300*time.Millisecond); try.Outcome == probe.Answered {
		m.t.Errorf("the address that was given up still answers: %s", try)
	}
}

// TestUndoGivesBackToNetworkd takes a change back: networkd has the NIC again,
// by its old files.
func TestUndoGivesBackToNetworkd(t *testing.T) {
	t.Parallel()
	m := newManaged(t, providersFiles()["networkd"])
	config := filepath.Join(m.root, "host.yaml")
	if err := os.WriteFile(config, []byte("dns: {upstreams: [192.0.2.53]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, m.server)
	m.begin(config)
	m.run("undo", "-f", config)
	m.answers("taken back")
	backTo(t, m.server, before)
	notes := "/run/systemd/netif/links/" + strings.TrimSpace(m.must("cat", "/sys/class/net/enp2s0/ifindex"))
	m.eventually("networkd to have the NIC configured", func() error {
		if s := m.must("cat", notes); !strings.Contains(s, "ADMIN_STATE=configured") {
			return errors.New(s)
		}
		return nil
	})
	m.harass("after undo")
}

// TestServiceRecoversFromNetworkd: all processes of a change are killed, and the
// service, with the few rights that it has, takes it back: networkd has the NIC
// again.
func TestServiceRecoversFromNetworkd(t *testing.T) {
	t.Parallel()
	m := newManaged(t, providersFiles()["networkd"])
	config := m.config("state_dir: " + filepath.Join(m.root, "state") + "\n")
	before := snapshot(t, m.server)
	a := m.begin(config)
	// nsenter has become the program.
	_, pid, watchdog, open := (&stage{state: filepath.Join(m.root, "state")}).open()
	if !open {
		t.Fatal("no change is open")
	}
	for _, p := range []int{watchdog, pid} {
		syscall.Kill(p, syscall.SIGKILL)
	}
	a.cmd.Wait()
	gone(t, watchdog)
	service := m.command(nstest.Tool(t, "setpriv"), append(unitRights(t), program0(t), "run", "-f", config)...)
	service.Env = append(os.Environ(), envProgram+"=1")
	out, _ := service.CombinedOutput()
	if service.ProcessState.ExitCode() != 2 || !strings.HasPrefix(string(out), "An earlier change was cut off; the network from before it is back.\n") {
		t.Fatalf("run: %v, says\n%s", service.ProcessState, out)
	}
	backTo(t, m.server, before)
	if s := m.must("sh", "-c", "cat /run/systemd/netif/links/$(cat /sys/class/net/enp2s0/ifindex); ls /run/systemd/network"); strings.Contains(s, "ADMIN_STATE=unmanaged") || strings.Contains(s, "sixhost") {
		t.Errorf("networkd has not been given the NIC:\n%s", s)
	}
	m.answers("taken back by the service")
	m.harass("after that")
}
