package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/nat64"
)

// addGuest puts another guest on the bridge, on a port of its own.
func (n *network) addGuest(t *testing.T, port, addr string) *netns.NS {
	t.Helper()
	guest := nstest.NS(t)
	nstest.Do(t, guest, func() error { return sysctl.Write("net/ipv6/conf/default/accept_dad", "0") })
	on(t, n.host, func(h *netlink.Handle) error {
		br, err := h.LinkByName("br0")
		if err != nil {
			return err
		}
		if err := h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: port, MasterIndex: br.Attrs().Index}, PeerName: "eth0",
			PeerNamespace: netlink.NsFd(int(guest.File().Fd()))}); err != nil {
			return err
		}
		return up(h, port)
	})
	on(t, guest, func(h *netlink.Handle) error {
		if err := up(h, "eth0"); err != nil {
			return err
		}
		if err := address(h, "eth0", addr+"/64"); err != nil {
			return err
		}
		return route(h, "eth0", "::/0", testHost6, 0)
	})
	for try := 0; ; try++ {
		if _, m := icmp6(t, guest, testHost6, 10, 100*time.Millisecond); m != nil {
			return guest
		}
		if try == 100 {
			t.Fatal("the host does not answer the new guest")
		}
	}
}

// One guest invents source addresses as fast as it can; another one, new on the
// bridge, is served as if nothing was.
func TestInventedSources(t *testing.T) {
	n := newNetwork(t)
	n.apply(t)
	other := n.addGuest(t, "vnet1", "2001:db8:1:3::20")
	g, _ := n.serve(t)
	sink := n.packetConn(t, n.web, "udp4", testWeb+":0")
	to := unix.SockaddrInet6{Addr: netip.MustParseAddr(testWeb6).As16(), Port: sink.LocalAddr().(*net.UDPAddr).Port}
	const invented = 3000
	began := time.Now()
	nstest.Do(t, n.guest, func() error {
		for i := range invented {
			fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			from := unix.SockaddrInet6{Addr: netip.MustParseAddr(fmt.Sprintf("2001:db8:1:3:ffff::%x", i+1)).As16()}
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
			if err == nil {
				err = unix.Bind(fd, &from)
			}
			if err == nil {
				err = unix.Sendto(fd, []byte("x"), 0, &to)
			}
			unix.Close(fd)
			if err != nil && err != unix.EHOSTUNREACH {
				return fmt.Errorf("send from address %d: %w", i, err)
			}
		}
		return nil
	})
	// All of them have been judged when the port has got what it gets at once.
	for deadline := time.Now().Add(20 * time.Second); g.Stats().Refused == 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	c := n.dial(t, other, "udp6", fmt.Sprintf("[%s]:%d", testWeb6, to.Port))
	// The flood may still fill the queues on the way, so it says it again.
	buf := make([]byte, 100)
	for deadline := time.Now().Add(20 * time.Second); ; {
		c.Write([]byte("other"))
		sink.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		k, err := 0, error(nil)
		for err == nil && string(buf[:k]) != "other" {
			k, _, err = sink.ReadFrom(buf)
		}
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the other guest was not served: %v", err)
		}
	}
	per, s := g.PerPort(), g.Stats()
	most := newAtOnce + newPerSecond*int(time.Since(began)/time.Second+2)
	if per["vnet1"] != 1 || per["vnet0"] < newAtOnce || per["vnet0"] > most || s.Refused == 0 {
		t.Errorf("mappings by port %v, at most %d for the attacker; %d refused", per, most, s.Refused)
	}
	for _, u := range g.Mappings() {
		if u.Guest == netip.MustParseAddr("2001:db8:1:3::20") && (u.Port != "vnet1" || !DefaultPool().Contains(u.Pool) || time.Since(u.Used) > time.Minute) {
			t.Errorf("%+v", u)
		}
	}
	t.Logf("%d addresses invented: mappings by port %v, %d refused", invented, per, s.Refused)
}

// The host's own IPv4 address is refused by the translator too, and inside
// errors.
func TestOwnAddressRefused(t *testing.T) {
	n := newNetwork(t)
	nstest.Output(t, n.host, "ip", "addr", "add", "203.0.114.77/32", "dev", "br0")
	n.apply(t)
	g, _ := n.serve(t)
	own := nat64.WellKnown().Embed(netip.MustParseAddr("203.0.114.77"))
	if _, m := icmp6(t, n.guest, own.String(), 10, 5*time.Second); m == nil || m.Code != 1 {
		t.Errorf("the host's own address: %+v", m)
	}
	if s := g.Stats(); s.To4.Packets != 0 || s.Answered == 0 {
		t.Errorf("%+v", s)
	}
}
