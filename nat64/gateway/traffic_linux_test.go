package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/siit"
)

// content is the same on both sides.
func content(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(b)
	return b
}

// fetch gets content from a listener and compares it.
func (n *network) fetch(t *testing.T, size int) {
	t.Helper()
	l := n.listen(t, n.web, "tcp4", testWeb+":0")
	want := content(size)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		// Back what comes, then all of it.
		io.CopyN(c, c, 5)
		c.Write(want)
	}()
	c := n.dial(t, n.guest, "tcp6", fmt.Sprintf("[%s]:%d", testWeb6, l.Addr().(*net.TCPAddr).Port))
	io.WriteString(c, "hello")
	got, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(got, []byte("hello")) || sha256.Sum256(got[5:]) != sha256.Sum256(want) {
		t.Errorf("fetched %d octets of %d: %v", len(got)-5, len(want), err)
	}
}

func TestTraffic(t *testing.T) {
	n := newNetwork(t)
	n.apply(t)
	g, _ := n.serve(t)
	guest := netip.MustParseAddr(testGuest)

	t.Run("TCP", func(t *testing.T) { n.fetch(t, 8<<20) })

	t.Run("masquerade", func(t *testing.T) {
		l := n.listen(t, n.web, "tcp4", testWeb+":0")
		n.dial(t, n.guest, "tcp6", fmt.Sprintf("[%s]:%d", testWeb6, l.Addr().(*net.TCPAddr).Port))
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if from := c.RemoteAddr().(*net.TCPAddr).IP.String(); from != testHost4 {
			t.Errorf("the Internet sees %s", from)
		}
	})

	t.Run("refused connection", func(t *testing.T) {
		nstest.Do(t, n.guest, func() error {
			if _, err := net.DialTimeout("tcp6", "["+testWeb6+"]:9", 5*time.Second); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("closed port: %v", err)
			}
			return nil
		})
	})

	t.Run("port unreachable", func(t *testing.T) {
		c := n.dial(t, n.guest, "udp6", "["+testWeb6+"]:9")
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 10)); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("closed port: %v", err)
		}
	})

	for _, size := range []int{1, 1000, 1232, 1400, 4000, 20000} {
		t.Run(fmt.Sprintf("UDP %d", size), func(t *testing.T) {
			s := n.packetConn(t, n.web, "udp4", testWeb+":0")
			c := n.dial(t, n.guest, "udp6", fmt.Sprintf("[%s]:%d", testWeb6, s.LocalAddr().(*net.UDPAddr).Port))
			setOpt(t, s, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
			if size == 1000 {
				setOpt(t, s, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
			}
			want := content(size)
			if _, err := c.Write(want); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 65536)
			k, peer, err := s.ReadFrom(buf)
			if err != nil || !bytes.Equal(buf[:k], want) {
				t.Fatalf("out: %d octets of %d, %v", k, size, err)
			}
			if _, err := s.WriteTo(want, peer); err != nil {
				t.Fatal(err)
			}
			if k, err = c.Read(buf); err != nil || !bytes.Equal(buf[:k], want) {
				t.Fatalf("in: %d octets of %d, %v", k, size, err)
			}
		})
	}

	for _, size := range []int{0, 56, 57, 1432, 1433, 10000} {
		from, m := icmp6(t, n.guest, testWeb6, size, 5*time.Second)
		if m == nil || m.Type != ipv6.ICMPTypeEchoReply || from != netip.MustParseAddr(testWeb6) || len(m.Body.(*icmp.Echo).Data) != size {
			t.Errorf("ping with %d octets: %s %+v", size, from, m)
		}
	}

	t.Run("time exceeded", func(t *testing.T) {
		// The host counts one hop before the device and one behind it.
		from := timeExceeded(t, n.guest, 2)
		if from != netip.MustParseAddr(testHost6) {
			t.Errorf("second hop is %s", from)
		}
	})

	t.Run("pool is behind the device", func(t *testing.T) {
		pool, ok := g.Mapped(guest)
		if !ok {
			t.Fatal("the guest has no mapping")
		}
		// Somebody on the provider's wire knows the pool and the guest's address in it.
		routeIn(t, n.web, "eth0", DefaultPool().String(), testHost4, 0)
		s := n.packetConn(t, n.guest, "udp6", "[::]:5555")
		c := n.dial(t, n.web, "udp4", pool.String()+":5555")
		before := g.Stats().To6.Packets
		c.Write([]byte("intruder"))
		s.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if k, from, err := s.ReadFrom(make([]byte, 100)); err == nil {
			t.Errorf("%d octets from %s came in unasked", k, from)
		}
		if after := g.Stats().To6.Packets; after != before {
			t.Error("the translator saw them")
		}
	})

	if s := g.Stats(); s.Mappings != 1 || s.Failed != 0 || s.Unknown != 0 {
		t.Errorf("%+v", s)
	}
}

