package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// envProgram makes the test binary the program itself.
const envProgram = "FULLHOST_TEST_PROGRAM"

func TestMain(m *testing.M) {
	// The lab starts this binary again and again: as its inner half, as the
	// server's commands, as the watchdog.
	if os.Getenv(envProgram) != "" || lab.Inside() {
		armFault()
		main()
		return
	}
	os.Exit(nstest.Main(m))
}

// program runs fullhost in a namespace and returns its exit status and what
// it printed.
func program(t *testing.T, ns *netns.NS, change func(*exec.Cmd), args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "fullhost"
	cmd.Env = append(os.Environ(), envProgram+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if change != nil {
		change(cmd)
	}
	start := cmd.Start
	if ns != nil {
		start = func() error { return ns.Start(cmd) }
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// link makes a veth pair in the calling thread's namespace, both ends up.
func link(name, mac string) (netlink.Link, error) {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = name, hw
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "-peer"}); err != nil {
		return nil, err
	}
	// The peer stands for the provider's port: a link-local address of its own
	// would appear at a time of its own.
	if err := sysctl.Write("net/ipv6/conf/"+name+"-peer/addr_gen_mode", "1"); err != nil {
		return nil, err
	}
	// Nor has the NIC's to be waited for.
	if err := sysctl.Write("net/ipv6/conf/"+name+"/accept_dad", "0"); err != nil {
		return nil, err
	}
	for _, n := range []string{name, name + "-peer"} {
		l, err := netlink.LinkByName(n)
		if err != nil {
			return nil, err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return nil, err
		}
	}
	return netlink.LinkByName(name)
}

func defaultRoute(l netlink.Link, via string, metric int) error {
	gw := net.ParseIP(via)
	dst := &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	if gw.To4() != nil {
		dst = &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	}
	return netlink.RouteAppend(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Gw: gw, Priority: metric, Flags: int(netlink.FLAG_ONLINK)})
}

// rented makes a server as a provider hands it over.
func rented() (netlink.Link, error) {
	l, err := link("enp2s0", "90:1b:0e:12:34:56")
	if err != nil {
		return nil, err
	}
	for _, a := range []string{"203.0.113.10/32", "2001:db8:1:3::2/64"} {
		if err := ifaddr.AddText(&netlink.Handle{}, l, a); err != nil {
			return nil, fmt.Errorf("%s: %w", a, err)
		}
	}
	if err := defaultRoute(l, "203.0.113.1", 0); err != nil {
		return nil, err
	}
	if err := defaultRoute(l, "fe80::1", 1024); err != nil {
		return nil, err
	}
	return l, settled(l)
}

// settled waits until the kernel has given the link its link-local address
// and no detection is under way.
func settled(l netlink.Link) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		addrs, err := netlink.AddrList(l, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		done := false
		for _, a := range addrs {
			if a.Flags&syscall.IFA_F_TENTATIVE != 0 {
				done = false
				break
			}
			done = done || a.IP.IsLinkLocalUnicast()
		}
		if done {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s has no link-local address yet", l.Attrs().Name)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// snapshot is what must not change where something is refused.
func snapshot(t *testing.T, ns *netns.NS) string {
	t.Helper()
	var b strings.Builder
	nstest.Do(t, ns, func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			fmt.Fprintln(&b, l.Attrs().Name, l.Type(), l.Attrs().HardwareAddr, l.Attrs().MasterIndex)
			addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
			if err != nil {
				return err
			}
			for _, a := range addrs {
				fmt.Fprintln(&b, " ", a.IPNet)
			}
			for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
				routes, err := netlink.RouteList(l, family)
				if err != nil {
					return err
				}
				for _, r := range routes {
					fmt.Fprintln(&b, " ", r)
				}
			}
		}
		return nil
	})
	return b.String()
}

