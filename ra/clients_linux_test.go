package ra

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// sameConf is what radvd is given, and by ParseRadvd this package.
const sameConf = `interface br0 {
	AdvSendAdvert on;
	MaxRtrAdvInterval 600;
	AdvDefaultLifetime 1800;
	AdvDefaultPreference high;
	AdvCurHopLimit 61;
	AdvLinkMTU 1480;
	AdvReachableTime 40000;
	AdvRetransTimer 2000;
	AdvOtherConfigFlag off;
	prefix 2001:db8:1:3::/64 { AdvValidLifetime 5400; AdvPreferredLifetime 2700; DeprecatePrefix on; };
	prefix 2001:db8:1:4::/64 { AdvOnLink off; AdvValidLifetime 7200; AdvPreferredLifetime 3600; };
	prefix 2001:db8:1:5::/64 { AdvAutonomous off; };
	route 2001:db8:ff00::/40 { AdvRoutePreference low; AdvRouteLifetime 1200; };
	RDNSS 2001:db8:1:3::53 2001:db8::53 { AdvRDNSSLifetime 1800; };
	DNSSL example.com lab.example.net { AdvDNSSLLifetime 1800; };
};
`

// clientScript gives a client folders of its own, and a read-only /sys, which
// tells networkd that there is no udev to wait for.
const clientScript = `set -e
mount -t tmpfs none /run
mount -t sysfs -o ro none /sys
mkdir -p /run/systemd/network /run/systemd/netif /var/lib/dhcpcd
mount -t tmpfs none /var/lib/dhcpcd
chown systemd-network:systemd-network /run/systemd/netif
cp "$1/eth0.network" /run/systemd/network/10-eth0.network
chmod -R a+rX /run/systemd
shift
exec "$@"`

