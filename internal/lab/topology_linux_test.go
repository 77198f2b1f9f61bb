package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
)

func TestTopology(t *testing.T) {
	l, ctx := newLab(t)
	node := func(name string) *Node {
		n := l.Node(name)
		if n == nil {
			t.Fatalf("no node %s", name)
		}
		return n
	}
	server := ServerIPv4().Addr()
	server6 := ServerIPv6().Addr()
	pings := []struct {
		from string
		to   netip.Addr
	}{
		{Provider, server}, {Provider, server6},
		{Client4, server}, {Client6, server6},
		{Server, node(Web4).IPv4()}, {Server, node(Web6).IPv6()},
		{Server, node(DNS).IPv4()}, {Server, node(DNS).IPv6()},
	}
	for _, p := range pings {
		a := probe.TryPing(ctx, node(p.from).NS(), p.to, 2*time.Second)
		if a.Outcome != probe.Answered {
			t.Errorf("ping from %s: %v", p.from, a)
		}
	}

	for _, f := range []struct {
		from, name, of string
		resolver       int
	}{
		{Server, NameV4Only, Web4, 0},
		{Server, NameV6Only, Web6, 1},
		{Client4, NameDual, Web4, 0},
		{Client6, NameDual, Web6, 1},
	} {
		for _, path := range []string{PathSmall, PathLarge} {
			types := []uint16{probe.TypeAAAA}
			if f.resolver == 0 {
				types = []uint16{probe.TypeA}
			}
			r, err := probe.Fetch(ctx, node(f.from).NS(), "http://"+f.name+path, probe.FetchOptions{
				Resolver: &probe.Resolver{Server: l.Resolvers()[f.resolver], Types: types},
			})
			if err != nil {
				t.Errorf("from %s: %v", f.from, err)
				continue
			}
			if want := Page(f.of, path); r.Status != 200 || !bytes.Equal(r.Body, want) {
				t.Errorf("http://%s%s from %s: status %d, %d bytes, want the %d of %s", f.name, path, f.from, r.Status, len(r.Body), len(want), f.of)
			}
		}
	}

	for _, to := range []netip.Addr{server, server6} {
		s, err := probe.StartSession(ctx, node(Provider).NS(), probe.SessionConfig{To: netip.AddrPortFrom(to, ServiceTCP)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.WaitEcho(ctx); err != nil {
			t.Error(err)
		}
		s.Stop()
	}

	if n, err := l.Dropped(); n != 0 || err != nil {
		t.Errorf("port security dropped %d frames, %v", n, err)
	}
	r := l.Judge().Report()
	if r.Frames == 0 || r.Offences() != 0 {
		t.Errorf("judge saw %d frames and %d offences: %v", r.Frames, r.Offences(), r.Findings)
	}
}

// TestServerLooksLikeAHost checks that what makes the set-up quick leaves no
// trace that the product could stumble over.
func TestServerLooksLikeAHost(t *testing.T) {
	l, _ := newLab(t)
	s := l.Server()
	addrs, err := s.Addrs(NIC)
	if err != nil {
		t.Fatal(err)
	}
	want := map[netip.Prefix]bool{ServerIPv6(): true, netip.PrefixFrom(linkLocal(ServerMAC()), 64): true}
	for _, a := range addrs {
		if !want[a.Prefix] || a.Tentative || a.Dynamic || a.Deprecated {
			t.Errorf("unexpected address %+v", a)
		}
		delete(want, a.Prefix)
	}
	for p := range want {
		t.Errorf("%v is missing", p)
	}
	link, err := s.link(NIC)
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.nl.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.Flags&unix.IFA_F_NODAD != 0 {
			t.Errorf("%v has the flag nodad", a)
		}
	}
	err = s.Do(func() error {
		for key, want := range map[string]string{
			"net/ipv6/conf/" + NIC + "/accept_dad":    "1",
			"net/ipv6/conf/default/accept_dad":        "1",
			"net/ipv6/conf/" + NIC + "/addr_gen_mode": "0",
			"net/ipv6/conf/all/forwarding":            "0",
			"net/ipv4/conf/all/forwarding":            "0",
		} {
			if got, err := sysctl.Read(key); err != nil || got != want {
				t.Errorf("%s = %q, %v, want %s", key, got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	gws, err := s.DefaultRoutes()
	if err != nil || len(gws) != 1 || gws[0] != GatewayIPv6() {
		t.Errorf("default routes %v, %v, want %v", gws, err, GatewayIPv6())
	}
}

func TestPortSecurity(t *testing.T) {
	l, ctx := newLab(t)
	s := l.Server()
	if a := probe.TryPing(ctx, s.NS(), GatewayIPv4(), 2*time.Second); a.Outcome != probe.Answered {
		t.Fatal(a)
	}
	foreign := wire.MAC{0x52, 0x54, 0x00, 1, 2, 3}
	const n = 5
	// A whole ARP request for the gateway, as a guest on a plain bridge sends it:
	// were it let in, the router would answer.
	gw, own := GatewayIPv4().As4(), [4]byte{203, 0, 113, 77}
	frame := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	frame = append(frame, foreign[:]...)
	frame = append(frame, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	frame = append(frame, foreign[:]...)
	frame = append(frame, own[:]...)
	frame = append(frame, 0, 0, 0, 0, 0, 0)
	frame = append(frame, gw[:]...)
	if err := s.Do(func() error { return sendFrames(NIC, frame, n) }); err != nil {
		t.Fatal(err)
	}
	wait(t, ctx, "the judge sees the foreign frames", func() bool {
		return l.Judge().Report().Counts[wire.ForeignSource] == n
	})
	if got, err := l.Dropped(); got != n || err != nil {
		t.Errorf("dropped %d frames, %v, want %d", got, err, n)
	}
	p := l.Node(Provider)
	link, err := p.link(Port)
	if err != nil {
		t.Fatal(err)
	}
	neighs, err := p.nl.NeighList(link.Attrs().Index, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range neighs {
		if bytes.Equal(e.HardwareAddr, foreign[:]) {
			t.Errorf("the router learned %v: the frames got in", e)
		}
	}
	if a := probe.TryPing(ctx, s.NS(), GatewayIPv4(), 2*time.Second); a.Outcome != probe.Answered {
		t.Errorf("the server itself is cut off: %v", a)
	}
}

// sendFrames sends a frame n times through a link of the calling thread's
// network namespace.
func sendFrames(link string, frame []byte, n int) error {
	i, err := net.InterfaceByName(link)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for range n {
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index}); err != nil {
			return fmt.Errorf("send frame: %w", err)
		}
	}
	return nil
}

func TestPrograms(t *testing.T) {
	l, _ := newLab(t)
	var out strings.Builder
	cmd := exec.Command("sh", "-c", "grep -c . /proc/net/dev; sleep 1000 & echo $!; wait")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout = w
	p, err := l.Run(l.Server(), cmd)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 256)
	for strings.Count(out.String(), "\n") < 2 {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatalf("after %q: %v", out.String(), err)
		}
		out.Write(buf[:n])
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	default:
		t.Error("Close left the program running")
	}
	// Its background child held the pipe as well: both are gone.
	r.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := r.Read(buf); err == nil || os.IsTimeout(err) {
		t.Errorf("the program's child lives on: %v", err)
	}
	if _, err := l.Run(l.Server(), exec.Command("true")); err == nil {
		t.Error("a program started in a lab that was closed")
	}
}

func TestServicesEndWithContext(t *testing.T) {
	nstest.Require(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l, err := New(ctx, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cancel()
	wait(t, t.Context(), "services end", func() bool {
		a := probe.TryTCP(t.Context(), l.Node(Provider).NS(), netip.AddrPortFrom(l.Node(Web4).IPv4(), 80), time.Second)
		return a.Outcome == probe.RefusedBy
	})
}

// wait polls until what becomes true.
func wait(t *testing.T, ctx context.Context, what string, is func() bool) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(end) || ctx.Err() != nil {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestDig has somebody else's resolver ask, over both transports and families.
func TestDig(t *testing.T) {
	nstest.Tool(t, "dig")
	l, _ := newLab(t)
	for _, c := range []struct {
		from, name, qtype, want string
		resolver                int
	}{
		{Client4, NameV4Only, "A", "203.0.114.10", 0},
		{Client6, NameV6Only, "AAAA", "2001:db8:2::10", 1},
		{Server, NameAlias, "A", "v4only.example.\n203.0.114.10", 0},
		{Server, NameNone, "A", "", 1},
	} {
		for _, transport := range []string{"+notcp", "+tcp"} {
			got := nstest.Output(t, l.Node(c.from).NS(), "dig", "+short", "+timeout=2", transport,
				"@"+l.Resolvers()[c.resolver].Addr().String(), c.name, c.qtype)
			if strings.TrimSpace(got) != c.want {
				t.Errorf("dig %s %s %s in %s: %q, want %q", transport, c.name, c.qtype, c.from, got, c.want)
			}
		}
	}
}