// TestRefusals: one clear sentence that names the field or interface, exit
// status 2, and nothing changed.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name   string
		setUp  func() error
		config string
		want   string // of the sentence, FILE standing for the file
	}{
		{"broken YAML", nil, "uplink: [enp2s0\n", "fullhost: FILE: line "},
		{"unknown key", nil, "bridge: br0\nuplnk: enp2s0\n", `fullhost: FILE:2: unknown key "uplnk"; did you mean "uplink"?`},
		{"bad prefix", nil, "prefix: 2001:db8::/48\n", "fullhost: FILE: prefix: SLAAC needs an IPv6 /64, not 2001:db8::/48"},
		{"bad address", nil, "address: somewhere\n", `fullhost: FILE:1: address: want keep, slaac or an IPv6 address, not "somewhere"`},
		{"bad guest", nil, "guests:\n- name: under_score\n", "fullhost: guests: "},
		{"two guests of a name", nil, "guests:\n- name: www\n- name: www\n", "fullhost: guests: "},
		{"missing uplink", nil, "uplink: enp9s0\n", "fullhost: uplink enp9s0: there is no such interface"},
		{"no default route", func() error {
			l, err := netlink.LinkByName("enp2s0")
			if err != nil {
				return err
			}
			return netlink.LinkSetDown(l)
		}, "", "fullhost: uplink: there is no default route; say which interface leads to the provider"},
		{"ambiguous default routes", func() error {
			l, err := link("enp3s0", "90:1b:0e:12:34:57")
			if err != nil {
				return err
			}
			return defaultRoute(l, "203.0.113.1", 0)
		}, "", "fullhost: uplink: the best IPv4 default routes leave through "},
		{"no /64", func() error {
			l, err := netlink.LinkByName("enp2s0")
			if err != nil {
				return err
			}
			a, err := netlink.ParseAddr("2001:db8:1:3::2/64")
			if err != nil {
				return err
			}
			return netlink.AddrDel(l, a)
		}, "", "fullhost: prefix: enp2s0 has no address in a /64; say which /64 the provider routes here"},
		{"already bridged", func() error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "virbr7"
			br := &netlink.Bridge{LinkAttrs: attrs}
			if err := netlink.LinkAdd(br); err != nil {
				return err
			}
			l, err := netlink.LinkByName("enp2s0")
			if err != nil {
				return err
			}
			return netlink.LinkSetMaster(l, br)
		}, "", "fullhost: uplink enp2s0: is already a port of the bridge virbr7"},
		{"dead time not accepted", nil, "spanning_tree: {enabled: true}", "fullhost: spanning tree: with it the host can't be reached for 4s"},
		{"no files to persist to", nil, "persist: {format: auto, root: /nonexistent}\n", "fullhost: persist"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ns := nstest.NS(t)
			nstest.Do(t, ns, func() error {
				if _, err := rented(); err != nil {
					return err
				}
				if tc.setUp != nil {
					return tc.setUp()
				}
				return nil
			})
			dir := t.TempDir()
			file := filepath.Join(dir, "host.yaml")
			config := tc.config
			if !strings.Contains(config, "persist:") {
				config += "\npersist: {format: none}"
			}
			if err := os.WriteFile(file, []byte(config+"\nstate_dir: "+filepath.Join(dir, "state")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, ns)
			for _, command := range []string{"plan", "apply"} {
				status, stdout, stderr := program(t, ns, nil, command, "-f", file)
				if status != 2 || stdout != "" {
					t.Errorf("%s: status %d, printed %q", command, status, stdout)
				}
				got := strings.ReplaceAll(strings.TrimSuffix(stderr, "\n"), file, "FILE")
				if !strings.HasPrefix(got, tc.want) || strings.Contains(got, "\n") {
					t.Errorf("%s says\n%s\nwant one line that begins\n%s", command, got, tc.want)
				}
			}
			if after := snapshot(t, ns); after != before {
				t.Errorf("something changed:\nbefore\n%s\nafter\n%s", before, after)
			}
		})
	}
}

