package ra

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/slaac"
)

// testNet is a router and a guest, joined by a veth.
type testNet struct {
	router, guest       *netns.NS
	routerMAC, guestMAC slaac.MAC
}

const (
	routerLink = "br0"
	guestLink  = "eth0"
)

func newTestNet(t testing.TB) *testNet {
	t.Helper()
	n := &testNet{
		router: nstest.NS(t), guest: nstest.NS(t),
		routerMAC: slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56},
		guestMAC:  slaac.MAC{0x52, 0x54, 0x00, 0x12, 0x34, 0x56},
	}
	// The guest asks for routers by itself when its link comes up. Without
	// duplicate address detection it does so at once.
	nstest.Do(t, n.guest, func() error {
		for _, conf := range []string{"default", "all"} {
			if err := sysctl.Write("net/ipv6/conf/"+conf+"/accept_dad", "0"); err != nil {
				return err
			}
		}
		return nil
	})
	n.addVeth(t)
	return n
}

// addVeth makes the link between the two, with the router's end up and
// forwarding and the guest's end down.
func (n *testNet) addVeth(t testing.TB) {
	t.Helper()
	nstest.Do(t, n.router, func() error {
		if err := sysctl.Write("net/ipv6/conf/default/accept_dad", "0"); err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = routerLink
		attrs.HardwareAddr = n.routerMAC.HardwareAddr()
		err := netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: attrs, PeerName: guestLink, PeerHardwareAddr: n.guestMAC.HardwareAddr(),
			PeerNamespace: netlink.NsFd(int(n.guest.File().Fd())),
		})
		if err != nil {
			return fmt.Errorf("add veth: %w", err)
		}
		if err := sysctl.Write("net/ipv6/conf/"+routerLink+"/forwarding", "1"); err != nil {
			return err
		}
		return setUp(routerLink, true)
	})
}

func setUp(name string, up bool) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if up {
		return netlink.LinkSetUp(l)
	}
	return netlink.LinkSetDown(l)
}

func (n *testNet) guestUp(t testing.TB, up bool) {
	t.Helper()
	nstest.Do(t, n.guest, func() error { return setUp(guestLink, up) })
	if !up {
		return
	}
	h := handle(t, n.guest)
	eventually(t, 10*time.Second, func() string {
		l, err := h.LinkByName(guestLink)
		if err != nil {
			return err.Error()
		}
		addrs, err := h.AddrList(l, netlink.FAMILY_V6)
		if err != nil {
			return err.Error()
		}
		for _, a := range addrs {
			if a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
				return ""
			}
		}
		return "guest has no link-local address"
	})
}

// logTo is a logger that writes to the test.
func logTo(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// serve runs a server in the router until the test ends or stop is called.
func (n *testNet) serve(t testing.TB, cfg Config) (s *Server, stop func()) {
	t.Helper()
	cfg.Interface = routerLink
	cfg.Logger = logTo(t)
	nstest.Do(t, n.router, func() (err error) {
		s, err = New(cfg)
		return err
	})
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	stop = sync.OnceFunc(func() {
		s.Handover() // a goodbye may take three seconds
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// listen collects what the guest hears from its return on.
func (n *testNet) listen(t *testing.T) *heard {
	t.Helper()
	h := &heard{}
	var l *Listener
	nstest.Do(t, n.guest, func() (err error) {
		l, err = NewListener(guestLink)
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, h.add) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Listener.Run: %v", err)
		}
	})
	return h
}

type heard struct {
	mu  sync.Mutex
	all []Received
}

func (h *heard) add(r Received) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, r)
}

func (h *heard) list() []Received {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Received(nil), h.all...)
}

