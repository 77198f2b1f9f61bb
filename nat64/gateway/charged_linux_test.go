package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nstest"
)

// say sends a datagram from a guest's address to the Internet.
func (n *network) say(t *testing.T, from netip.Addr, port int) {
	t.Helper()
	nstest.Do(t, n.guest, func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: from.As16()}); err != nil {
			return err
		}
		err = unix.Sendto(fd, []byte("x"), 0, &unix.SockaddrInet6{Addr: netip.MustParseAddr(testWeb6).As16(), Port: port})
		if err != nil {
			return fmt.Errorf("send from %s: %w", from, err)
		}
		return nil
	})
}

// A port that has its share has no other one after a restart, though its guest's
// packets no longer come by the process.
func TestShareOutlivesRestart(t *testing.T) {
	n := newFastNetwork(t)
	n.cfg.PerPort = 20
	n.apply(t)
	n.fastAttached(t)
	sink := n.packetConn(t, n.web, "udp4", testWeb+":0")
	port := sink.LocalAddr().(*net.UDPAddr).Port
	addr := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:1:3:aaaa::%x", i+1)) }
	g, stop := n.serve(t)
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v, %+v", what, g.PerPort(), g.Stats())
			}
		}
	}
	for i := range n.cfg.PerPort {
		n.say(t, addr(i), port)
		until("no mapping", func() bool { return g.PerPort()["vnet0"] > i })
	}
	stop()
	g, _ = n.serve(t)
	if s := g.Stats(); s.Path != PathFast {
		t.Fatalf("path %s: %v", s.Path, s.FastPathError)
	}
	if got := g.PerPort(); got["vnet0"] != n.cfg.PerPort {
		t.Errorf("mappings by port after a restart: %v", got)
	}
	n.say(t, addr(n.cfg.PerPort), port)
	until("not refused", func() bool { return g.Stats().Refused > 0 })
	if got := g.PerPort(); got["vnet0"] != n.cfg.PerPort {
		t.Errorf("mappings by port: %v", got)
	}
}
