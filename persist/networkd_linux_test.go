package persist

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/plan"
)

// networkdScript starts networkd on a root's files as after a boot: with a /run
// of its own, and a /sys that can't be written, which tells it that it is in a
// container and has no udev to wait for.
const networkdScript = `set -e
mount -t tmpfs none /run
mount -t sysfs -o ro none /sys
mkdir -p /run/systemd/network /run/systemd/netif
chown systemd-network:systemd-network /run/systemd/netif
mount --bind "$1/etc/systemd/network" /etc/systemd/network
if [ -d "$1/run/systemd/network" ]; then cp "$1"/run/systemd/network/*.net* /run/systemd/network; fi
chmod -R a+rX /run/systemd
SYSTEMD_LOG_TARGET=console exec "$2"`

// The real networkd, started on our files, makes the network that was wanted:
// bridge's own plan has nothing left to do.
func TestNetworkdBoot(t *testing.T) {
	nstest.RequireRoot(t)
	networkd := nstest.Tool(t, "systemd-networkd")
	netplan := nstest.Tool(t, "netplan")
	for _, f := range []Format{FormatNetplan, FormatNetworkd} {
		t.Run(string(f), func(t *testing.T) {
			ns := nstest.NS(t)
			makeNIC(t, ns)
			want := unusual()
			want.Retiring = nil // it is gone by the time the files are written
			// The route's hop limit needs a networkd newer than Debian 12 has.
			for i := range want.Routes {
				want.Routes[i].HopLimit = 0
			}
			c := Config{Bridge: want, Format: f, Root: rootWith(t, nil)}
			enterable(t, c.Root)
			_, _, p := planFor(t, c)
			confirm(t, p)
			if f == FormatNetplan {
				if out, err := exec.Command(netplan, "generate", "--root-dir", c.Root).CombinedOutput(); err != nil {
					t.Fatalf("netplan generate: %v\n%s", err, out)
				}
			}
			boot(t, ns, c.Root, networkd, func() ([]string, error) {
				return difference(want, bridge.Config{Uplink: want.Uplink, Prefix: netip.MustParsePrefix("2001:db8:1:3::/64")})
			})
		})
	}
}

// boot starts networkd on a root's files and waits until nothing is left to do.
func boot(t *testing.T, ns *netns.NS, root, networkd string, left func() ([]string, error)) {
	t.Helper()
	unshare := nstest.Tool(t, "unshare")
	apply := nstest.Tool(t, "systemd-sysctl")
	log := start(t, ns, exec.Command(unshare, "-m", "sh", "-c", networkdScript, "sh", root, networkd))
	todo := []string{"not tried"}
	for deadline := time.Now().Add(20 * time.Second); len(todo) > 0 && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		nstest.Do(t, ns, func() error {
			// udev would do this when the bridge appears.
			if _, err := os.Stat(filepath.Join(root, sysctlPath)); err == nil {
				cmd := exec.Command(apply, filepath.Join(root, sysctlPath))
				if out, err := cmd.CombinedOutput(); err != nil {
					return fmt.Errorf("systemd-sysctl: %w\n%s", err, out)
				}
			}
			var err error
			todo, err = left()
			return err
		})
	}
	if len(todo) > 0 {
		t.Errorf("after the boot, there is still to do:\n%s\nnetworkd says:\n%s", strings.Join(todo, "\n"), log())
	}
	if strings.Contains(log(), "ignoring") || strings.Contains(log(), "Failed") {
		t.Errorf("networkd is not content:\n%s", log())
	}
}

// enterable lets networkd get to a root when it has given its rights up.
func enterable(t *testing.T, root string) {
	t.Helper()
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// makeNIC puts a NIC with a carrier in a namespace.
func makeNIC(t *testing.T, ns *netns.NS) {
	t.Helper()
	h, err := ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	mac := wanted().Links[0].MAC
	nic := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "enp2s0", HardwareAddr: mac[:]}, PeerName: "provider"}
	if err := h.LinkAdd(nic); err != nil {
		t.Fatal(err)
	}
	peer, err := h.LinkByName("provider")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetUp(peer); err != nil {
		t.Fatal(err)
	}
}

// start runs a program in a namespace until the test ends, and returns what
// it has said.
func start(t *testing.T, ns *netns.NS, cmd *exec.Cmd) func() string {
	t.Helper()
	said, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = said, said
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			t.Error(err)
		}
		said.Close()
	})
	return func() string {
		b, err := os.ReadFile(said.Name())
		if err != nil {
			return err.Error()
		}
		return string(b)
	}
}

// difference is what bridge would still do in the calling thread's namespace,
// for the state that was wanted before the boot, and for the one that it
// decides on now.
func difference(want bridge.State, c bridge.Config) ([]string, error) {
	there, err := bridge.Capture(context.Background(), want.Scope)
	if err != nil {
		return nil, err
	}
	p, err := bridge.Plan(there, want)
	if err != nil {
		// No bridge yet, or no NIC.
		var refusal *plan.Refusal
		if errors.As(err, &refusal) {
			return []string{refusal.Error()}, nil
		}
		return nil, err
	}
	now, err := c.State(there)
	if err != nil {
		return nil, err
	}
	again, err := bridge.Plan(there, now)
	return texts(plan.Join(p, again)), err
}