// eventually polls until fn returns "", and fails with what it said last.
func eventually(t testing.TB, limit time.Duration, fn func() string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		why := fn()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s", limit, why)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// handle is a netlink handle in a namespace.
func handle(t testing.TB, ns *netns.NS) *netlink.Handle {
	t.Helper()
	h, err := ns.Handle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// guestState says what the guest's kernel made of what it heard.
func guestState(h *netlink.Handle) (globals []netip.Addr, gateways []netip.Addr) {
	l, err := h.LinkByName(guestLink)
	if err != nil {
		return nil, nil
	}
	addrs, err := h.AddrList(l, netlink.FAMILY_V6)
	if err != nil {
		return nil, nil
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && ip.IsGlobalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			globals = append(globals, ip)
		}
	}
	routes, err := h.RouteList(l, netlink.FAMILY_V6)
	if err != nil {
		return nil, nil
	}
	for _, r := range routes {
		ones := -1
		if r.Dst != nil {
			ones, _ = r.Dst.Mask.Size()
		}
		if r.Dst != nil && ones != 0 {
			continue
		}
		if gw, ok := netip.AddrFromSlice(r.Gw); ok {
			gateways = append(gateways, gw)
		}
	}
	return globals, gateways
}

func kernelConfig() Config {
	cfg := fullConfig()
	cfg.Prefixes = cfg.Prefixes[:1]
	cfg.SolicitedDelay = Zero
	return cfg
}

func TestKernelGuest(t *testing.T) {
	n := newTestNet(t)
	cfg := kernelConfig()
	s, stop := n.serve(t, cfg)
	h := handle(t, n.guest)
	n.guestUp(t, true)
	begun := time.Now()
	want, err := slaac.Addr(netip.MustParsePrefix("2001:db8:1:3::/64"), n.guestMAC)
	if err != nil {
		t.Fatal(err)
	}
	gateway := slaac.LinkLocal(n.routerMAC)
	eventually(t, 10*time.Second, func() string {
		globals, gateways := guestState(h)
		if len(globals) != 1 || globals[0] != want || len(gateways) != 1 || gateways[0] != gateway {
			return fmt.Sprintf("addresses %v, want %s; gateways %v, want %s", globals, want, gateways, gateway)
		}
		return ""
	})
	t.Logf("address and route %s after link-up; %+v", time.Since(begun).Round(time.Millisecond), s.Stats())
	mtu := ""
	nstest.Do(t, n.guest, func() (err error) {
		mtu, err = sysctl.Read("net/ipv6/conf/" + guestLink + "/mtu")
		return err
	})
	if mtu != "1500" {
		t.Errorf("guest's IPv6 MTU is %s", mtu)
	}
	s.Stop()
	stop()
	eventually(t, 5*time.Second, func() string {
		globals, gateways := guestState(h)
		if len(globals) != 1 || len(gateways) != 0 {
			return fmt.Sprintf("after the end: addresses %v, gateways %v", globals, gateways)
		}
		return ""
	})
}

// rawSolicit sends solicitations from the guest with any hop limit, source and
// options.
func (n *testNet) rawSolicit(t *testing.T, hops byte, from string, count int, options ...byte) {
	t.Helper()
	nstest.Do(t, n.guest, func() error {
		// The caller of such a socket writes the IPv6 header too.
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return fmt.Errorf("open socket: %w", err)
		}
		defer unix.Close(fd)
		l, err := netlink.LinkByName(guestLink)
		if err != nil {
			return err
		}
		src, dst := netip.MustParseAddr(from).As16(), netip.MustParseAddr("ff02::2").As16()
		body := append([]byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}, options...)
		sum := checksum(src, dst, body)
		body[2], body[3] = byte(sum>>8), byte(sum)
		b := []byte{0x60, 0, 0, 0, 0, byte(len(body)), unix.IPPROTO_ICMPV6, hops}
		b = append(append(append(b, src[:]...), dst[:]...), body...)
		for range count {
			if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet6{Addr: dst, ZoneId: uint32(l.Attrs().Index)}); err != nil {
				return fmt.Errorf("send solicitation from %s: %w", from, err)
			}
		}
		return nil
	})
}

