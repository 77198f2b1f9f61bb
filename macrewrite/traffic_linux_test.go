package macrewrite

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// judge reads every frame that reaches the provider and counts what should
// not be among them.
type judge struct {
	mu       sync.Mutex
	frames   int
	findings map[string]int
	done     chan struct{}
	stopped  sync.WaitGroup
}

func newJudge(t *testing.T, n *network) *judge {
	fd := n.socket(t, provider)
	j := &judge{findings: map[string]int{}, done: make(chan struct{})}
	j.stopped.Go(func() {
		buf := make([]byte, 4096)
		for {
			k, from, err := unix.Recvfrom(fd, buf, 0)
			if err == nil {
				if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING {
					j.look(n, buf[:k])
				}
				continue
			}
			select {
			case <-j.done:
				return
			default:
				unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20)
			}
		}
	})
	t.Cleanup(j.stop)
	return j
}

func (j *judge) look(n *network, f []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.frames++
	if slaac.MAC(f[6:12]) != n.mac[host] {
		j.findings["foreign source MAC "+slaac.MAC(f[6:12]).String()]++
	}
	for _, g := range []place{guest1, guest2} {
		if bytes.Contains(f[14:], n.mac[g][:]) {
			j.findings["MAC of "+g.String()+" inside a payload"]++
		}
	}
	// Ethertype IPv6, next header ICMPv6, and the types of neighbour discovery
	// but those the host needs itself.
	if len(f) < 14+40+24 || f[12] != 0x86 || f[13] != 0xdd || f[20] != 58 {
		return
	}
	switch typ := f[54]; typ {
	case 133, 134, 137:
		j.findings[fmt.Sprintf("ICMPv6 type %d", typ)]++
	case 135, 136:
		target := netip.AddrFrom16([16]byte(f[62:78]))
		if sample().Prefix.Contains(target) && target != ip("2001:db8:1:3::2") && target != ip("2001:db8:1:3:921b:eff:fe12:3456") {
			j.findings["neighbour discovery about "+target.String()]++
		}
	}
}

func (j *judge) stop() {
	select {
	case <-j.done:
	default:
		close(j.done)
	}
	j.stopped.Wait()
}

// sentence stops the judge and returns how many frames there were, and its
// findings.
func (j *judge) sentence() (int, map[string]int) {
	j.stop()
	return j.frames, j.findings
}

// live gives the network its addresses and routes, the provider's way: the
// /64 is routed to the server's link-local address.
func (n *network) live(t *testing.T) {
	t.Helper()
	route := func(h *netlink.Handle, l netlink.Link, dst, via string) error {
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(via), Flags: int(netlink.FLAG_ONLINK)}
		if dst != "" {
			_, r.Dst, _ = net.ParseCIDR(dst)
		}
		if err := h.RouteAdd(r); err != nil {
			return fmt.Errorf("add route to %q: %w", dst, err)
		}
		return nil
	}
	setUp := func(p place, addrs []string, routes map[string]string) {
		nstest.Do(t, n.ns[p], func() error {
			if err := sysctl.Write("net/ipv6/conf/all/forwarding", "1"); err != nil {
				return err
			}
			h, err := netlink.NewHandle()
			if err != nil {
				return err
			}
			defer h.Close()
			l, err := h.LinkByName(n.iface[p])
			if err != nil {
				return err
			}
			if err := h.LinkSetUp(l); err != nil {
				return err
			}
			for _, a := range addrs {
				if err := ifaddr.AddText(h, l, a); err != nil {
					return err
				}
			}
			for dst, via := range routes {
				if err := route(h, l, dst, via); err != nil {
					return err
				}
			}
			return nil
		})
	}
	setUp(host, []string{"fe80::921b:eff:fe12:3456/64", "2001:db8:1:3::2/64", "2001:db8:1:3:921b:eff:fe12:3456/64", "203.0.113.10/24"}, map[string]string{"": "fe80::1"})
	setUp(provider, []string{"fe80::1/64", "2001:db8:2::9/128", "203.0.113.1/24"}, map[string]string{"2001:db8:1:3::/64": "fe80::921b:eff:fe12:3456"})
}

// advertise runs radvd somewhere until the test ends.
func (n *network) advertise(t *testing.T, p place, prefix string) {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "radvd.conf")
	text := fmt.Sprintf("interface %s { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; prefix %s { }; };\n", n.iface[p], prefix)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nstest.Tool(t, "radvd"), "-n", "-C", conf, "-p", filepath.Join(dir, "pid"), "-m", "stderr")
	var out bytes.Buffer
	cmd.Stderr = &out
	// radvd's helper process dies with the session it leads.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.ns[p].Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("radvd at the %s: %s", p, out.String())
		}
	})
}