// Everything that is no host of the public Internet, and the host itself, is
// answered with administratively prohibited; strangers get no answer at all.
func TestRefusedDestinations(t *testing.T) {
	n := newNetwork(t)
	n.cfg.Denied = prefixes("203.0.114.128/25")
	n.apply(t)
	g, stop := n.serve(t)
	for _, dst := range []string{
		"192.0.2.1", "198.51.100.1", "203.0.113.1", // documentation
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", // private and shared
		"127.0.0.1", "0.0.0.1", "169.254.169.254", "192.0.0.170", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"10.64.0.1", "10.64.7.7", // the pool
		"203.0.114.200", // by configuration
	} {
		from, m := icmp6(t, n.guest, "64:ff9b::"+dst, 10, 5*time.Second)
		if m == nil || m.Type != ipv6.ICMPTypeDestinationUnreachable || m.Code != 1 || from != netip.MustParseAddr(testHost6) {
			t.Errorf("%s: answered by %s with %+v", dst, from, m)
		}
	}
	// The host's own address, if it is a global one, is the kernel's to refuse.
	nstest.Output(t, n.host, "ip", "addr", "add", "203.0.114.77/32", "dev", "br0")
	before := g.Stats().To4.Packets
	if _, m := icmp6(t, n.guest, "64:ff9b::203.0.114.77", 10, 5*time.Second); m == nil || m.Type != ipv6.ICMPTypeDestinationUnreachable || m.Code != 1 {
		t.Errorf("the host's own address: %+v", m)
	}
	if g.Stats().To4.Packets == before {
		t.Error("it was not the kernel")
	}
	// The second wall stands by itself: a translator that refuses nothing.
	stop()
	g, _ = n.serve(t, func(g *Gateway) { g.mapper.denied = nil })
	if _, m := icmp6(t, n.guest, "64:ff9b::192.0.2.1", 10, 5*time.Second); m == nil || m.Type != ipv6.ICMPTypeDestinationUnreachable || m.Code != 1 {
		t.Errorf("without the translator's refusal: %+v", m)
	}
	// From the provider's side.
	was := g.Stats()
	if from, m := icmp6(t, n.web, "64:ff9b::203.0.114.200", 10, 300*time.Millisecond); m != nil {
		t.Errorf("a stranger was answered by %s: %+v", from, m)
	}
	if from, m := icmp6(t, n.web, testWeb6, 10, 300*time.Millisecond); m != nil {
		t.Errorf("a stranger was served by %s: %+v", from, m)
	}
	// The kernel's own multicast listener reports come by at any time.
	if now := g.Stats(); now.To4.Packets != was.To4.Packets || now.To4.Dropped[siit.Denied] != was.To4.Dropped[siit.Denied] || now.Answered != was.Answered {
		t.Errorf("the translator saw a stranger: %+v, before %+v", now, was)
	}
}

