package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

const wire = "wire0"

// pair is a host and its router on one wire.
type pair struct {
	t            *testing.T
	host, router *netns.NS
}

func newPair(t *testing.T) pair {
	t.Helper()
	t.Parallel()
	p := pair{t, nstest.NS(t), nstest.NS(t)}
	nstest.Do(t, p.host, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = wire
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: wire, PeerNamespace: netlink.NsFd(int(p.router.File().Fd()))})
	})
	for ns, addrs := range map[*netns.NS][]string{
		p.host:   {"203.0.113.10/24", "2001:db8:1:3::2/64", "fe80::2/64"},
		p.router: {"203.0.113.1/24", "2001:db8:1:3::1/64", "fe80::1/64"},
	} {
		nstest.Do(t, ns, func() error {
			if err := sysctl.Write("net/ipv6/conf/"+wire+"/addr_gen_mode", "1"); err != nil {
				return err
			}
			l, err := netlink.LinkByName(wire)
			if err != nil {
				return err
			}
			if err := netlink.LinkSetUp(l); err != nil {
				return err
			}
			for _, a := range addrs {
				if err := ifaddr.AddText(&netlink.Handle{}, l, a); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return p
}

// cut takes the router's end of the wire down, or up again.
func (p pair) cut(down bool) {
	p.t.Helper()
	nstest.Do(p.t, p.router, func() error {
		l, err := netlink.LinkByName(wire)
		if err != nil {
			return err
		}
		if down {
			// The addresses stay, so that it is as before when it comes back.
			if err := sysctl.Write("net/ipv6/conf/"+wire+"/keep_addr_on_down", "1"); err != nil {
				return err
			}
			return netlink.LinkSetDown(l)
		}
		return netlink.LinkSetUp(l)
	})
}

func (p pair) run(c Check, patience time.Duration) (err error) {
	p.t.Helper()
	nstest.Do(p.t, p.host, func() error {
		err = Run(context.Background(), []Check{c}, patience)[0].Err
		return nil
	})
	return err
}

func TestGateway(t *testing.T) {
	p := newPair(t)
	gateways := []string{"203.0.113.1", "fe80::1", "2001:db8:1:3::1"}
	for _, g := range gateways {
		if err := p.run(Gateway(netip.MustParseAddr(g), "br0", wire), 5*time.Second); err != nil {
			t.Errorf("%s: %v", g, err)
		}
	}
	for _, g := range []string{"203.0.113.2", "fe80::99", "203.0.113.10", "2001:db8:1:3::2"} {
		if err := p.run(Gateway(netip.MustParseAddr(g), wire), 300*time.Millisecond); err == nil {
			t.Errorf("%s, which no neighbour has, answers", g)
		}
	}
	if err := p.run(Gateway(netip.MustParseAddr("fe80::1"), "br0", "enp9s0"), 0); err == nil || err.Error() != "there is no br0 and no enp9s0" {
		t.Errorf("without a link: %v", err)
	}
	if err := p.run(Gateway(netip.MustParseAddr("fe80::1"), "lo"), 0); err == nil || err.Error() != "lo is no Ethernet link" {
		t.Errorf("on lo: %v", err)
	}
	p.cut(true)
	// The kernel's neighbour table still has them.
	for _, g := range gateways {
		if err := p.run(Gateway(netip.MustParseAddr(g), wire), 300*time.Millisecond); err == nil {
			t.Errorf("%s answers over a cut wire", g)
		}
	}
	p.cut(false)
	if err := p.run(Gateway(netip.MustParseAddr("203.0.113.1"), wire), 10*time.Second); err != nil {
		t.Errorf("over the mended wire: %v", err)
	}
}

func TestDNS(t *testing.T) {
	p := newPair(t)
	answer := func(q []byte, rcode byte, question bool) []byte {
		a := append([]byte(nil), q...)
		a[2] |= flagResponse
		a[3] = rcode
		if !question {
			a[5] = 0
			a = a[:headerSize]
		}
		return a
	}
	for _, tc := range []struct {
		name    string
		answers func(n int, q []byte) [][]byte // to the nth question
		want    string                         // of the error; "" where it holds
	}{
		{"answers", func(_ int, q []byte) [][]byte { return [][]byte{answer(q, 0, true)} }, ""},
		{"refuses", func(_ int, q []byte) [][]byte { return [][]byte{answer(q, 5, false)} }, ""},
		{"loses two", func(n int, q []byte) [][]byte {
			if n < 3 {
				return nil
			}
			return [][]byte{answer(q, 0, true)}
		}, ""},
		{"strangers first", func(_ int, q []byte) [][]byte {
			wrong := answer(q, 0, true)
			wrong[0]++
			other := answer(q, 0, true)
			other[len(other)-3]++
			return [][]byte{{1}, q, wrong, other, answer(q, 3, true)}
		}, ""},
		{"fails", func(_ int, q []byte) [][]byte { return [][]byte{answer(q, serverFailure, true)} }, "it answers that it failed (SERVFAIL)"},
		{"silent", func(int, []byte) [][]byte { return nil }, "no answer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var conn *net.UDPConn
			nstest.Do(t, p.router, func() (err error) {
				conn, err = net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8:1:3::1]:53")))
				return err
			})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				buf := make([]byte, 512)
				for n := 1; ; n++ {
					k, from, err := conn.ReadFromUDPAddrPort(buf)
					if err != nil {
						return
					}
					for _, a := range tc.answers(n, buf[:k]) {
						conn.WriteToUDPAddrPort(a, from)
					}
				}
			}()
			defer func() { conn.Close(); <-ended }()
			patience := 20 * time.Second
			if tc.name == "silent" {
				patience = 1500 * time.Millisecond
			}
			err := p.run(DNS(netip.MustParseAddrPort("[2001:db8:1:3::1]:53")), patience)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
	t.Run("nobody", func(t *testing.T) {
		if err := p.run(DNS(netip.MustParseAddrPort("203.0.113.1:53")), 20*time.Second); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Error(err)
		}
	})
}

// connect makes a TCP connection from the router to a listener on the host's
// wildcard address, as sshd's is, where nothing is read until the test does.
func (p pair) connect(to string) (host, router net.Conn) {
	p.t.Helper()
	var l net.Listener
	nstest.Do(p.t, p.host, func() (err error) { l, err = net.Listen("tcp", ":0"); return err })
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	nstest.Do(p.t, p.router, func() (err error) {
		router, err = net.Dial("tcp", net.JoinHostPort(to, port))
		return err
	})
	if host, err = l.Accept(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { host.Close(); router.Close() })
	return host, router
}

func connectionOf(c net.Conn) Connection {
	end := func(a net.Addr) netip.AddrPort {
		ap := a.(*net.TCPAddr).AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return Connection{Local: end(c.LocalAddr()), Peer: end(c.RemoteAddr())}
}

func TestSession(t *testing.T) {
	for _, to := range []string{"203.0.113.10", "2001:db8:1:3::2"} {
		t.Run(to, func(t *testing.T) {
			p := newPair(t)
			host, router := p.connect(to)
			check := Session(connectionOf(host))
			if err := p.run(check, time.Second); err != nil {
				t.Errorf("at rest: %v", err)
			}
			if _, err := host.Write([]byte("Applied.\n")); err != nil {
				t.Fatal(err)
			}
			if err := p.run(check, 2*time.Second); err != nil {
				t.Errorf("acknowledged: %v", err)
			}
			p.cut(true)
			if _, err := host.Write([]byte("Taken back in 120 s\n")); err != nil {
				t.Fatal(err)
			}
			if err := p.run(check, 900*time.Millisecond); err == nil || !strings.Contains(err.Error(), "not acknowledged") {
				t.Errorf("over a cut wire: %v", err)
			}
			p.cut(false)
			if err := p.run(check, 20*time.Second); err != nil {
				t.Errorf("over the mended wire: %v", err)
			}
			if _, err := io.ReadFull(router, make([]byte, 29)); err != nil {
				t.Fatal(err)
			}
			router.Close()
			if err := p.run(check, 300*time.Millisecond); !errors.Is(err, errClosed) {
				t.Errorf("closed by the peer: %v", err)
			}
		})
	}
}

func TestSessionOf(t *testing.T) {
	p := newPair(t)
	host, router := p.connect("203.0.113.10")
	want := connectionOf(host)
	// As under sudo: the shell knows the connection, its child does not.
	shell := exec.Command("/bin/sh", "-c", "env -i sleep 60 & echo $!; wait")
	shell.Env = []string{"PATH=" + os.Getenv("PATH"), fmt.Sprintf("SSH_CONNECTION=%s %d %s %d", want.Peer.Addr(), want.Peer.Port(), want.Local.Addr(), want.Local.Port())}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.host.Start(shell); err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Fscan(out, &child); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c, err := os.FindProcess(child); err == nil {
			c.Kill()
		}
		shell.Process.Kill()
		shell.Wait()
	})
	ask := func(pid int) (c Connection, err error) {
		nstest.Do(t, p.host, func() error {
			c, err = SessionOf(context.Background(), pid)
			return nil
		})
		return c, err
	}
	for _, pid := range []int{shell.Process.Pid, child} {
		if c, err := ask(pid); err != nil || c != want {
			t.Errorf("of process %d: %v, %v, want %v", pid, c, err, want)
		}
	}
	if c, err := ask(1); !errors.Is(err, ErrNoSession) {
		t.Errorf("of process 1: %v, %v", c, err)
	}
	router.Close()
	host.Close()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := ask(child)
		if errors.Is(err, ErrNoSession) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("of a closed one: %v, %v", c, err)
		}
	}
}
