package natcases

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// Addresses of a Site.
const (
	Guest  = "2001:db8:1:3::10"
	Host6  = "2001:db8:1:3::1"
	Guests = "2001:db8:1:3::/64"
	Host4  = "203.0.115.10"
	Isp4   = "203.0.115.1"
	Web    = "203.0.114.9"
	Prefix = "64:ff9b::/96"
	Web6   = "64:ff9b::203.0.114.9"

	// GuestLink and Uplink are the host's links.
	GuestLink = "br0"
	Uplink    = "enp2s0"
)

// Site is the surroundings of a gateway.
type Site struct {
	Guest, Host, Isp, Web *netns.NS
	// Device is the translator's, as the host's firewall sees it.
	Device string
	// IPv4Only says that the firewall sees only the IPv4 half of what is
	// translated, as the gateway takes the other from the guests' link itself.
	IPv4Only bool
	// Patience is how long a case waits for what should come; default 10
	// seconds. Small only for one that is expected to fail.
	Patience time.Duration
	// FileSize is what the transfer of a file takes; default 16 MiB.
	FileSize int
	// Connections is how many there are at once; default 1,000.
	Connections int
}

// NewSite makes one, without a gateway.
func NewSite(t *testing.T) *Site {
	nstest.RequireTun(t)
	s := &Site{Guest: nstest.NS(t), Host: nstest.NS(t), Isp: nstest.NS(t), Web: nstest.NS(t),
		Device: "nat64", Patience: 10 * time.Second, FileSize: 16 << 20, Connections: 1000}
	for _, ns := range []*netns.NS{s.Guest, s.Host, s.Isp, s.Web} {
		nstest.Do(t, ns, func() error {
			return errors.Join(
				sysctl.Write("net/ipv6/conf/all/accept_dad", "0"), sysctl.Write("net/ipv6/conf/default/accept_dad", "0"),
				sysctl.Write("net/ipv6/conf/all/accept_ra", "0"), sysctl.Write("net/ipv6/conf/default/accept_ra", "0"),
				// Errors come as fast as the cases ask for them.
				sysctl.Write("net/ipv6/icmp/ratelimit", "0"), sysctl.Write("net/ipv4/icmp_ratelimit", "0"),
				sysctl.Write("net/ipv4/icmp_msgs_per_sec", "100000"),
			)
		})
	}
	ip := func(ns *netns.NS, args string) { t.Helper(); nstest.Output(t, ns, "ip", strings.Fields(args)...) }
	join := func(a *netns.NS, nameA string, b *netns.NS, nameB string) {
		t.Helper()
		link(t, a, nameA, b, nameB)
		ip(a, "link set "+nameA+" up")
		ip(b, "link set "+nameB+" up")
	}
	ip(s.Host, "link add br0 address 02:00:00:00:00:01 type bridge mcast_snooping 0")
	ip(s.Host, "link set br0 up")
	join(s.Host, "vnet0", s.Guest, "eth0")
	ip(s.Host, "link set vnet0 master br0")
	join(s.Host, Uplink, s.Isp, "isp0")
	join(s.Isp, "isp1", s.Web, "eth0")

	ip(s.Guest, "addr add "+Guest+"/64 dev eth0 nodad")
	ip(s.Guest, "-6 route add default via "+Host6+" dev eth0")
	ip(s.Host, "addr add "+Host6+"/64 dev br0 nodad")
	ip(s.Host, "addr add "+Host4+"/32 dev "+Uplink)
	ip(s.Host, "route add default via "+Isp4+" dev "+Uplink+" onlink")
	ip(s.Isp, "addr add "+Isp4+"/32 dev isp0")
	ip(s.Isp, "route add "+Host4+"/32 dev isp0")
	ip(s.Isp, "addr add 203.0.114.1/24 dev isp1")
	ip(s.Web, "addr add "+Web+"/24 dev eth0")
	ip(s.Web, "route add default via 203.0.114.1")
	nstest.Do(t, s.Isp, func() error { return sysctl.Write("net/ipv4/conf/all/forwarding", "1") })
	nstest.Do(t, s.Host, func() error {
		return errors.Join(sysctl.Write("net/ipv6/conf/all/forwarding", "1"), sysctl.Write("net/ipv4/conf/all/forwarding", "1"))
	})
	return s
}