func TestPathMTU(t *testing.T) {
	n := newNetwork(t)
	n.apply(t)
	n.serve(t)
	s := n.packetConn(t, n.web, "udp4", testWeb+":0")
	port := s.LocalAddr().(*net.UDPAddr).Port
	c := n.dial(t, n.guest, "udp6", fmt.Sprintf("[%s]:%d", testWeb6, port))
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_, peer, err := s.ReadFrom(make([]byte, 10))
	if err != nil {
		t.Fatal(err)
	}
	// A connected socket in the Internet, towards the guest behind the host.
	s.Close()
	var back net.Conn
	nstest.Do(t, n.web, func() (err error) {
		back, err = net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(testWeb), Port: port}, peer.(*net.UDPAddr))
		return err
	})
	defer back.Close()
	setOpt(t, back.(*net.UDPConn), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)

	// A whole Ethernet's IPv4 packet becomes too long by the difference of headers.
	if got := learnMTU(t, back, 1472, unix.IPPROTO_IP, unix.IP_MTU); got != 1480 {
		t.Errorf("IPv4 learned %d, want 1480", got)
	}
	// A smaller MTU on the guest's side.
	routeIn(t, n.host, "br0", testGuest+"/128", "", 1400)
	if got := learnMTU(t, back, 1452, unix.IPPROTO_IP, unix.IP_MTU); got != 1380 {
		t.Errorf("IPv4 learned %d, want 1380", got)
	}
	// And on the IPv4 side.
	routeIn(t, n.host, "br0", "203.0.114.0/24", testRouter, 1300)
	if got := learnMTU(t, c, 1400, unix.IPPROTO_IPV6, unix.IPV6_MTU); got != 1320 {
		t.Errorf("IPv6 learned %d, want 1320", got)
	}
	n.fetch(t, 1<<20)
}

// learnMTU sends datagrams until the socket's path has another MTU.
func learnMTU(t *testing.T, c net.Conn, size, level, opt int) int {
	t.Helper()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	get := func() (v int) {
		raw.Control(func(fd uintptr) { v, _ = unix.GetsockoptInt(int(fd), level, opt) })
		return v
	}
	before := get()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if now := get(); now != before {
			return now
		}
		c.Write(make([]byte, size))
	}
	return before
}

// The device outlives the process, and so do sessions over it.
func TestRestartKeepsSessions(t *testing.T) {
	n := newNetwork(t)
	n.apply(t)
	g, stop := n.serve(t)
	l := n.listen(t, n.web, "tcp4", testWeb+":0")
	c := n.dial(t, n.guest, "tcp6", fmt.Sprintf("[%s]:%d", testWeb6, l.Addr().(*net.TCPAddr).Port))
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(20 * time.Second))
	say := func(from, to net.Conn, what string) {
		t.Helper()
		if _, err := io.WriteString(from, what); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, len(what))
		if _, err := io.ReadFull(to, buf); err != nil || string(buf) != what {
			t.Fatalf("%q, %v", buf, err)
		}
	}
	say(c, s, "before")
	was, _ := g.Mapped(netip.MustParseAddr(testGuest))
	stop()
	g, stop = n.serve(t)
	// The server speaks first: the guest's mapping must be there already.
	say(s, c, "after, from the server")
	say(c, s, "after, from the guest")
	if now, _ := g.Mapped(netip.MustParseAddr(testGuest)); now != was {
		t.Errorf("pool address %s, was %s", now, was)
	}
	stop()
	if n.apply(t) != 0 {
		t.Error("stopping left something to do")
	}
}

// Two queues, many connections at once.
func TestQueues(t *testing.T) {
	n := newNetwork(t)
	n.cfg.Queues = 2
	n.apply(t)
	n.serve(t)
	l := n.listen(t, n.web, "tcp4", testWeb+":0")
	want := content(100_000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.Write(want)
			}()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	results := make(chan error, 40)
	for range cap(results) {
		c := n.dial(t, n.guest, "tcp6", fmt.Sprintf("[%s]:%d", testWeb6, port))
		go func() {
			got, err := io.ReadAll(c)
			if err == nil && !bytes.Equal(got, want) {
				err = fmt.Errorf("%d octets, not the same", len(got))
			}
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// A device that goes away under Run is an error; a context that ends is none.
func TestRunEnds(t *testing.T) {
	n := newNetwork(t)
	n.apply(t)
	var g *Gateway
	nstest.Do(t, n.host, func() (err error) { g, err = New(n.cfg); return err })
	done := make(chan error, 1)
	go func() { done <- g.Run(context.Background()) }()
	nstest.Output(t, n.host, "ip", "link", "del", "nat64")
	select {
	case err := <-done:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(5 * time.Second):
		t.Error("Run goes on without a device")
	}
}

func TestForget(t *testing.T) {
	n := newNetwork(t)
	n.apply(t)
	g, _ := n.serve(t)
	n.fetch(t, 10)
	pool, _ := g.Mapped(netip.MustParseAddr(testGuest))
	list := func() string {
		b, err := conntrack(n.host)
		if err != nil {
			t.Skip("needs /proc/net/nf_conntrack: ", err)
		}
		return b
	}
	if !strings.Contains(list(), "src="+pool.String()) {
		t.Fatal("no connection of the guest's")
	}
	g.forget(pool)
	if strings.Contains(list(), "src="+pool.String()) {
		t.Error("still there")
	}
}

func conntrack(ns *netns.NS) (out string, err error) {
	err = ns.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/nf_conntrack")
		out = string(b)
		return err
	})
	return out, err
}

func setOpt(t *testing.T, c syscall.Conn, level, opt, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, opt, value) })
	if err != nil {
		t.Fatal(err)
	}
}