// TestRefusesManagers: who can't be handed over from is named before anything
// changes.
func TestRefusesManagers(t *testing.T) {
	sleep, err := os.ReadFile(nstest.Tool(t, "sleep"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"NetworkManager":   "fullhost: uplink enp2s0: NetworkManager is in charge of it",
		"dhcpcd":           "fullhost: uplink enp2s0: dhcpcd is in charge of it",
		"systemd-networkd": "fullhost: uplink enp2s0: systemd-networkd is in charge of it and can't be told to leave it, as there is no system bus",
	} {
		t.Run(name, func(t *testing.T) {
			ns := nstest.NS(t)
			nstest.Do(t, ns, func() error { _, err := rented(); return err })
			dir := t.TempDir()
			fake := filepath.Join(dir, name)
			if err := os.WriteFile(fake, sleep, 0o755); err != nil {
				t.Fatal(err)
			}
			config := filepath.Join(dir, "host.yaml")
			if err := os.WriteFile(config, []byte("persist: {format: none}\ndns: {upstreams: [192.0.2.53]}\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			manager := exec.Command(fake, "60")
			if err := ns.Start(manager); err != nil {
				t.Fatal(err)
			}
			defer manager.Wait()
			defer manager.Process.Kill()
			before := snapshot(t, ns)
			noBus := func(cmd *exec.Cmd) {
				cmd.Env = append(cmd.Env, "DBUS_SYSTEM_BUS_ADDRESS=unix:path="+dir+"/none")
			}
			for _, command := range []string{"plan", "apply"} {
				status, _, stderr := program(t, ns, noBus, command, "-f", config)
				if status != 2 || !strings.HasPrefix(stderr, want) {
					t.Errorf("%s: status %d, says %q, want 2 and %q", command, status, stderr, want)
				}
			}
			if now := snapshot(t, ns); now != before {
				t.Errorf("something changed:\n%s\nbefore:\n%s", now, before)
			}
		})
	}
}

func TestRefusesWithoutPrivilege(t *testing.T) {
	nstest.RequireRoot(t)
	ns := nstest.NS(t)
	nstest.Do(t, ns, func() error { _, err := rented(); return err })
	nobody := func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	for _, command := range []string{"plan", "apply", "confirm", "undo", "run", "persist", "doctor"} {
		status, _, stderr := program(t, ns, nobody, command)
		if want := "fullhost: privileges: reading and changing the network's set-up needs CAP_NET_ADMIN; run this as root\n"; status != 2 || stderr != want {
			t.Errorf("%s: status %d, says %q, want 2 and %q", command, status, stderr, want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"-h"}, 0, ""},
		{[]string{"lab", "-h"}, 0, ""},
		{nil, 2, ""},
		{[]string{"laab"}, 2, "fullhost: unknown command \"laab\"; fullhost -h lists them\n"},
		{[]string{"lab", "-guests", "0"}, 2, "fullhost: lab: -guests: want 1 to 1022, not 0\n"},
		{[]string{"lab", "-recipe", "soup"}, 2, "fullhost: lab: -recipe: want fullhost or article, not \"soup\"\n"},
		{[]string{"lab", "-provider", "soup"}, 2, "fullhost: lab: -provider: want routed or on-link, not \"soup\"\n"},
		{[]string{"lab", "-attack", "-guests", "2"}, 2, "fullhost: lab: -attack: wants three guests at least, not 2\n"},
		{[]string{"lab", "-gusts", "3"}, 2, "fullhost: lab: flag provided but not defined: -gusts; fullhost lab -h lists the flags\n"},
		{[]string{"plan", "host.yaml"}, 2, "fullhost: plan: unexpected argument \"host.yaml\"\n"},
		{[]string{"plan", "-f", "/nonexistent"}, 2, "fullhost: /nonexistent: can't be read: no such file or directory\n"},
	} {
		status, _, stderr := program(t, nil, nil, tc.args...)
		if status != tc.status || stderr != tc.stderr {
			t.Errorf("%q: status %d, says %q, want %d and %q", tc.args, status, stderr, tc.status, tc.stderr)
		}
	}
}

// TestLab runs the whole job with one guest, at each kind of provider.
func TestLab(t *testing.T) {
	nstest.RequireTun(t)
	for _, provider := range []lab.ProviderKind{lab.Routed, lab.OnLink} {
		t.Run(provider.String(), func(t *testing.T) {
			status, stdout, stderr := program(t, nil, nil, "lab", "-guests", "1", "-provider", provider.String())
			if status != 0 {
				t.Errorf("status %d\n%s%s", status, stdout, stderr)
			}
			if !strings.Contains(stdout, " checks hold.") {
				t.Errorf("no table:\n%s", stdout)
			}
		})
	}
}
