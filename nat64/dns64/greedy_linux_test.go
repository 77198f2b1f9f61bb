package dns64

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/dnsmsg"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// greedyAddrs are the addresses of one guest that has many.
func greedyAddrs(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("2001:db8:1:3:bad::%x", i+1))
	}
	return all
}

func isGreedy(a netip.Addr) bool { return strings.HasPrefix(a.String(), "2001:db8:1:3:bad:") }

// deadNames is an upstream that never answers about names in dead.example.
func deadNames(t *testing.T, ns *netns.NS) netip.AddrPort {
	answer := func(b []byte) [][]byte {
		m, err := dnsmsg.Parse(b)
		if err != nil || strings.HasSuffix(dnsmsg.CanonicalName(m.Question[0].Name), ".dead.example.") {
			return nil
		}
		return [][]byte{reply(b, func(m *dnsmsg.Msg) { m.Answer = append(m.Answer, rrA(m.Question[0].Name, "192.0.3.1", 60)) })}
	}
	return wireServer(t, ns, answer, answer)
}

func dialFrom(t *testing.T, ns *netns.NS, network, from string, to netip.AddrPort) (c net.Conn) {
	t.Helper()
	nstest.Do(t, ns, func() (err error) {
		d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
		if network == "tcp" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		c, err = d.Dial(network, to.String())
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c
}

func queryFor(t *testing.T, id uint16, name string) []byte {
	t.Helper()
	b, err := dnsmsg.Query(id, ask(name, dnsmsg.TypeA), dnsmsg.QueryOptions{RD: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// isAnswered asks from another guest's address, which must be answered while the
// greedy one's queries wait.
func isAnswered(t *testing.T, ns *netns.NS, at netip.AddrPort) {
	t.Helper()
	c := dialFrom(t, ns, "udp", guestAddr, at)
	buf := make([]byte, 1500)
	for i := range 4 {
		if _, err := c.Write(queryFor(t, uint16(i), fmt.Sprintf("www%d.alive.example.", i))); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("the other guest's question %d is not answered: %v", i, err)
		}
		if m, err := dnsmsg.Parse(buf[:n]); err != nil || m.Rcode != dnsmsg.RcodeSuccess || len(m.Answer) != 1 {
			t.Errorf("answer %v, %v", m, err)
		}
	}
}

// One guest asks by many addresses for what no upstream answers; another guest
// is served as if nothing was.
func TestGreedyGuest(t *testing.T) {
	var named atomic.Int64
	for _, tt := range []struct {
		name      string
		addresses int
		cfg       Config
		most      int
	}{
		{name: "64 addresses", addresses: 64, most: 900},
		{name: "as one client", addresses: 300, most: 100,
			cfg: Config{MaxQueries: 200, MaxQueriesPerClient: 100, ClientID: func(a netip.Addr) string {
				named.Add(1)
				if isGreedy(a) {
					return "greedy"
				}
				return a.String()
			}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ns := nstest.NSWith(t, append(greedyAddrs(tt.addresses), guestAddr, serverAddr)...)
			cfg := tt.cfg
			cfg.Upstreams = []netip.AddrPort{deadNames(t, ns)}
			cfg.Timeout = time.Minute // longer than all of this
			s, at := serve(t, ns, cfg)
			const each = 24
			for i, a := range greedyAddrs(tt.addresses) {
				c := dialFrom(t, ns, "udp", a, at)
				for k := range each {
					if _, err := c.Write(queryFor(t, uint16(k), fmt.Sprintf("n%d.a%d.dead.example.", k, i))); err != nil {
						t.Fatal(err)
					}
				}
				// No faster than they are read, or the socket would lose some.
				for deadline := time.Now().Add(20 * time.Second); s.Stats().UDPQueries < uint64((i+1)*each); time.Sleep(time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("%d of %d queries arrived", s.Stats().UDPQueries, (i+1)*each)
					}
				}
			}
			if s.Stats().Dropped == 0 {
				t.Error("no limit was reached")
			}
			if n := s.queries.Total(); n > tt.most {
				t.Errorf("the greedy guest has %d queries being worked on", n)
			}
			isAnswered(t, ns, at)
		})
	}
	if named.Load() == 0 {
		t.Error("nobody was asked who is behind an address")
	}
}

// The same with connections.
func TestGreedyConnections(t *testing.T) {
	const addresses = 48
	ns := nstest.NSWith(t, append(greedyAddrs(addresses), guestAddr, serverAddr)...)
	s, at := serve(t, ns, Config{
		Upstreams: []netip.AddrPort{deadNames(t, ns)}, IdleTimeout: time.Minute,
	})
	var held []net.Conn
	for _, a := range greedyAddrs(addresses) {
		for range 8 {
			c := dialFrom(t, ns, "tcp", a, at)
			held = append(held, c)
		}
	}
	// Accepted or closed, all of them were judged when the last one was.
	for deadline := time.Now().Add(20 * time.Second); int(s.Stats().Dropped)+s.conns.Total() < len(held); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d dropped, %d held, of %d", s.Stats().Dropped, s.conns.Total(), len(held))
		}
	}
	c := dialFrom(t, ns, "tcp", guestAddr, at)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(frame(queryFor(t, 1, "www.alive.example."))); err != nil {
		t.Fatal(err)
	}
	if _, err := readFrame(c); err != nil {
		what := "is not answered"
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
			what = "was closed"
		}
		t.Errorf("the other guest's connection %s: %v", what, err)
	}
}