// link makes a pair of links in two namespaces.
func link(t *testing.T, a *netns.NS, nameA string, b *netns.NS, nameB string) {
	t.Helper()
	nstest.Output(t, a, "ip", "link", "add", nameA, "type", "veth", "peer", "name", nameB+"x")
	cmd := exec.Command("ip", "link", "set", nameB+"x", "netns", "/proc/self/fd/3", "name", nameB)
	cmd.ExtraFiles = append(cmd.ExtraFiles, b.File())
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := a.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("move %s: %v\n%s", nameB, err, out.String())
	}
}

// run runs a command in a namespace.
func run(ns *netns.NS, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := ns.Start(cmd); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
}

func ip(ns *netns.NS, args string) error { return run(ns, "ip", strings.Fields(args)...) }

// control sets a socket option when the socket is made.
func control(options ...[3]int) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) {
			for _, o := range options {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), o[0], o[1], o[2]))
			}
		}); e != nil {
			return e
		}
		return err
	}
}

func getOption(c syscall.Conn, level, opt int) (v int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(fd uintptr) { v, err = unix.GetsockoptInt(int(fd), level, opt) }); e != nil {
		return 0, e
	}
	return v, err
}

func setOption(c syscall.Conn, level, opt, value int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, opt, value) }); e != nil {
		return e
	}
	return err
}

// listenTCP listens in the Internet.
func (s *Site) listenTCP() (l net.Listener, port int, err error) {
	err = s.Web.Do(func() (err error) { l, err = net.Listen("tcp4", Web+":0"); return err })
	if err != nil {
		return nil, 0, err
	}
	return l, l.Addr().(*net.TCPAddr).Port, nil
}

// dialTCP connects the guest to the Internet.
func (s *Site) dialTCP(port int) (c net.Conn, err error) {
	err = s.Guest.Do(func() (err error) {
		c, err = net.DialTimeout("tcp6", fmt.Sprintf("[%s]:%d", Web6, port), s.Patience)
		return err
	})
	if err == nil {
		c.SetDeadline(time.Now().Add(6 * s.Patience))
	}
	return c, err
}

// udp is a flow from the guest to the Internet that both ends have seen.
type udp struct {
	guest *net.UDPConn // connected
	web   *net.UDPConn
	// peer is the guest as the Internet sees it.
	peer netip.AddrPort
}

func (u *udp) Close() {
	u.guest.Close()
	if u.web != nil {
		u.web.Close()
	}
}

func (s *Site) openUDP(options ...[3]int) (u *udp, err error) {
	u = &udp{}
	err = s.Web.Do(func() error {
		c, err := (&net.ListenConfig{Control: control(options...)}).ListenPacket(context.Background(), "udp4", Web+":0")
		if err == nil {
			u.web = c.(*net.UDPConn)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = s.Guest.Do(func() error {
		c, err := net.Dial("udp6", fmt.Sprintf("[%s]:%d", Web6, u.web.LocalAddr().(*net.UDPAddr).Port))
		if err == nil {
			u.guest = c.(*net.UDPConn)
		}
		return err
	})
	if err != nil {
		u.web.Close()
		return nil, err
	}
	deadline := time.Now().Add(s.Patience)
	u.web.SetDeadline(deadline)
	u.guest.SetDeadline(deadline)
	if _, err := u.guest.Write([]byte("hello")); err != nil {
		u.Close()
		return nil, err
	}
	buf := make([]byte, 100)
	if _, u.peer, err = u.web.ReadFromUDPAddrPort(buf); err != nil {
		u.Close()
		return nil, fmt.Errorf("first datagram: %w", err)
	}
	return u, nil
}