// timeExceeded pings with few hops, and returns who says that they ended.
func timeExceeded(t *testing.T, ns *netns.NS, hops int) (from netip.Addr) {
	t.Helper()
	nstest.Do(t, ns, func() error {
		c, err := icmp.ListenPacket("ip6:ipv6-icmp", "::")
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.IPv6PacketConn().SetHopLimit(hops); err != nil {
			return err
		}
		b, err := (&icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &icmp.Echo{ID: 1, Seq: 1}}).Marshal(nil)
		if err != nil {
			return err
		}
		if _, err := c.WriteTo(b, &net.IPAddr{IP: net.ParseIP(testWeb6)}); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, 1500)
		for {
			_, peer, err := c.ReadFrom(buf)
			if err != nil {
				return fmt.Errorf("wait for time exceeded: %w", err)
			}
			if buf[0] == 3 {
				from, _ = netip.AddrFromSlice(peer.(*net.IPAddr).IP)
				return nil
			}
		}
	})
	return from
}

// Counts of refusals are by reason.
func TestStatsReasons(t *testing.T) {
	n := newNetwork(t)
	n.apply(t)
	g, _ := n.serve(t)
	icmp6(t, n.guest, "64:ff9b::10.0.0.1", 10, 5*time.Second)
	if s := g.Stats(); s.To4.Dropped[siit.Denied] != 1 || s.Answered != 1 {
		t.Errorf("%+v", s)
	}
}

// A host whose guests' bridge has no NIC.
func TestUplinkApart(t *testing.T) {
	n := newNetwork(t)
	n.cfg.Uplink = "enp2s0"
	nstest.Output(t, n.host, "ip", "link", "set", "enp2s0", "nomaster")
	nstest.Output(t, n.host, "ip", "addr", "del", testHost4+"/32", "dev", "br0")
	nstest.Output(t, n.host, "ip", "addr", "add", testHost4+"/32", "dev", "enp2s0")
	routeIn(t, n.host, "enp2s0", "0.0.0.0/0", testRouter, 0)
	n.apply(t)
	n.serve(t)
	n.fetch(t, 1<<20)
}

// Another prefix, of another length, may lead to private networks.
func TestPrivateByOwnPrefix(t *testing.T) {
	n := newNetwork(t)
	n.cfg.Prefix, n.cfg.AllowPrivate = nat64.LocalUse(), true
	n.apply(t)
	n.serve(t)
	nstest.Output(t, n.web, "ip", "addr", "add", "10.5.5.5/32", "dev", "lo")
	ping := func(v4 string) (netip.Addr, *icmp.Message) {
		return icmp6(t, n.guest, nat64.LocalUse().Embed(netip.MustParseAddr(v4)).String(), 100, 5*time.Second)
	}
	if _, m := ping("10.5.5.5"); m == nil || m.Type != ipv6.ICMPTypeEchoReply {
		t.Errorf("private network: %+v", m)
	}
	if _, m := ping("10.64.5.5"); m == nil || m.Type != ipv6.ICMPTypeDestinationUnreachable {
		t.Errorf("pool: %+v", m)
	}
}
