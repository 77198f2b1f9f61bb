package ra

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/slaac"
)

// wire puts whole frames on a link.
type wire struct {
	fd int
	to unix.SockaddrLinklayer
}

func newWire(t testing.TB, ns *netns.NS, link string) *wire {
	t.Helper()
	w := &wire{}
	nstest.Do(t, ns, func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		w.to = unix.SockaddrLinklayer{Ifindex: l.Attrs().Index, Halen: 6}
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

func (w *wire) put(t testing.TB, frame []byte) {
	t.Helper()
	for {
		err := unix.Sendto(w.fd, frame, 0, &w.to)
		if err == unix.ENOBUFS {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatalf("put frame: %v", err)
		}
		return
	}
}

// solicitation is what a frame is made of.
type solicitation struct {
	mac      slaac.MAC
	from     netip.Addr
	hops     byte
	body     []byte // ICMPv6, its checksum to be filled in
	badSum   bool
	fragment bool
}

// frames returns one Ethernet frame, or two where it comes in fragments.
func (s solicitation) frames() [][]byte {
	src, dst := s.from.As16(), netip.MustParseAddr("ff02::2").As16()
	body := append([]byte(nil), s.body...)
	if len(body) >= 4 {
		sum := longChecksum(src, dst, body)
		if s.badSum {
			sum ^= 0x5555
		}
		binary.BigEndian.PutUint16(body[2:], sum)
	}
	packet := func(next byte, payload []byte) []byte {
		b := append([]byte{0x33, 0x33, 0, 0, 0, 2}, s.mac[:]...)
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, byte(len(payload)>>8), byte(len(payload)), next, s.hops)
		return append(append(append(b, src[:]...), dst[:]...), payload...)
	}
	if !s.fragment {
		return [][]byte{packet(unix.IPPROTO_ICMPV6, body)}
	}
	const at = 8
	id := []byte{1, 2, 3, byte(len(body))}
	first := append(append([]byte{unix.IPPROTO_ICMPV6, 0, 0, 1}, id...), body[:at]...)
	last := append(append([]byte{unix.IPPROTO_ICMPV6, 0, 0, at}, id...), body[at:]...)
	return [][]byte{packet(unix.IPPROTO_FRAGMENT, first), packet(unix.IPPROTO_FRAGMENT, last)}
}

// longChecksum is checksum for more than 255 octets.
func longChecksum(src, dst [16]byte, body []byte) uint16 {
	b := append(append([]byte(nil), src[:]...), dst[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = append(append(b, 0, 0, 0, unix.IPPROTO_ICMPV6), body...)
	if len(b)%2 != 0 {
		b = append(b, 0)
	}
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// floodKinds are valid solicitations and every kind of invalid one, each with
// the counter that has to tell of it, nil where the kernel drops it already.
func floodKinds() []struct {
	name  string
	make  func(i int) solicitation
	count func(Stats) uint64
} {
	const sources = 50 // the kernel's neighbour table is everybody's
	rs := func(options ...byte) []byte { return append([]byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}, options...) }
	mac := func(i int) slaac.MAC { return slaac.MAC{0x52, 0x54, 0, 0xbb, 0, byte(i % sources)} }
	lla := func(m slaac.MAC) []byte { return append([]byte{1, 1}, m[:]...) }
	from := func(body []byte) func(int) solicitation {
		return func(i int) solicitation {
			return solicitation{mac: mac(i), from: slaac.LinkLocal(mac(i)), hops: 255, body: body}
		}
	}
	huge := rs()
	for len(huge) < 1400 {
		huge = append(append(huge, 253, 31), make([]byte, 246)...)
	}
	huge = huge[:len(huge)-8*31]
	type kind = struct {
		name  string
		make  func(i int) solicitation
		count func(Stats) uint64
	}
	malformed := func(s Stats) uint64 { return s.Malformed }
	return []kind{
		{"valid", func(i int) solicitation { s := from(rs(lla(mac(i))...))(i); return s }, func(s Stats) uint64 { return s.Solicitations }},
		{"from nobody", func(i int) solicitation {
			s := from(rs())(i)
			s.from = netip.IPv6Unspecified()
			return s
		}, func(s Stats) uint64 { return s.Solicitations }},
		{"huge options", from(huge), func(s Stats) uint64 { return s.Solicitations }},
		{"hop limit 64", func(i int) solicitation { s := from(rs())(i); s.hops = 64; return s }, func(s Stats) uint64 { return s.BadHopLimit }},
		{"from nobody with a link-layer address", func(i int) solicitation {
			s := from(rs(lla(mac(i))...))(i)
			s.from = netip.IPv6Unspecified()
			return s
		}, func(s Stats) uint64 { return s.UnspecifiedLLA }},
		{"truncated", from(rs()[:6]), malformed},
		{"code 1", from([]byte{typeSolicitation, 1, 0, 0, 0, 0, 0, 0}), malformed},
		{"option of length 0", from(rs(1, 0, 0, 0, 0, 0, 0, 0)), malformed},
		{"option beyond the end", from(rs(1, 200, 0, 0, 0, 0, 0, 0)), malformed},
		{"half an option", from(rs(1, 1, 2)), malformed},
		{"in fragments", func(i int) solicitation { s := from(rs(lla(mac(i))...))(i); s.fragment = true; return s }, func(s Stats) uint64 { return s.Fragmented }},
		{"wrong checksum", func(i int) solicitation { s := from(rs())(i); s.badSum = true; return s }, nil},
		{"multicast source", func(i int) solicitation { s := from(rs())(i); s.from = netip.MustParseAddr("ff02::1"); return s }, nil},
		{"loopback source", func(i int) solicitation { s := from(rs())(i); s.from = netip.IPv6Loopback(); return s }, nil},
	}
}

// TestKernelFlood: 5,000 solicitations a second of every kind never make the
// server deaf, slow for an honest guest, or large.
func TestKernelFlood(t *testing.T) {
	n := newTestNet(t)
	n.quietGuest(t)
	cfg := kernelConfig()
	cfg.Interface = routerLink
	var s *Server
	nstest.Do(t, n.router, func() (err error) {
		s, err = New(cfg) // without the log: it would be most of the work
		return err
	})
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	defer func() {
		s.Handover()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	<-s.Ready()
	w := newWire(t, n.guest, guestLink)
	honest := n.guestSocket(t)
	rs := []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}
	routers := netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 2})
	buf := make([]byte, longestMessage)
	ask := func(what string) time.Duration {
		begun := time.Now()
		// A host asks again too, for whatever gets lost.
		for time.Since(begun) < 20*time.Second {
			if err := honest.send(rs, routers); err != nil {
				t.Fatal(err)
			}
			if _, err := honest.receive(buf, time.Now().Add(time.Second)); err == nil {
				return time.Since(begun)
			}
		}
		t.Fatalf("%s: no answer for the honest guest; %+v", what, s.Stats())
		return 0
	}
	ask("before")
	length := 500 * time.Millisecond
	if os.Getenv("CI_TIER") == "full" {
		length = 10 * time.Second
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, kind := range floodKinds() {
		var frames [][]byte
		for i := range 50 {
			frames = append(frames, kind.make(i).frames()...)
		}
		was := s.Stats()
		sent := 0
		var worst time.Duration
		const tick, perTick = 10 * time.Millisecond, 50
		for begun := time.Now(); time.Since(begun) < length; {
			next := time.Now().Add(tick)
			for range perTick {
				w.put(t, frames[sent%len(frames)])
				sent++
			}
			worst = max(worst, ask(kind.name))
			time.Sleep(time.Until(next))
		}
		t.Logf("%s: %d frames, worst answer to the honest guest after %s", kind.name, sent, worst.Round(10*time.Microsecond))
		if kind.count == nil {
			continue
		}
		least := uint64(sent) / 4 // the socket's buffer may overflow, which is the bound on memory
		if kind.name == "in fragments" {
			least /= 2
		}
		eventually(t, 5*time.Second, func() string {
			if got := kind.count(s.Stats()) - kind.count(was); got < least {
				return fmt.Sprintf("%s: %d of %d counted; %+v", kind.name, got, sent, s.Stats())
			}
			return ""
		})
	}
	s.mu.Lock()
	if len(s.sched.queue) > maxPending {
		t.Errorf("%d wait", len(s.sched.queue))
	}
	s.mu.Unlock()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap has grown by %d octets", grown)
	}
	ask("after")
}

// guestSocket hears advertisements in the guest, and solicits.
func (n *testNet) guestSocket(t testing.TB) conn {
	t.Helper()
	var c conn
	nstest.Do(t, n.guest, func() error {
		l, err := netlink.LinkByName(guestLink)
		if err != nil {
			return err
		}
		if c, err = newConn(typeAdvertisement); err != nil {
			return err
		}
		return c.attach(Link{Index: l.Attrs().Index, Address: slaac.LinkLocal(n.guestMAC)})
	})
	t.Cleanup(func() { c.close() })
	return c
}

// TestKernelManyPorts: every guest of a full bridge is answered, by unicast, and
// nothing is left waiting. The full tier has 1,023 ports, which is all a bridge
// takes; the default fewer, as making ports is most of it.
func TestKernelManyPorts(t *testing.T) {
	ports := 64
	if os.Getenv("CI_TIER") == "full" {
		nstest.RequireRoot(t)
		ports = 1023
		// The neighbour tables of all namespaces share their limit.
		const limit = "net/ipv6/neigh/default/gc_thresh3"
		was, err := sysctl.Read(limit)
		if err != nil {
			t.Fatal(err)
		}
		if err := sysctl.Write(limit, "8192"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sysctl.Write(limit, was) })
	}
	router, guests := nstest.NS(t), nstest.NS(t)
	nstest.Do(t, router, func() error {
		if err := sysctl.Write("net/ipv6/conf/default/accept_dad", "0"); err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = routerLink, slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}.HardwareAddr()
		snooping := false
		br := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
		if err := netlink.LinkAdd(br); err != nil {
			return fmt.Errorf("add bridge: %w", err)
		}
		// Nobody but the server speaks on these links.
		if err := sysctl.Write("net/ipv6/conf/default/disable_ipv6", "1"); err != nil {
			return err
		}
		for i := range ports {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.MasterIndex = fmt.Sprintf("vnet%d", i), br.Index
			mac := portMAC(i)
			port := &netlink.Veth{LinkAttrs: attrs, PeerName: fmt.Sprintf("eth%d", i), PeerHardwareAddr: mac.HardwareAddr(), PeerNamespace: netlink.NsFd(int(guests.File().Fd()))}
			if err := netlink.LinkAdd(port); err != nil {
				return fmt.Errorf("add port %d: %w", i, err)
			}
			// What one guest asks is nothing to the others.
			if err := netlink.LinkSetIsolated(port, true); err != nil {
				return fmt.Errorf("isolate port %d: %w", i, err)
			}
			if err := setUp(attrs.Name, true); err != nil {
				return err
			}
		}
		if err := sysctl.Write("net/ipv6/conf/"+routerLink+"/forwarding", "1"); err != nil {
			return err
		}
		return setUp(routerLink, true)
	})
	nstest.Do(t, guests, func() error {
		for _, conf := range []string{"all", "default"} {
			if err := sysctl.Write("net/ipv6/conf/"+conf+"/disable_ipv6", "1"); err != nil {
				return err
			}
		}
		for i := range ports {
			if err := setUp(fmt.Sprintf("eth%d", i), true); err != nil {
				return err
			}
		}
		return nil
	})
	// The kernel takes a hundred links a second into use, and a link drops what is
	// sent before.
	eventually(t, time.Minute, func() (why string) {
		nstest.Do(t, guests, func() error {
			links, err := netlink.LinkList()
			if err != nil {
				return err
			}
			up := 0
			for _, l := range links {
				if strings.HasPrefix(l.Attrs().Name, "eth") && l.Attrs().OperState == netlink.OperUp {
					up++
				}
			}
			if up < ports {
				why = fmt.Sprintf("%d of %d guests' links are in use", up, ports)
			}
			return nil
		})
		return why
	})
	// One socket hears all guests' links.
	var fd int
	index := make(map[int]int) // of a link, to the port
	nstest.Do(t, guests, func() (err error) {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			var i int
			if _, err := fmt.Sscanf(l.Attrs().Name, "eth%d", &i); err == nil {
				index[l.Attrs().Index] = i
			}
		}
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_IPV6)))
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<20)
		}
		return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	})
	t.Cleanup(func() { unix.Close(fd) })

	cfg := kernelConfig()
	cfg.MTU = 0
	var s *Server
	nstest.Do(t, router, func() (err error) {
		cfg.Interface = routerLink
		s, err = New(cfg)
		return err
	})
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	defer func() {
		s.Handover()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	<-s.Ready()
	began := time.Now()
	answered := make(map[int]bool)
	frame := make([]byte, 2048)
	// Those who hear nothing ask again, as hosts do (RFC 4861, section 6.3.7), as a
	// busy machine may lose a frame on the way.
	for round := 0; len(answered) < ports && round < 30; round++ {
		for port, i := range index {
			if answered[i] {
				continue
			}
			mac := portMAC(i)
			body := append([]byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0, 1, 1}, mac[:]...)
			for _, frame := range (solicitation{mac: mac, from: slaac.LinkLocal(mac), hops: 255, body: body}).frames() {
				if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: port, Halen: 6}); err != nil && err != unix.ENOBUFS {
					t.Fatal(err)
				}
			}
		}
		// The kernel's questions for MACs need no answer: the option told them.
		for deadline := time.Now().Add(time.Second); len(answered) < ports && time.Now().Before(deadline); {
			size, from, err := unix.Recvfrom(fd, frame, 0)
			if err != nil {
				continue
			}
			sa, ok := from.(*unix.SockaddrLinklayer)
			if !ok || sa.Pkttype == unix.PACKET_OUTGOING || size < 14+ipv6HeaderLen+headerLen || frame[14+6] != unix.IPPROTO_ICMPV6 || frame[14+ipv6HeaderLen] != typeAdvertisement {
				continue
			}
			if i, ok := index[sa.Ifindex]; ok && netip.AddrFrom16([16]byte(frame[14+24:])) == slaac.LinkLocal(portMAC(i)) {
				answered[i] = true
			}
		}
	}
	if len(answered) != ports {
		t.Errorf("%d of %d guests were answered; %+v", len(answered), ports, s.Stats())
	}
	t.Logf("%d ports answered after %s; %+v", len(answered), time.Since(began).Round(time.Millisecond), s.Stats())
	if c := s.Stats(); c.SendErrors > 0 {
		t.Errorf("%+v", c)
	}
}