// configured waits until a guest has its address and default route, and
// returns both.
func (n *network) configured(t *testing.T, p place) (addr, router string) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		nstest.Do(t, n.ns[p], func() error {
			h, err := netlink.NewHandle()
			if err != nil {
				return err
			}
			defer h.Close()
			l, err := h.LinkByName("eth0")
			if err != nil {
				return err
			}
			addrs, err := h.AddrList(l, netlink.FAMILY_V6)
			if err != nil {
				return err
			}
			routes, err := h.RouteList(l, netlink.FAMILY_V6)
			if err != nil {
				return err
			}
			addr, router = "", ""
			for _, a := range addrs {
				if a.IP.IsGlobalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
					addr += a.IP.String()
				}
			}
			for _, r := range routes {
				if r.Dst == nil || r.Dst.String() == "::/0" {
					router += r.Gw.String()
				}
			}
			return nil
		})
		if addr != "" && router != "" {
			return addr, router
		}
	}
	t.Fatalf("%s: address %q, router %q after 15 s", p, addr, router)
	return "", ""
}

// ping returns how many of count pings were answered.
func (n *network) ping(t *testing.T, from place, to string, count int, interval string) int {
	t.Helper()
	return n.pingFrom(t, from, "", to, count, interval)
}

// pingFrom does it from a certain address.
func (n *network) pingFrom(t *testing.T, from place, source, to string, count int, interval string) int {
	t.Helper()
	args := []string{"-n", "-q", "-c", fmt.Sprint(count), "-i", interval, "-W", "2"}
	if source != "" {
		args = append(args, "-I", source)
	}
	cmd := exec.Command(nstest.Tool(t, "ping"), append(args, to)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.ns[from].Start(cmd); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // it fails if pings are lost, which is counted here
	m := regexp.MustCompile(`(\d+) received`).FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("ping %s from %s: %s", to, from, out.String())
	}
	var got int
	fmt.Sscan(m[1], &got)
	return got
}

// TestTraffic runs the kernels' own traffic over the edge: autoconfiguration
// with a router on both sides, neighbour discovery, pings in all directions.
// Everything works, and the provider sees the host alone.
func TestTraffic(t *testing.T) {
	nstest.Tool(t, "radvd")
	n := newNetwork(t, false, must(t, sample()))
	j := newJudge(t, n)
	n.live(t)
	n.advertise(t, host, "2001:db8:1:3::/64")
	n.advertise(t, provider, "2001:db8:bad::/64")
	n.up(t)

	guestAddr := map[place]string{}
	for _, p := range []place{guest1, guest2} {
		addr, router := n.configured(t, p)
		want := fmt.Sprintf("2001:db8:1:3:5054:ff:fe00:%x", n.mac[p][5])
		if addr != want || router != slaac.LinkLocal(n.mac[host]).String() {
			t.Errorf("%s has address %s by router %s, want %s by the host alone", p, addr, router, want)
		}
		guestAddr[p] = addr
	}
	const pings = 12
	for _, x := range []struct {
		from place
		to   string
	}{
		{guest1, "2001:db8:2::9"}, {guest2, "2001:db8:2::9"}, {guest1, guestAddr[guest2]},
		{guest1, "2001:db8:1:3::2"}, {guest1, "fe80::921b:eff:fe12:3456%eth0"},
		{provider, guestAddr[guest1]}, {provider, guestAddr[guest2]},
		{provider, "2001:db8:1:3::2"}, {provider, "2001:db8:1:3:921b:eff:fe12:3456"}, {provider, "fe80::921b:eff:fe12:3456%prov0"},
		{provider, "203.0.113.10"}, {host, "203.0.113.1"}, {host, "fe80::1%br0"}, {host, "2001:db8:2::9"},
		{host, guestAddr[guest1]},
	} {
		if got := n.ping(t, x.from, x.to, pings, "0.01"); got != pings {
			t.Errorf("ping %s from %s: %d of %d answered", x.to, x.from, got, pings)
		}
	}
	// Nobody answers to these.
	if got := n.ping(t, provider, "2001:db8:1:3::dead", 1, "0.01"); got != 0 {
		t.Error("an address of nobody answers")
	}

	counted, err := n.readCounters()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("counters: %v", counted)
	for _, r := range []Reason{GuestToUplink, UplinkToGuest, RAFromUplink, RedirectOut, NDInsidePrefixToUplink, RAToUplink} {
		if counted[r] == 0 {
			t.Errorf("%s: nothing counted; the test lost its sense", r)
		}
	}
	frames, findings := j.sentence()
	t.Logf("the provider saw %d frames", frames)
	if len(findings) > 0 || frames < 100 {
		t.Errorf("the provider saw %d frames, among them %v", frames, findings)
	}
}