// endUp is the guest's state as its client made it, without what differs by the
// second: lifetimes are rounded up to a whole minute.
func endUp(t *testing.T, n *testNet, more func() string) string {
	t.Helper()
	var b strings.Builder
	for _, args := range [][]string{{"-6", "addr", "show", "dev", guestLink, "scope", "global"}, {"-6", "route", "show", "dev", guestLink}} {
		var lines []string
		for line := range strings.Lines(nstest.Output(t, n.guest, "ip", args...)) {
			lines = append(lines, rounded(strings.TrimSpace(line)))
		}
		if args[1] == "addr" { // an address and its lifetimes are two lines
			for i := 1; i+1 < len(lines); i++ {
				lines[i] += " " + lines[i+1]
				lines = slices.Delete(lines, i+1, i+2)
			}
		}
		slices.Sort(lines)
		fmt.Fprintln(&b, strings.Join(lines, "\n"))
	}
	nstest.Do(t, n.guest, func() error {
		for _, name := range []string{"conf/eth0/mtu", "conf/eth0/hop_limit", "neigh/eth0/base_reachable_time_ms", "neigh/eth0/retrans_time_ms"} {
			v, err := sysctl.Read("net/ipv6/" + name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s %s\n", name, v)
		}
		return nil
	})
	if more != nil {
		b.WriteString(more())
	}
	return b.String()
}

var secondsPattern = regexp.MustCompile(`\b(\d+)sec\b`)

func rounded(line string) string {
	return secondsPattern.ReplaceAllStringFunc(line, func(m string) string {
		s, err := strconv.Atoi(strings.TrimSuffix(m, "sec"))
		if err != nil {
			return m
		}
		return fmt.Sprintf("%dsec", (s+59)/60*60)
	})
}

// a client of the guest's, by name.
type raClient struct {
	name string
	// start runs it and returns what only it knows.
	start func(t *testing.T, n *testNet, dir string) (more func() string)
	// has is a piece of the state that comes last.
	has []string
}

func raClients() []raClient {
	common := []string{"2001:db8:1:3:5054:ff:fe12:3456/64", "2001:db8:1:4:5054:ff:fe12:3456/64", "default via fe80::921b:eff:fe12:3456", "2001:db8:1:5::/64"}
	return []raClient{
		{"kernel", func(*testing.T, *testNet, string) func() string { return nil }, append([]string{"2001:db8:ff00::/40 via fe80::921b:eff:fe12:3456", "conf/eth0/mtu 1480", "conf/eth0/hop_limit 61"}, common...)},
		{"dhcpcd", func(t *testing.T, n *testNet, dir string) func() string {
			notes := filepath.Join(dir, "notes")
			hook := filepath.Join(dir, "hook")
			// What a hook is told is how dhcpcd hands on DNS.
			script := "#!/bin/sh\n[ \"$reason\" = ROUTERADVERT ] && env | grep '^nd1_' | grep -v -e acquired -e now | sort >" + notes + ".new && mv " + notes + ".new " + notes + "\nexit 0\n"
			if err := os.WriteFile(hook, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			conf := filepath.Join(dir, "dhcpcd.conf")
			if err := os.WriteFile(conf, []byte("noipv4\nipv6rs\nslaac hwaddr\nscript "+hook+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			n.client(t, dir, nstest.Tool(t, "dhcpcd"), "-B", "-f", conf, guestLink)
			return func() string {
				b, err := os.ReadFile(notes)
				if err != nil {
					return err.Error()
				}
				return string(b)
			}
		}, append([]string{"2001:db8:1:3::53 2001:db8::53", "example.com lab.example.net"}, common...)},
		{"systemd-networkd", func(t *testing.T, n *testNet, dir string) func() string {
			cmd := n.client(t, dir, nstest.Tool(t, "systemd-networkd"))
			return func() string {
				var b strings.Builder
				dir := fmt.Sprintf("/proc/%d/root/run/systemd/netif/links/", cmd.Process.Pid)
				entries, err := os.ReadDir(dir)
				if err != nil {
					return err.Error()
				}
				for _, e := range entries {
					text, err := os.ReadFile(dir + e.Name())
					if err != nil {
						return err.Error()
					}
					for line := range strings.Lines(string(text)) {
						if strings.HasPrefix(line, "DNS=") || strings.HasPrefix(line, "DOMAINS=") || strings.HasPrefix(line, "ROUTE_DOMAINS=") {
							// It keeps them without an order.
							key, values, _ := strings.Cut(strings.TrimSpace(line), "=")
							words := strings.Fields(values)
							slices.Sort(words)
							fmt.Fprintf(&b, "%s=%s\n", key, strings.Join(words, " "))
						}
					}
				}
				return b.String()
			}
		}, append([]string{"2001:db8:ff00::/40 via fe80::921b:eff:fe12:3456", "DNS=2001:db8:1:3::53 2001:db8::53", "DOMAINS=example.com lab.example.net"}, common...)},
	}
}

// client starts a program in the guest, with mounts of its own.
func (n *testNet) client(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(nstest.Tool(t, "unshare"), append([]string{"-m", "sh", "-c", clientScript, "sh", dir}, args...)...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.guest.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", args[0], out.String())
		}
	})
	return cmd
}

// TestClientsEndTheSame: three clients that share no code with each other or with
// us end in the same state under this package as under radvd, given the equal
// configuration.
func TestClientsEndTheSame(t *testing.T) {
	nstest.RequireRoot(t)
	radvd := nstest.Tool(t, "radvd")
	list, err := ParseRadvd("radvd.conf", strings.NewReader(sameConf), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, client := range raClients() {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			states := make(map[string]string)
			look := make(map[string]func() string)
			for _, sender := range []string{"radvd", "ra"} {
				n := newTestNet(t)
				dir := t.TempDir()
				if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
					t.Fatal(err)
				}
				network := "[Match]\nName=" + guestLink + "\n[Network]\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=yes\n[IPv6AcceptRA]\nUseDomains=yes\nDHCPv6Client=no\n"
				if err := os.WriteFile(filepath.Join(dir, "eth0.network"), []byte(network), 0o644); err != nil {
					t.Fatal(err)
				}
				if sender == "radvd" {
					conf := filepath.Join(dir, "radvd.conf")
					if err := os.WriteFile(conf, []byte(sameConf), 0o600); err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(context.Background())
					cmd := exec.CommandContext(ctx, radvd, "-n", "-m", "stderr", "-C", conf, "-p", filepath.Join(dir, "pid"))
					var out strings.Builder
					cmd.Stderr = &out
					if err := n.router.Start(cmd); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() {
						cancel()
						cmd.Wait()
						if t.Failed() {
							t.Logf("radvd said:\n%s", out.String())
						}
					})
				} else {
					n.serve(t, list[0])
				}
				nstest.Do(t, n.guest, func() error {
					if client.name == "kernel" {
						return sysctl.Write("net/ipv6/conf/"+guestLink+"/accept_ra_rt_info_max_plen", "64")
					}
					return sysctl.Write("net/ipv6/conf/"+guestLink+"/accept_ra", "0") // it is the client's to hear
				})
				n.guestUp(t, true)
				more := client.start(t, n, dir)
				look[sender] = func() string { return endUp(t, n, more) }
				eventually(t, 40*time.Second, func() string {
					states[sender] = look[sender]()
					for _, want := range client.has {
						if !strings.Contains(states[sender], want) {
							return fmt.Sprintf("%s under %s has no %q in\n%s", client.name, sender, want, states[sender])
						}
					}
					if strings.Contains(states[sender], "tentative") {
						return "tentative"
					}
					return ""
				})
			}
			// The one seen first may not have been at its end.
			eventually(t, 30*time.Second, func() string {
				for sender, look := range look {
					states[sender] = look()
				}
				if diff := cmp.Diff(states["radvd"], states["ra"]); diff != "" {
					return fmt.Sprintf("%s ends otherwise (-radvd +ra)\n%s", client.name, diff)
				}
				return ""
			})
			t.Logf("under both:\n%s", states["ra"])
		})
	}
}