func portMAC(i int) slaac.MAC { return slaac.MAC{0x52, 0x54, 0, 0xcc, byte(i >> 8), byte(i)} }

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// TestKernelNoFragments: what doesn't fit into one packet goes out in several,
// none of them in fragments (RFC 6980, section 5), as tshark sees it.
func TestKernelNoFragments(t *testing.T) {
	n := newTestNet(t)
	n.quietGuest(t)
	cfg := kernelConfig()
	cfg.MTU = 1280
	for i := range 60 {
		cfg.Prefixes = append(cfg.Prefixes, Prefix{Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, byte(i)}), 64), NoSLAAC: true})
	}
	h := n.listen(t)
	s, _ := n.serve(t, cfg)
	<-s.Ready()
	eventually(t, 10*time.Second, func() string {
		var prefixes int
		for _, r := range h.list() {
			if r.Err != nil || len(r.Raw)+ipv6HeaderLen > 1280 {
				return fmt.Sprintf("%d octets, %v", len(r.Raw), r.Err)
			}
			prefixes += strings.Count(strings.Join(told([]*ndp.RouterAdvertisement{r.Message}), "\n"), "prefix ")
		}
		if prefixes < len(cfg.Prefixes) {
			return fmt.Sprintf("heard %d prefixes of %d", prefixes, len(cfg.Prefixes))
		}
		return ""
	})
}
