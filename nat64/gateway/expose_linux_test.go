package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/plan"
)

func TestExposeRefusals(t *testing.T) {
	guest, other := netip.MustParseAddr(testGuest), netip.MustParseAddr("2001:db8:1:3::11")
	extra := netip.MustParseAddr("203.0.113.77")
	for _, tt := range []struct {
		name string
		all  []Expose
		says string
	}{
		{"no guest", []Expose{{Port: 80}}, "want a guest's address in 2001:db8:1:3::/64"},
		{"nothing", []Expose{{Guest: guest}}, "want a port, or an address"},
		{"protocol", []Expose{{Guest: guest, Port: 80, Protocol: "sctp"}}, "neither tcp nor udp"},
		{"IPv6", []Expose{{Guest: guest, Address: guest, Port: 80}}, "can't be an address that clients use"},
		{"pool", []Expose{{Guest: guest, Address: netip.MustParseAddr("10.64.0.9"), Port: 80}}, "can't be an address that clients use"},
		{"whole address by protocol", []Expose{{Guest: guest, Address: extra, Protocol: "tcp"}}, "takes no protocol"},
		{"twice", []Expose{{Guest: guest, Port: 80}, {Guest: other, Port: 80, Protocol: "tcp"}}, "tcp port 80 leads to 2001:db8:1:3::10 already"},
		{"address twice", []Expose{{Guest: guest, Address: extra}, {Guest: other, Address: extra}}, "203.0.113.77 leads to"},
		{"port of a whole address", []Expose{{Guest: guest, Address: extra}, {Guest: other, Address: extra, Port: 80}}, "leads to 2001:db8:1:3::10 already, by 203.0.113.77"},
	} {
		c := sampleConfig()
		c.Expose = tt.all
		_, err := c.State(State{})
		var r *plan.Refusal
		if !errors.As(err, &r) || !strings.Contains(err.Error(), tt.says) || !errors.Is(err, ErrExpose) && !errors.Is(err, ErrGuests) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	c := sampleConfig()
	c.Expose = []Expose{
		{Guest: guest, Port: 80, Protocol: "tcp"}, {Guest: other, Port: 80, Protocol: "udp"},
		{Guest: other, Port: 81}, {Guest: guest, Address: extra},
		{Guest: guest, Address: netip.MustParseAddr("203.0.113.78"), Port: 81},
	}
	// One port of any address and of one address are the same packets.
	if _, err := c.State(State{}); err == nil {
		t.Error("port 81 twice: no refusal")
	}
	c.Expose = c.Expose[:4]
	if _, err := c.State(State{}); err != nil {
		t.Error(err)
	}
}

// dialFrom connects from one of several addresses.
func (n *network) dialFrom(t *testing.T, ns *netns.NS, from net.Addr, to string) (c net.Conn) {
	t.Helper()
	nstest.Do(t, ns, func() (err error) {
		c, err = (&net.Dialer{LocalAddr: from, Timeout: 5 * time.Second}).Dial(from.Network(), to)
		return err
	})
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// A guest serves the Internet's IPv4 clients, and sees who they are, by either
// path.
func TestExpose(t *testing.T) {
	// Documentation addresses are no clients.
	client := net.ParseIP(testWeb)
	for _, path := range []string{PathFast, PathPortable} {
		t.Run(path, func(t *testing.T) {
			n := newNetwork(t)
			if path == PathFast {
				n = newFastNetwork(t)
			}
			guest := netip.MustParseAddr(testGuest)
			const extra = "203.0.113.77"
			nstest.Output(t, n.host, "ip", "addr", "add", extra+"/32", "dev", "br0")
			n.cfg.Expose = []Expose{
				{Guest: guest, Port: 8080, GuestPort: 80, Protocol: "tcp"},
				{Guest: guest, Port: 5353, Protocol: "udp"},
				{Guest: guest, Address: netip.MustParseAddr(extra)},
			}
			n.apply(t)
			if k := n.apply(t); k != 0 {
				t.Errorf("second plan has %d steps", k)
			}
			g, _ := n.serve(t)

			l := n.listen(t, n.guest, "tcp6", "[::]:80")
			from := netip.MustParseAddr(testWeb6)
			for _, to := range []string{testHost4 + ":8080", extra + ":80"} {
				c := n.dialFrom(t, n.web, &net.TCPAddr{IP: client}, to)
				s, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				if got := s.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); got != from {
					t.Errorf("the guest sees %s, want %s", got, from)
				}
				want := content(1 << 20)
				go func() {
					s.Write(want)
					s.Close()
				}()
				got := make([]byte, 0, len(want))
				buf := make([]byte, 1<<16)
				for {
					k, err := c.Read(buf)
					got = append(got, buf[:k]...)
					if err != nil {
						break
					}
				}
				if string(got) != string(want) {
					t.Errorf("%s: %d octets of %d", to, len(got), len(want))
				}
			}

			u := n.packetConn(t, n.guest, "udp6", "[::]:5353")
			c := n.dialFrom(t, n.web, &net.UDPAddr{IP: client}, testHost4+":5353")
			c.Write([]byte("question"))
			buf := make([]byte, 100)
			k, peer, err := u.ReadFrom(buf)
			if err != nil || string(buf[:k]) != "question" {
				t.Fatalf("%q %v", buf[:k], err)
			}
			u.WriteTo([]byte("answer"), peer)
			if k, err = c.Read(buf); err != nil || string(buf[:k]) != "answer" {
				t.Fatalf("%q %v", buf[:k], err)
			}

			// Nothing else comes in.
			n.listen(t, n.guest, "tcp6", "[::]:81")
			nstest.Do(t, n.web, func() error {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: client}, Timeout: 300 * time.Millisecond}
				if c, err := d.Dial("tcp4", testHost4+":81"); err == nil {
					c.Close()
					t.Error("a port that is not exposed is open")
				}
				return nil
			})
			// Nor from those who are no clients: the rules keep them out by
			// themselves, once, so that their packets are never established.
			nstest.Do(t, n.web, func() error {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(testRouter)}, Timeout: 300 * time.Millisecond}
				if c, err := d.Dial("tcp4", testHost4+":8080"); err == nil {
					c.Close()
					t.Errorf("%s is a client", testRouter)
				}
				return nil
			})
			if n.counted(t, counterDenied) == 0 {
				t.Errorf("%s was not kept out by the rules", testRouter)
			}
			// And guests reach the host's address as little as before.
			if _, m := icmp6(t, n.guest, "64:ff9b::"+testHost4, 10, 5*time.Second); m == nil || m.Code != 1 {
				t.Errorf("the host's own address: %+v", m)
			}
			s := g.Stats()
			if s.Path != path {
				t.Errorf("path %s: %v", s.Path, s.FastPathError)
			}
			if path == PathFast && (s.To4.FastOctets < 2<<20 || s.To6.Packets > 2) {
				t.Errorf("not by the fast path: %+v %+v", s.To4, s.To6)
			}
			// What a plan made, a plan removes.
			n.cfg.Expose = nil
			n.apply(t)
			nstest.Do(t, n.web, func() error {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: client}, Timeout: 300 * time.Millisecond}
				if c, err := d.Dial("tcp4", testHost4+":8080"); err == nil {
					c.Close()
					t.Error("still exposed")
				}
				return nil
			})
		})
	}
}

// counted returns how many packets a counter of the rules has seen.
func (n *network) counted(t *testing.T, name string) (packets uint64) {
	t.Helper()
	nstest.Do(t, n.host, func() error {
		all, err := nft.Counters(context.Background(), nft.INet, TableName)
		for _, c := range all {
			if c.Name == name {
				packets = c.Packets
			}
		}
		return err
	})
	return packets
}

// A pool address that a rule names is its guest's, whoever was there before.
func TestExposedKeepTheirAddress(t *testing.T) {
	c := sampleConfig()
	guest := netip.MustParseAddr(testGuest)
	c.Expose = []Expose{{Guest: guest, Port: 80, Protocol: "tcp"}}
	s, err := c.State(State{})
	if err != nil {
		t.Fatal(err)
	}
	pool := newTable(DefaultPool(), nil).addr(preferred(guest, 65533) + firstSlot)
	want := fmt.Sprintf("dnat ip to %s:80", pool)
	if script := s.Table.Script(); !strings.Contains(script, want) {
		t.Errorf("no %q in\n%s", want, script)
	}
}
