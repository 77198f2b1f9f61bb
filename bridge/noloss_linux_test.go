package bridge_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/plan"
)

// stream sends numbered datagrams to the server, which sends them back, as fast
// as it can: some ten times closer together than pings at 1 kHz, so that a gap of
// a fraction of a millisecond shows, in either direction.
type stream struct {
	sent    atomic.Uint32
	arrived map[uint32]bool // at the server
	back    map[uint32]bool
	refused []error // by the server's kernel
	stop    func()
	mu      sync.Mutex
	at      []mark
}

// mark tells what ran from a datagram on.
type mark struct {
	from uint32
	what string
}

func (s *stream) mark(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, mark{s.sent.Load(), what})
}

// window is how many datagrams may be on their way.
const window = 64

func startStream(t *testing.T, from, to *netns.NS, addr netip.Addr) *stream {
	t.Helper()
	s := &stream{arrived: make(map[uint32]bool), back: make(map[uint32]bool)}
	at := netip.AddrPortFrom(addr, 9999)
	var server *net.UDPConn
	nstest.Do(t, to, func() (err error) {
		server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	})
	var client net.Conn
	nstest.Do(t, from, func() (err error) {
		client, err = net.Dial("udp", at.String())
		return err
	})
	var sending, receiving sync.WaitGroup
	var ended atomic.Bool
	var answered atomic.Uint32
	receiving.Go(func() {
		b := make([]byte, 64)
		for {
			n, peer, err := server.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			s.arrived[binary.BigEndian.Uint32(b)] = true
			if _, err := server.WriteToUDPAddrPort(b[:n], peer); err != nil && !errors.Is(err, net.ErrClosed) {
				s.refused = append(s.refused, err)
			}
		}
	})
	receiving.Go(func() {
		b := make([]byte, 64)
		for {
			n, err := client.Read(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil && n == 4 {
				s.back[binary.BigEndian.Uint32(b)] = true
				answered.Store(binary.BigEndian.Uint32(b))
			}
		}
	})
	sending.Go(func() {
		b := make([]byte, 4)
		for !ended.Load() {
			n := s.sent.Load()
			// No more than the sockets' buffers hold, but on when answers stay out.
			for i := 0; n > answered.Load()+window && i < 10; i++ {
				time.Sleep(20 * time.Microsecond)
			}
			binary.BigEndian.PutUint32(b, n)
			if _, err := client.Write(b); err != nil {
				continue // the next try has the same number
			}
			s.sent.Store(n + 1)
		}
	})
	s.stop = sync.OnceFunc(func() {
		ended.Store(true)
		sending.Wait()
		time.Sleep(200 * time.Millisecond)
		server.Close()
		client.Close()
		receiving.Wait()
	})
	t.Cleanup(s.stop)
	return s
}

// lost counts by what ran.
func (s *stream) lost() (all int, by map[string]int) {
	by = make(map[string]int)
	for n := range s.sent.Load() {
		if s.back[n] {
			continue
		}
		what := ""
		for _, m := range s.at {
			if m.from <= n {
				what = m.what
			}
		}
		if s.arrived[n] {
			what += " (the answer)"
		}
		by[what]++
		all++
	}
	return all, by
}

func TestNoFrameLost(t *testing.T) {
	for _, tc := range []struct{ name, addr, filter string }{
		{"IPv4", "203.0.113.10", "0"},
		{"IPv4, strict reverse path filter", "203.0.113.10", "1"},
		{"IPv6", "2001:db8:1:3::2", "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRental(t)
			nstest.Do(t, r.server, func() error {
				for _, link := range []string{"all", "default", nic} {
					if err := sysctl.Write("net/ipv4/conf/"+link+"/rp_filter", tc.filter); err != nil {
						return err
					}
				}
				return nil
			})
			before := r.capture(t)
			_, there := mustPlan(t, bridge.Config{Uplink: nic}, before)
			s := startStream(t, r.provider, r.server, netip.MustParseAddr(tc.addr))
			time.Sleep(100 * time.Millisecond)
			step := func(p plan.Plan, phases ...plan.Phase) {
				for _, ph := range phases {
					nstest.Do(t, r.server, func() error {
						return p.Run(context.Background(), ph, func(_, _ int, st plan.Step) { s.mark(st.Text) })
					})
				}
				s.mark("after")
			}
			step(there, plan.Apply)
			time.Sleep(100 * time.Millisecond)
			back, err := bridge.Plan(r.capture(t), before)
			if err != nil {
				t.Fatal(err)
			}
			s.mark("back")
			step(back, plan.Apply, plan.Confirm)
			time.Sleep(100 * time.Millisecond)
			s.stop()
			if len(s.refused) > 0 {
				t.Errorf("%d answers could not be sent: %v", len(s.refused), s.refused[0])
			}
			if lost, by := s.lost(); lost > 0 {
				t.Errorf("%d of %d datagrams lost: %v", lost, s.sent.Load(), by)
			} else {
				t.Logf("0 of %d lost", s.sent.Load())
			}
		})
	}
}
