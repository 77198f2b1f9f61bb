package gateway

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nstest"
)

// On a guests' link with a small MTU, whoever sends too much from the IPv4 side
// is told so, and what is told gets through; by either path.
func TestSmallGuestLink(t *testing.T) {
	const mtu = 1400
	for _, path := range []string{PathPortable, PathFast} {
		t.Run(path, func(t *testing.T) {
			var n *network
			if path == PathFast {
				n = newFastNetwork(t)
			} else {
				n = newNetwork(t)
			}
			for _, port := range []string{"vnet0", "br0"} {
				nstest.Output(t, n.host, "ip", "link", "set", port, "mtu", fmt.Sprint(mtu))
			}
			nstest.Output(t, n.guest, "ip", "link", "set", "eth0", "mtu", fmt.Sprint(mtu))
			n.apply(t)
			if k := n.apply(t); k != 0 {
				t.Errorf("second plan has %d steps", k)
			}
			if path == PathFast {
				n.fastAttached(t)
			}
			g, _ := n.serve(t)
			s := n.packetConn(t, n.web, "udp4", testWeb+":0")
			c := n.dial(t, n.guest, "udp6", fmt.Sprintf("[%s]:%d", testWeb6, s.LocalAddr().(*net.UDPAddr).Port))
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 2000)
			_, from, err := s.ReadFrom(buf)
			if err != nil {
				t.Fatal(err)
			}
			setOption(t, s, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
			// The largest that becomes an IPv6 packet of the link's MTU.
			const most = mtu - 40 - 8
			told := false
			for deadline := time.Now().Add(20 * time.Second); !told; time.Sleep(10 * time.Millisecond) {
				_, err := s.WriteTo(make([]byte, most+8), from)
				told = errors.Is(err, unix.EMSGSIZE)
				if err != nil && !told {
					t.Fatal(err)
				}
				if time.Now().After(deadline) {
					t.Fatal("nobody says that a datagram is too long")
				}
			}
			if _, err := s.WriteTo(make([]byte, most), from); err != nil {
				t.Fatalf("a datagram as long as what was told: %v", err)
			}
			if k, err := c.Read(buf); err != nil || k != most {
				t.Errorf("%d octets arrive: %v", k, err)
			}
			if s := g.Stats(); s.Path != path {
				t.Errorf("path %s: %v", s.Path, s.FastPathError)
			}
		})
	}
}

func setOption(t *testing.T, c *net.UDPConn, option, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err2 := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, option, value) })
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
}

// What a plan makes fits the guests' link, and is Ethernet's where that is
// unknown, or carries more.
func TestPlannedMTU(t *testing.T) {
	for guests, want := range map[int]int{0: 1500, 1280: 1280, 1400: 1400, 1500: 1500, 9000: 1500, 600: 1280} {
		c := sampleConfig()
		c.Pins = DefaultPins()
		s, err := c.State(State{Scope: c.Scope(), GuestMTU: guests})
		if err != nil {
			t.Fatal(err)
		}
		if s.Link.MTU != want || s.Routes[0].MTU != want-20 || s.Fast.MTU6 != want {
			t.Errorf("guests' link %d: device %d, route %d, programs %d", guests, s.Link.MTU, s.Routes[0].MTU, s.Fast.MTU6)
		}
	}
}
