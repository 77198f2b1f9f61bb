package dns64

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/dnsmsg"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// wireServer answers UDP datagrams and TCP messages with whatever datagrams a
// function makes of them.
func wireServer(t testing.TB, ns *netns.NS, udp, tcp func(query []byte) [][]byte) netip.AddrPort {
	t.Helper()
	var u net.PacketConn
	var l net.Listener
	nstest.Do(t, ns, func() (err error) {
		if u, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			return err
		}
		l, err = net.Listen("tcp", u.LocalAddr().String())
		return err
	})
	var wg sync.WaitGroup
	t.Cleanup(func() {
		u.Close()
		l.Close()
		wg.Wait()
	})
	wg.Go(func() {
		b := make([]byte, 4096)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			for _, reply := range udp(bytes.Clone(b[:n])) {
				u.WriteTo(reply, from)
			}
		}
	})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if q, err := readFrame(c); err == nil {
				for _, reply := range tcp(q) {
					c.Write(frame(reply))
				}
			}
			c.Close()
		}
	})
	return u.LocalAddr().(*net.UDPAddr).AddrPort()
}

// reply answers a query in wire form.
func reply(query []byte, change func(m *dnsmsg.Msg)) []byte {
	q, err := dnsmsg.Parse(query)
	if err != nil {
		panic(err)
	}
	m := response(q.Question[0], dnsmsg.RcodeSuccess)
	m.Id = q.Id
	if change != nil {
		change(m)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func nothing([]byte) [][]byte { return nil }

func TestExchange(t *testing.T) {
	ns := nstest.NS(t)
	good := func(m *dnsmsg.Msg) { m.Answer = append(m.Answer, rrA(m.Question[0].Name, "192.0.3.1", 60)) }
	forged := func(m *dnsmsg.Msg) { m.Answer = append(m.Answer, rrA(m.Question[0].Name, "6.6.6.6", 60)) }
	once := func(b []byte) [][]byte { return [][]byte{b} }
	q := question{Question: ask("www.some-long-name.example.", dnsmsg.TypeA)}
	for _, tt := range []struct {
		name     string
		udp, tcp func([]byte) [][]byte
		rcode    int
		// wantErr: by an error and not by the end of time, after byUDP and byTCP
		// questions.
		wantErr      bool
		byUDP, byTCP int32
		// giveUp: whoever asks gives up once the question has arrived.
		giveUp bool
	}{
		{name: "an answer", udp: func(b []byte) [][]byte { return once(reply(b, good)) }, tcp: nothing},
		{name: "forgeries before it: other ID, other name, other spelling, other type, a query, rubbish", tcp: nothing,
			udp: func(b []byte) [][]byte {
				otherID := reply(b, forged)
				otherID[0] ^= 1
				query := reply(b, forged)
				query[2] &^= 0x80
				return [][]byte{
					otherID,
					reply(b, func(m *dnsmsg.Msg) { m.Question[0].Name = "other.example."; forged(m) }),
					reply(b, func(m *dnsmsg.Msg) { m.Question[0].Name = swapCase(m.Question[0].Name); forged(m) }),
					reply(b, func(m *dnsmsg.Msg) { m.Question[0].Qtype = dnsmsg.TypeTXT; forged(m) }),
					query,
					append(bytes.Clone(b[:12]), 0xff),
					reply(b, good),
				}
			}},
		{name: "many forgeries: asked by TCP",
			udp: func(b []byte) [][]byte {
				var all [][]byte
				for range maxStrays {
					f := reply(b, forged)
					f[1] ^= 0xff
					all = append(all, f)
				}
				return append(all, reply(b, forged))
			},
			tcp: func(b []byte) [][]byte { return once(reply(b, good)) }},
		{name: "cut off: asked by TCP",
			udp: func(b []byte) [][]byte { return once(reply(b, func(m *dnsmsg.Msg) { m.Truncated = true })) },
			tcp: func(b []byte) [][]byte { return once(reply(b, good)) }},
		{name: "a server that spells the name its own way is asked by TCP",
			udp: func(b []byte) [][]byte {
				var all [][]byte
				for range maxStrays {
					all = append(all, reply(b, func(m *dnsmsg.Msg) { m.Question[0].Name = swapCase(m.Question[0].Name) }))
				}
				return all
			},
			tcp: func(b []byte) [][]byte {
				return once(reply(b, func(m *dnsmsg.Msg) { good(m); m.Question[0].Name = strings.ToUpper(m.Question[0].Name) }))
			}},
		{name: "a server without EDNS is asked without", tcp: nothing,
			udp: func(b []byte) [][]byte {
				m, err := dnsmsg.Parse(b)
				if err == nil && m.IsEdns0() != nil {
					return once(dnsmsg.ErrorReply(nil, b, dnsmsg.RcodeFormatError))
				}
				return once(reply(b, good))
			}},
		{name: "refused", tcp: nothing, rcode: dnsmsg.RcodeRefused,
			udp: func(b []byte) [][]byte {
				return once(reply(b, func(m *dnsmsg.Msg) { m.Rcode = dnsmsg.RcodeRefused; good(m) }))
			}},
		{name: "an empty REFUSED that repeats no question is not believed", tcp: nothing,
			udp: func(b []byte) [][]byte {
				return [][]byte{dnsmsg.ErrorReply(nil, b, dnsmsg.RcodeRefused), reply(b, good)}
			}},
		{name: "silence", udp: nothing, tcp: nothing, wantErr: true, byUDP: 1, giveUp: true},
		{name: "cut off, and nothing by TCP", tcp: nothing, wantErr: true, byUDP: 1, byTCP: 1,
			udp: func(b []byte) [][]byte { return once(reply(b, func(m *dnsmsg.Msg) { m.Truncated = true })) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			var byUDP, byTCP atomic.Int32
			to := wireServer(t, ns, func(b []byte) [][]byte {
				byUDP.Add(1)
				if tt.giveUp {
					cancel()
				}
				return tt.udp(b)
			}, func(b []byte) [][]byte {
				byTCP.Add(1)
				return tt.tcp(b)
			})
			m, err := exchange(ctx, dialIn(ns), to, q)
			if tt.wantErr {
				if err == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) || byUDP.Load() != tt.byUDP || byTCP.Load() != tt.byTCP {
					t.Errorf("got %v, %v, after %d questions by UDP, %d by TCP", m, err, byUDP.Load(), byTCP.Load())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Rcode != tt.rcode || len(m.Answer) != 1 {
				t.Fatalf("got %v", m)
			}
			if v4, _ := addrOf(m.Answer[0]); v4.String() != "192.0.3.1" {
				t.Errorf("the forgery %s was believed", v4)
			}
			if m.Question[0].Name != q.Name || m.Answer[0].Header().Name != q.Name {
				t.Errorf("random spelling is left over: %v", m)
			}
		})
	}
}

func dialIn(ns *netns.NS) dialFunc {
	return func(ctx context.Context, network string, to netip.AddrPort) (conn net.Conn, err error) {
		err = ns.Do(func() (err error) {
			var d net.Dialer
			conn, err = d.DialContext(ctx, network, to.String())
			return err
		})
		return conn, err
	}
}

func swapCase(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c|0x20 && c|0x20 <= 'z' {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}

// TestExchangeEntropy looks at what a blind forger would have to guess.
func TestExchangeEntropy(t *testing.T) {
	ns := nstest.NS(t)
	ids, spellings := make(map[uint16]bool), make(map[string]bool)
	ports := make(map[int]bool)
	var mu sync.Mutex
	to := wireServer(t, ns, func(b []byte) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		id, _, _ := dnsmsg.Peek(b)
		ids[id] = true
		m, _ := dnsmsg.Parse(b)
		spellings[m.Question[0].Name] = true
		return [][]byte{reply(b, nil)}
	}, nothing)
	dial := func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
		c, err := dialIn(ns)(ctx, network, to)
		if err == nil {
			ports[c.LocalAddr().(*net.UDPAddr).Port] = true
		}
		return c, err
	}
	const asked = 200
	for range asked {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if _, err := exchange(ctx, dial, to, question{Question: ask("www.example.com.", dnsmsg.TypeA)}); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	mu.Lock()
	defer mu.Unlock()
	// 200 of 65536 IDs, 28 thousand ports, 2^13 spellings: repeats are few.
	if len(ids) < 190 || len(ports) < 190 || len(spellings) < 180 {
		t.Errorf("%d questions had %d IDs, %d ports, %d spellings", asked, len(ids), len(ports), len(spellings))
	}
}

// TestStrangersGetNothing asks from an address that is no client's.
func TestStrangersGetNothing(t *testing.T) {
	ns := namespace(t)
	s, at := serve(t, ns, Config{Upstreams: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}})
	query, err := dnsmsg.Query(1, ask("ipv4only.arpa.", dnsmsg.TypeAAAA), dnsmsg.QueryOptions{RD: true})
	if err != nil {
		t.Fatal(err)
	}
	from := func(addr, network string) net.Conn {
		var c net.Conn
		nstest.Do(t, ns, func() (err error) {
			d := net.Dialer{Timeout: 5 * time.Second}
			if network == "udp" {
				d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(addr)}
			} else {
				d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(addr)}
			}
			c, err = d.Dial(network, at.String())
			return err
		})
		t.Cleanup(func() { c.Close() })
		return c
	}
	b := make([]byte, 1500)
	for _, bytes := range [][]byte{query, query[:5], {}} {
		c := from(strangerAddr, "udp")
		c.Write(bytes)
		c.SetDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a stranger's %d bytes by UDP: %d bytes, %v", len(bytes), n, err)
		}
	}
	c := from(strangerAddr, "tcp")
	c.SetDeadline(time.Now().Add(5 * time.Second))
	c.Write(frame(query))
	if n, err := c.Read(b); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a stranger by TCP: %d bytes, %v", n, err)
	}
	for _, network := range []string{"udp", "tcp"} {
		c := from(guestAddr, network)
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if network == "tcp" {
			c.Write(frame(query))
		} else {
			c.Write(query)
		}
		if n, err := c.Read(b); n == 0 || err != nil {
			t.Errorf("a client by %s: %d bytes, %v", network, n, err)
		}
	}
	if st := s.Stats(); st.Strangers != 4 {
		t.Errorf("counters: %+v", st)
	}
	// A response must not be answered, or two servers could go on for ever.
	c = from(guestAddr, "udp")
	c.Write(append([]byte{0, 1, 0x80, 0}, query[4:]...))
	c.SetDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("answer to a response: %d bytes, %v", n, err)
	}
}
