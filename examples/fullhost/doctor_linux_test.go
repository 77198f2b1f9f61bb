package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/nat64/gateway"
)

// serving starts fullhost run in a namespace, waits until it serves, and returns
// what ends it.
func serving(t *testing.T, ns *netns.NS, file string) (stop func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "run", "-f", file)
	cmd.Env = append(os.Environ(), envProgram+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	ready := make(chan bool, 1)
	go func() {
		for scan := bufio.NewScanner(out); scan.Scan(); {
			if strings.HasPrefix(scan.Text(), "Serving.") {
				ready <- true
			}
		}
		close(ready)
	}()
	stop = sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	select {
	case ok := <-ready:
		if !ok {
			stop()
			t.Fatalf("fullhost run ended: %s", said.String())
		}
	case <-time.After(20 * time.Second):
		stop()
		t.Fatalf("fullhost run does not serve: %s", said.String())
	}
	t.Cleanup(stop)
	return stop
}

// findings runs fullhost doctor and returns its lines by verdict and name.
func findings(t *testing.T, ns *netns.NS, file string, wantStatus int) map[string]check {
	t.Helper()
	status, stdout, stderr := program(t, ns, nil, "doctor", "-json", "-f", file)
	var got table
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("doctor: status %d, %v: %s%s", status, err, stdout, stderr)
	}
	if status != wantStatus {
		t.Errorf("doctor: status %d, want %d:\n%s%s", status, wantStatus, stdout, stderr)
	}
	list := make(map[string]check)
	for _, c := range got.Checks {
		if have, twice := list[c.Name]; !twice || have.OK {
			list[c.Name] = c
		}
	}
	return list
}

// TestDoctor: a host that is as wanted, and everything that can be wrong with
// it, one after the other.
func TestDoctor(t *testing.T) {
	ns, a, root := persisting(t, map[string]string{
		"etc/netplan/01-netcfg.yaml":   providerNetplan,
		"etc/systemd/network/a.link":   "[Match]\nMACAddress=90:1b:0e:12:34:56\n\n[Link]\nName=enp2s0\n",
		"etc/cloud/cloud.cfg":          "",
		"etc/systemd/network/NOTREAD":  "",
		"etc/network/interfaces":       "iface lo inet loopback\n",
		"etc/netplan/90-other.yaml":    "network: {ethernets: {enp9s0: {dhcp4: true}}}\n",
		"etc/sysctl.d/10-network.conf": "",
	}, "guests: [{name: www, serve: [www.example.net]}]\nconfirm_within: 60s\n")
	fails := func(wrong string, list map[string]check, names ...string) {
		t.Helper()
		for _, n := range names {
			if c, ok := list[n]; !ok || c.OK {
				t.Errorf("%s: %q does not fail: %+v", wrong, n, c)
			}
		}
		for n, c := range list {
			if !c.OK && !strings.Contains(strings.Join(names, "|"), n) {
				t.Errorf("%s: %q fails: %s", wrong, n, c.Measured)
			}
		}
	}
	const (
		moved    = "bridge and addresses are as wanted"
		rules    = "edge rules are as wanted"
		device   = "NAT64 device and rules are as wanted"
		files    = "next boot has the same network"
		open     = "no change is open"
		dns      = "DNS64 answers"
		ra       = "router advertiser listens"
		nat      = "NAT64 translates"
		door     = "IPv4 front door takes connections"
		services = dns + "|" + ra + "|" + nat + "|" + door
	)
	all := append([]string{moved, rules, device, files}, strings.Split(services, "|")...)
	fails("before apply", findings(t, ns, a.file, 1), all...)

	a.start(t, ns)
	a.until(t, "Applied.")
	fails("not confirmed", findings(t, ns, a.file, 1), append([]string{moved, rules, files, open}, strings.Split(services, "|")...)...)
	if status, _, stderr := program(t, ns, nil, "confirm", "-f", a.file); status != 0 {
		t.Fatalf("confirm: status %d, %s", status, stderr)
	}
	fails("nothing serves", findings(t, ns, a.file, 1), strings.Split(services, "|")...)

	stop := serving(t, ns, a.file)
	list := findings(t, ns, a.file, 0)
	fails("all is well", list)
	if n := list["worth knowing"]; !n.Note || !strings.Contains(n.Measured, "/etc/systemd/network/a.link matches every interface") {
		t.Errorf("the .link file is not reported: %+v", n)
	}
	if n := list["manager of enp2s0"]; !n.Note || n.Measured != "nobody" {
		t.Errorf("manager: %+v", n)
	}
	status, stdout, _ := program(t, ns, nil, "doctor", "-f", a.file)
	if status != 0 || !strings.Contains(stdout, "\nnote  manager of enp2s0 ") || !strings.Contains(stdout, " checks hold.\n") || strings.Contains(stdout, "FAIL") {
		t.Errorf("as text: status %d\n%s", status, stdout)
	}

	if err := os.Remove(filepath.Join(root, "etc/sysctl.d/60-sixhost.conf")); err != nil {
		t.Fatal(err)
	}
	list = findings(t, ns, a.file, 1)
	fails("a lost file", list, files)
	if c := list[files]; c.Measured != "to do, by fullhost confirm: write /etc/sysctl.d/60-sixhost.conf" {
		t.Errorf("the lost file: %+v", c)
	}
	// Somebody takes an address out that the files have, while nobody serves who
	// would put it back.
	stop()
	// The kernel tells of a carrier that is lost when it gets to it, within a second.
	eventually(t, "the device to be served by nobody", func() bool {
		return ns.Do(func() error { return carrier(gateway.DefaultDevice) }) != nil
	})
	nstest.Do(t, ns, func() error {
		l, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr("203.0.113.10/32")
		if err != nil {
			return err
		}
		if err := netlink.AddrDel(l, addr); err != nil {
			return err
		}
		return sysctl.Write("net/ipv6/conf/br0/accept_redirects", "1")
	})
	drifted := snapshot(t, ns)
	list = findings(t, ns, a.file, 1)
	fails("drift", list, moved, rules, files, dns, ra, nat)
	if c := list[files]; c.Measured != "to do, by fullhost confirm: replace /etc/sixhost/edge.json" {
		t.Errorf("the files that have one address more: %+v", c)
	}
	if after := snapshot(t, ns); after != drifted {
		t.Errorf("doctor changed something:\nbefore\n%s\nafter\n%s", drifted, after)
	}
}

// Refusals are no findings.
func TestDoctorRefuses(t *testing.T) {
	ns, a, _ := persisting(t, map[string]string{"etc/network/interfaces": "iface enp2s0 inet dhcp\n"}, "")
	status, stdout, stderr := program(t, ns, nil, "doctor", "-f", a.file)
	if status != 2 || stdout != "" || !strings.HasPrefix(stderr, "fullhost: /etc/network/interfaces line 1: ifupdown configures enp2s0") {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
}