// checksum is ICMPv6's (RFC 4443, section 2.3).
func checksum(src, dst [16]byte, body []byte) uint16 {
	b := append(append(append([]byte(nil), src[:]...), dst[:]...), 0, 0, 0, byte(len(body)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	b = append(b, body...)
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// The guest's kernel solicits by itself; this keeps it quiet.
func (n *testNet) quietGuest(t *testing.T) {
	t.Helper()
	nstest.Do(t, n.guest, func() error {
		return sysctl.Write("net/ipv6/conf/"+guestLink+"/router_solicitations", "0")
	})
	n.guestUp(t, true)
}

func TestKernelDeafness(t *testing.T) {
	n := newTestNet(t)
	n.quietGuest(t)
	s, _ := n.serve(t, kernelConfig())
	<-s.Ready()
	h := n.listen(t)
	ll := slaac.LinkLocal(n.guestMAC).String()
	n.rawSolicit(t, 64, ll, 20)
	n.rawSolicit(t, 255, ll, 1, 1, 0, 0, 0, 0, 0, 0, 0)
	eventually(t, 5*time.Second, func() string {
		if c := s.Stats(); c.BadHopLimit != 20 || c.Malformed != 1 {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
	before := len(h.list())
	n.rawSolicit(t, 255, ll, 1)
	eventually(t, 5*time.Second, func() string {
		if len(h.list()) == before {
			return "no answer"
		}
		return ""
	})
	got := h.list()[before]
	if got.Err != nil || got.From != slaac.LinkLocal(n.routerMAC) || got.HopLimit != 255 {
		t.Errorf("heard %+v", got)
	}
}

func TestKernelStorm(t *testing.T) {
	n := newTestNet(t)
	n.quietGuest(t)
	s, _ := n.serve(t, kernelConfig())
	<-s.Ready()
	arrivals := n.stampArrivals(t)
	for begun := time.Now(); time.Since(begun) < 4*time.Second; time.Sleep(10 * time.Millisecond) {
		n.rawSolicit(t, 255, "::", 50)
	}
	all := arrivals()
	for limit := time.Now().Add(20 * time.Second); len(all) < 2; all = append(all, arrivals()...) {
		if time.Now().After(limit) {
			t.Fatalf("%d multicasts; %+v", len(all), s.Stats())
		}
		time.Sleep(20 * time.Millisecond)
		n.rawSolicit(t, 255, "::", 1)
	}
	for i := 1; i < len(all); i++ {
		// The kernel stamps by a clock that may be set meanwhile, if only slowly.
		if d := all[i].Sub(all[i-1]); d < minDelayBetween-10*time.Millisecond {
			t.Errorf("multicasts %s apart", d)
		}
	}
	c := s.Stats()
	t.Logf("%+v", c)
	if c.Solicitations < 1000 {
		t.Errorf("only %d solicitations arrived", c.Solicitations)
	}
}

func TestKernelStopZeroes(t *testing.T) {
	n := newTestNet(t)
	n.quietGuest(t)
	cfg := kernelConfig()
	s, stop := n.serve(t, cfg)
	<-s.Ready()
	h := n.listen(t)
	s.Stop()
	stop()
	eventually(t, 5*time.Second, func() string {
		if len(h.list()) == 0 {
			return "heard nothing"
		}
		return ""
	})
	all := h.list()
	want, err := func() ([][]byte, error) {
		cfg.Interface = routerLink
		ms, err := cfg.FinalMessages(Link{MTU: 1500, MAC: n.routerMAC, Forwarding: true}, State{}, clockStart())
		if err != nil {
			return nil, err
		}
		return marshalAll(ms)
	}()
	if err != nil {
		t.Fatal(err)
	}
	got := all[len(all)-1].Raw
	copy(got[2:4], []byte{0, 0}) // the checksum is the kernel's
	if !bytes.Equal(got, want[0]) {
		t.Errorf("last message %x\nwant %x", got, want[0])
	}
}

func TestKernelLinkComesAndGoes(t *testing.T) {
	n := newTestNet(t)
	s, _ := n.serve(t, kernelConfig())
	h := handle(t, n.guest)
	hasRoute := func() string {
		if _, gateways := guestState(h); len(gateways) == 0 {
			return fmt.Sprintf("no route; %+v", s.Stats())
		}
		return ""
	}
	n.guestUp(t, true)
	eventually(t, 10*time.Second, hasRoute)

	// Down and up again: what the guest forgot it learns again.
	nstest.Do(t, n.router, func() error { return setUp(routerLink, false) })
	eventually(t, 5*time.Second, func() string {
		if s.Stats().LinkLosses != 1 {
			return fmt.Sprintf("loss not noticed: %+v", s.Stats())
		}
		return ""
	})
	n.guestUp(t, false)
	nstest.Do(t, n.router, func() error { return setUp(routerLink, true) })
	n.guestUp(t, true)
	eventually(t, 10*time.Second, hasRoute)

	// Removed and made anew, with another index.
	nstest.Do(t, n.router, func() error {
		l, err := netlink.LinkByName(routerLink)
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	eventually(t, 5*time.Second, func() string {
		if s.Stats().LinkLosses != 2 {
			return fmt.Sprintf("removal not noticed: %+v", s.Stats())
		}
		return ""
	})
	n.addVeth(t)
	n.guestUp(t, true)
	eventually(t, 10*time.Second, hasRoute)

	// Forwarding off: the guest's default route goes.
	nstest.Do(t, n.router, func() error {
		return sysctl.Write("net/ipv6/conf/"+routerLink+"/forwarding", "0")
	})
	eventually(t, 10*time.Second, func() string {
		if _, gateways := guestState(h); len(gateways) != 0 {
			return fmt.Sprintf("still a route via %v", gateways)
		}
		return ""
	})
	nstest.Do(t, n.router, func() error {
		return sysctl.Write("net/ipv6/conf/"+routerLink+"/forwarding", "1")
	})
	eventually(t, 10*time.Second, hasRoute)
}

func TestNewBeforeTheInterface(t *testing.T) {
	ns := nstest.NS(t)
	nstest.Do(t, ns, func() error {
		s, err := New(Config{Interface: "later"})
		if err != nil {
			return err
		}
		if _, err := s.watch.link(); err == nil || !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("link: %v", err)
		}
		return s.Close()
	})
	nstest.Do(t, ns, func() error {
		if l, err := NewListener("later"); err == nil {
			t.Errorf("listens on what does not exist: %v", l.Close())
		}
		return nil
	})
}

func TestOthersDecode(t *testing.T) {
	t.Run("rdisc6", func(t *testing.T) {
		nstest.Tool(t, "rdisc6")
		n := newTestNet(t)
		n.guestUp(t, true)
		s, _ := n.serve(t, kernelConfig())
		<-s.Ready()
		out := nstest.Output(t, n.guest, "rdisc6", "-1", "-w", "5000", guestLink)
		t.Log(out)
		for _, want := range []string{
			"Hop limit                 :           64", "Stateful other conf.      :          Yes", "Router preference         :         high",
			"Router lifetime           :         1800", "Reachable time            :        30000", "Retransmit time           :         1000",
			"Prefix                   : 2001:db8:1:3::/64", "Valid time              :         5400", "Pref. time              :         2700",
			"Recursive DNS server     : 2001:db8:1:3::2", "MTU                      :         1500", "Route                    : 2001:db8:ff0::/44",
			"Source link-layer address: 90:1B:0E:12:34:56", "DNS search list          : example.com lab.example.net",
			"from fe80::921b:eff:fe12:3456",
		} {
			if !strings.Contains(squeeze(out), squeeze(want)) {
				t.Errorf("rdisc6 doesn't say %q", want)
			}
		}
	})
	t.Run("tshark", func(t *testing.T) {
		tshark := nstest.Tool(t, "tshark")
		n := newTestNet(t)
		n.quietGuest(t)
		cmd := exec.Command(tshark, "-n", "-l", "-i", guestLink, "-f", "icmp6 and ip6[40] == 134", "-a", "duration:30", "-c", "1", "-V")
		// It reads its user's settings, which may be another's or forbidden.
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
		var out, errs strings.Builder
		cmd.Stdout = &out
		capturing := &notify{w: &errs, text: "Capturing on", seen: make(chan struct{})}
		cmd.Stderr = capturing
		if err := n.guest.Start(cmd); err != nil {
			t.Fatal(err)
		}
		select {
		case <-capturing.seen:
		case <-time.After(2 * time.Minute):
			cmd.Process.Kill()
			cmd.Wait()
			t.Fatalf("tshark doesn't begin: %s", errs.String())
		}
		s, _ := n.serve(t, kernelConfig())
		<-s.Ready()
		// Even after its message the capture may have started late.
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(500 * time.Millisecond):
					n.rawSolicit(t, 255, slaac.LinkLocal(n.guestMAC).String(), 1)
				}
			}
		})
		err := cmd.Wait()
		close(stop)
		wg.Wait()
		text := out.String()
		if err != nil {
			t.Fatalf("tshark: %v\n%s", err, errs.String())
		}
		for _, want := range []string{
			"[Checksum Status: Good]", "Router lifetime (s): 1800",
			"ICMPv6 Option (Source link-layer address : 90:1b:0e:12:34:56)",
			"ICMPv6 Option (MTU : 1500)",
			"ICMPv6 Option (Prefix information : 2001:db8:1:3::/64)",
			"ICMPv6 Option (Route Information : High 2001:db8:ff0::/44)",
			"ICMPv6 Option (Route Information : Low ::/0)",
			"ICMPv6 Option (Recursive DNS Server 2001:db8:1:3::2 fe80::1)",
			"ICMPv6 Option (DNS Search List Option example.com lab.example.net)",
			"PREF64 Option", "64:ff9b::",
			"Captive-Portal", "urn:ietf:params:capport:unrestricted",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("tshark doesn't say %q", want)
			}
		}
		for _, bad := range []string{"Expert Info", "Malformed", "Unknown", "Incorrect"} {
			if strings.Contains(text, bad) {
				t.Errorf("tshark says %q", bad)
			}
		}
		if t.Failed() {
			t.Log(text)
		}
	})
}

// squeeze makes runs of spaces one.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

// notify closes seen when a text has gone by.
type notify struct {
	w    *strings.Builder
	text string
	seen chan struct{}
	mu   sync.Mutex
	done bool
}

func (n *notify) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.w.Write(b)
	if !n.done && strings.Contains(n.w.String(), n.text) {
		n.done = true
		close(n.seen)
	}
	return len(b), nil
}
