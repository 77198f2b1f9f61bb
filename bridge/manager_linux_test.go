package bridge

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nstest"
)

func TestManagerOf(t *testing.T) {
	for _, tc := range []struct{ comm, cmdline, want string }{
		{"systemd-network\n", "/usr/lib/systemd/systemd-networkd\x00", "systemd-networkd"},
		{"NetworkManager\n", "/usr/sbin/NetworkManager\x00--no-daemon\x00", "NetworkManager"},
		{"dhclient\n", "dhclient\x00-4\x00-pf\x00/run/dhclient.pid\x00enp2s0\x00", "dhclient"},
		{"dhclient\n", "dhclient\x00enp3s0\x00", ""},
		{"dhcpcd\n", "dhcpcd\x00-q\x00", "dhcpcd"},
		{"dhcpcd\n", "dhcpcd: enp2s0 [ip4]\x00\x00\x00", "dhcpcd"},
		{"dhcpcd\n", "dhcpcd: br0 [ip4]\x00\x00\x00", ""},
		{"dhcpcd\n", "dhcpcd: [manager] [ip4] [ip6]\x00", "dhcpcd"},
		{"dhcpcd\n", "dhcpcd: [privileged proxy] br0 [ip4]\x00", ""},
		{"dhcpcd\n", "dhcpcd: [network proxy] 203.0.113.10\x00", ""},
		{"udhcpc\n", "udhcpc\x00-i\x00enp2s0\x00", "udhcpc"},
		{"bash\n", "bash\x00dhclient\x00enp2s0\x00", ""},
		{"", "", ""},
	} {
		if got := managerOf(tc.comm, []byte(tc.cmdline), "enp2s0"); got != tc.want {
			t.Errorf("managerOf(%q, %q) = %q, want %q", tc.comm, tc.cmdline, got, tc.want)
		}
	}
}

// TestManagerInNamespace runs a process of a manager's name in one namespace:
// it is in charge there, and not elsewhere.
func TestManagerInNamespace(t *testing.T) {
	with, without := nstest.NS(t), nstest.NS(t)
	fake := filepath.Join(t.TempDir(), "dhclient")
	sleep, err := os.ReadFile(nstest.Tool(t, "sleep"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fake, sleep, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(fake, "60")
	if err := with.Start(cmd); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	find := func() (name string, err error) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "enp2s0"
		if _, err := netlink.LinkByName("enp2s0"); err != nil {
			if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
				return "", err
			}
		}
		return Manager(context.Background(), "enp2s0")
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		var got string
		nstest.Do(t, with, func() (err error) { got, err = find(); return err })
		if got == "dhclient" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("manager %q, want dhclient", got)
		}
		time.Sleep(10 * time.Millisecond) // until the child has become the program
	}
	nstest.Do(t, without, func() error {
		got, err := find()
		if got != "" {
			t.Errorf("in another namespace: %q is in charge", got)
		}
		return err
	})
}

// TestGenericNetlink asks for families that every kernel has, or none.
func TestGenericNetlink(t *testing.T) {
	ns := nstest.NS(t)
	nstest.Do(t, ns, func() error {
		if id, err := genlFamily("nlctrl"); err != nil || id != unix.GENL_ID_CTRL {
			t.Errorf("nlctrl is %d (%v), want %d", id, err, unix.GENL_ID_CTRL)
		}
		if id, err := genlFamily("no-such-family"); !errors.Is(err, unix.ENOENT) {
			t.Errorf("a family that is not there is %d (%v)", id, err)
		}
		if wireless, err := isWireless(1); wireless || err != nil {
			t.Errorf("lo is wireless: %v, %v", wireless, err)
		}
		return nil
	})
}