// TestTrafficWithoutRules shows that the judge of TestTraffic finds what there
// is to be found.
func TestTrafficWithoutRules(t *testing.T) {
	nstest.Tool(t, "radvd")
	n := newNetwork(t, false, State{})
	j := newJudge(t, n)
	n.live(t)
	n.advertise(t, host, "2001:db8:1:3::/64")
	n.up(t)
	n.configured(t, guest1)
	n.ping(t, guest1, "2001:db8:2::9", 12, "0.1")
	_, findings := j.sentence()
	t.Logf("found: %v", findings)
	var all strings.Builder
	for f := range findings {
		all.WriteString(f + "\n")
	}
	for _, want := range []string{"foreign source MAC 52:54", "MAC of guest1 inside a payload", "ICMPv6 type 134", "neighbour discovery about 2001:db8:1:3:"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the judge does not find %q", want)
		}
	}
}

// TestReplaceUnderTraffic changes guests and tables again and again while pings
// cross the edge and a guest sends against it: no ping is lost and nothing gets
// through.
func TestReplaceUnderTraffic(t *testing.T) {
	n := newNetwork(t, false, must(t, sample()))
	j := newJudge(t, n)
	n.live(t)
	n.up(t)
	nstest.Do(t, n.ns[guest1], func() error {
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		l, err := h.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err := ifaddr.AddText(h, l, "2001:db8:1:3:5054:ff:fe00:11/64"); err != nil {
			return err
		}
		return h.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP("2001:db8:1:3::2")})
	})
	if got := n.ping(t, guest1, "2001:db8:2::9", 3, "0.01"); got != 3 {
		t.Fatalf("%d of 3 pings answered before the test", got)
	}

	done := make(chan struct{})
	var wg sync.WaitGroup
	var replaced, sent atomic.Int64
	wg.Go(func() {
		// Guests come and go, which changes elements, and the host's addresses
		// change, which changes the table.
		some, more, other := sample(), sample(), sample()
		some.Guests, more.Guests = guestsOf(n)[:1], guestsOf(n)
		other.Guests, other.Host = some.Guests, other.Host[1:]
		states := []State{must(t, some), must(t, more), must(t, some), must(t, other)}
		from := must(t, sample())
		for ; ; replaced.Add(1) {
			select {
			case <-done:
				return
			default:
			}
			to := states[int(replaced.Load())%len(states)]
			p, err := Plan(from, to)
			if err == nil {
				err = n.ns[host].Do(func() error { return p.Run(context.Background(), plan.Apply, nil) })
			}
			if err != nil {
				t.Error(err)
				return
			}
			from = to
		}
	})
	fd, hears := n.socket(t, guest2), n.socket(t, guest1)
	wg.Go(func() {
		// One may go to the other guest but not to the provider, the other nowhere.
		ll, all := slaac.LinkLocal(n.mac[guest2]), ip("ff02::1")
		mine := [][]byte{
			eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 0x16}, n.mac[guest2], v6, icmp(ll, ip("ff02::16"), 143)),
			eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 1}, n.mac[guest2], v6, icmp(ll, all, 134)),
		}
		for ; ; sent.Add(1) {
			select {
			case <-done:
				return
			default:
			}
			unix.Send(fd, mine[sent.Load()%2], 0)
			if sent.Load()%64 == 63 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	// A busy machine may need longer for enough of both.
	const fewTables, fewBroadcasts = 10, 1000
	pings, got := 0, 0
	for limit := time.Now().Add(time.Minute); pings == 0 || (replaced.Load() < fewTables || sent.Load() < fewBroadcasts) && time.Now().Before(limit); {
		pings += 500
		got += n.ping(t, guest1, "2001:db8:2::9", 500, "0.002")
	}
	close(done)
	wg.Wait()
	reports := 0
	buf := make([]byte, 2048)
	for {
		k, _, err := unix.Recvfrom(hears, buf, 0)
		if err == unix.EAGAIN {
			break
		}
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if p, ok := parsePacket(buf[:k]); ok && p.srcMAC == n.mac[guest2] {
			if p.icmp[0] == 134 {
				t.Error("a guest's router advertisement came through")
				break
			}
			reports++
		}
	}
	if reports == 0 {
		t.Error("the other guest heard nothing; the test lost its sense")
	}
	frames, findings := j.sentence()
	t.Logf("%d of %d pings answered, %d tables, %d broadcasts against the edge, %d frames at the provider", got, pings, replaced.Load(), sent.Load(), frames)
	if got != pings {
		t.Errorf("%d of %d pings answered", got, pings)
	}
	if len(findings) != 0 {
		t.Errorf("the provider saw %v", findings)
	}
	if replaced.Load() < fewTables || sent.Load() < fewBroadcasts {
		t.Errorf("only %d tables and %d broadcasts", replaced.Load(), sent.Load())
	}
}
