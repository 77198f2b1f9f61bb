package ra

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mdlayher/ndp"
)

// fakeEdge is a link and a socket without a kernel. Its methods are called
// inside a synctest bubble, whose clock moves when everybody waits.
type fakeEdge struct {
	mu       sync.Mutex
	there    Link
	missing  error // why link fails
	refuse   error // why attach fails
	sendErr  error
	attached int
	log      []sentFrame

	packets chan fakePacket
	wakes   chan struct{}
	events  chan struct{}
	closed  chan struct{}
	once    sync.Once
	// receiveErr counts down errors that receive is to return.
	receiveErr atomic.Int64
}

type sentFrame struct {
	at    time.Time
	to    netip.Addr
	frame []byte
}

type fakePacket struct {
	packet
	b []byte
}

func newFakeEdge() *fakeEdge {
	return &fakeEdge{
		there:   testLink(),
		packets: make(chan fakePacket, 100_000),
		wakes:   make(chan struct{}, 1),
		events:  make(chan struct{}, 1),
		closed:  make(chan struct{}),
	}
}

func (f *fakeEdge) attach(l Link) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return f.refuse
	}
	f.attached++
	return nil
}
func (f *fakeEdge) detach()          {}
func (f *fakeEdge) greet(bool) error { return nil }
func (f *fakeEdge) send(b []byte, to netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sendErr != nil {
		return f.sendErr
	}
	f.log = append(f.log, sentFrame{time.Now(), to, b})
	return nil
}
func (f *fakeEdge) receive(b []byte, until time.Time) (packet, error) {
	if f.receiveErr.Add(-1) >= 0 {
		return packet{}, errors.New("network is down")
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case p := <-f.packets:
		copy(b, p.b)
		return p.packet, nil
	case <-t.C:
	case <-f.wakes:
	case <-f.closed:
		return packet{}, os.ErrClosed
	}
	return packet{}, errIdle
}
func (f *fakeEdge) wake() {
	select {
	case f.wakes <- struct{}{}:
	default:
	}
}
func (f *fakeEdge) link() (Link, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.there, f.missing
}
func (f *fakeEdge) wait() error {
	select {
	case <-f.events:
		return nil
	case <-f.closed:
		return os.ErrClosed
	}
}
func (f *fakeEdge) close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// change alters the fake and tells the watcher.
func (f *fakeEdge) change(fn func()) {
	f.mu.Lock()
	fn()
	f.mu.Unlock()
	f.events <- struct{}{}
}

// solicit puts a solicitation on the fake wire.
func (f *fakeEdge) solicit(from string, hops int, b ...byte) {
	if b == nil {
		b = []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}
	}
	f.packets <- fakePacket{packet{n: len(b), from: netip.MustParseAddr(from), index: testLink().Index, hopLimit: hops}, b}
}

// arrive puts a multicast listener report on the fake wire, as a host sends it
// that has no address yet.
func (f *fakeEdge) arrive(from string, hops int) {
	b := []byte{typeReport, 0, 0, 0, 0, 0, 0, 0}
	f.packets <- fakePacket{packet{n: len(b), from: netip.MustParseAddr(from), index: testLink().Index, hopLimit: hops}, b}
}

// sent returns what was sent since the last call.
func (f *fakeEdge) sent() []sentFrame {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log = nil
	return log
}

// bubble runs a server on a fake edge inside a synctest bubble. The function
// it is given gets a stop that ends the server and waits for it.
func bubble(t *testing.T, cfg Config, fn func(f *fakeEdge, s *Server, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEdge()
		s := newServer(cfg, f, f, fixed(0.5))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		stopped := false
		stop := func() {
			if stopped {
				return
			}
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		}
		defer stop()
		synctest.Wait()
		fn(f, s, stop)
	})
}

func TestFiveBadSolicitationsDontMakeItDeaf(t *testing.T) {
	bubble(t, Config{Interface: "br0"}, func(f *fakeEdge, s *Server, _ func()) {
		time.Sleep(10 * time.Second)
		f.sent()
		for range 50 {
			f.solicit("fe80::bad", 64)
		}
		f.solicit("fe80::900d", 255)
		time.Sleep(time.Second)
		got := f.sent()
		if len(got) != 1 || got[0].to != netip.MustParseAddr("fe80::900d") {
			t.Errorf("sent %v", got)
		}
		if c := s.Stats(); c.BadHopLimit != 50 || c.Solicitations != 1 || c.Unicast != 1 {
			t.Errorf("%+v", c)
		}
	})
}

func TestStormFromNobody(t *testing.T) {
	bubble(t, Config{Interface: "br0", SolicitedDelay: Zero}, func(f *fakeEdge, s *Server, _ func()) {
		for range 600 {
			for range 100 {
				f.solicit("::", 255)
			}
			time.Sleep(100 * time.Millisecond)
		}
		got := f.sent()
		for i := 1; i < len(got); i++ {
			if d := got[i].at.Sub(got[i-1].at); got[i].to != allNodes() || d < 3*time.Second {
				t.Errorf("to %s, %s after the one before", got[i].to, d)
			}
		}
		// In 60 s, one at 0 s and then one every 3 s or a little more.
		if len(got) < 18 || len(got) > 21 {
			t.Errorf("%d advertisements", len(got))
		}
		if c := s.Stats(); c.Solicitations != 60000 || c.Coalesced < 59900 {
			t.Errorf("%+v", c)
		}
	})
}

func TestAnswersStayOnTheLink(t *testing.T) {
	cfg := Config{Interface: "br0", SolicitedDelay: Zero, Prefixes: []Prefix{{Prefix: netip.MustParsePrefix("2001:db8:1:3::/64")}}}
	bubble(t, cfg, func(f *fakeEdge, _ *Server, _ func()) {
		time.Sleep(time.Minute) // beyond the initial advertisements
		for _, tt := range []struct{ from, to string }{
			{"fe80::a", "fe80::a"},
			{"2001:db8:1:3::a", "2001:db8:1:3::a"},
			{"2001:db8:bad::a", "ff02::1"}, // would be routed off the link
			{"::", "ff02::1"},
		} {
			time.Sleep(5 * time.Second)
			f.sent()
			f.solicit(tt.from, 255)
			time.Sleep(4 * time.Second)
			if got := f.sent(); len(got) != 1 || got[0].to != netip.MustParseAddr(tt.to) {
				t.Errorf("solicitation from %s: sent %v", tt.from, got)
			}
		}
		f.sent()
		f.solicit(testLink().Address.String(), 255)
		time.Sleep(time.Second)
		if got := f.sent(); len(got) != 0 {
			t.Errorf("answered itself: %v", got)
		}
	})
}

func lastMessage(t *testing.T, frames []sentFrame) *ndp.RouterAdvertisement {
	t.Helper()
	if len(frames) == 0 {
		t.Fatal("nothing was sent")
	}
	m, err := Parse(frames[len(frames)-1].frame)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestForwardingOffMeansNoDefaultRouter(t *testing.T) {
	bubble(t, Config{Interface: "br0", Preference: High}, func(f *fakeEdge, _ *Server, _ func()) {
		if m := lastMessage(t, f.sent()); m.RouterLifetime == 0 || m.RouterSelectionPreference != High {
			t.Errorf("while forwarding: %+v", m)
		}
		time.Sleep(100 * time.Second)
		f.sent()
		f.change(func() { f.there.Forwarding = false })
		synctest.Wait()
		if m := lastMessage(t, f.sent()); m.RouterLifetime != 0 || m.RouterSelectionPreference != Medium {
			t.Errorf("not forwarding: %+v", m)
		}
	})
}

func TestStop(t *testing.T) {
	for _, keep := range []bool{false, true} {
		bubble(t, fullConfig(), func(f *fakeEdge, s *Server, stop func()) {
			time.Sleep(time.Second)
			first := f.sent()
			if keep {
				s.Handover()
				s.Stop() // too late
			}
			stop()
			got := f.sent()
			if keep {
				if len(got) != 0 {
					t.Errorf("Handover: sent %v", got)
				}
				return
			}
			m := lastMessage(t, got)
			if len(got) != 1 || m.RouterLifetime != 0 {
				t.Errorf("sent %d, last %+v", len(got), m)
			}
			if d := got[0].at.Sub(first[len(first)-1].at); d != 3*time.Second {
				t.Errorf("the last came %s after the one before, want 3 s", d)
			}
		})
	}
}

func TestLinkComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEdge()
		f.missing = errors.New("interface br0 does not exist")
		s := newServer(Config{Interface: "br0"}, f, f, fixed(0.5))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Hour)
		if got := f.sent(); got != nil {
			t.Errorf("without a link sent %v", got)
		}
		select {
		case <-s.Ready():
			t.Error("ready without a link")
		default:
		}
		f.change(func() { f.missing, f.refuse = nil, errors.New("no such device") })
		time.Sleep(10 * time.Second)
		f.mu.Lock()
		f.refuse = nil // no event tells of this
		f.mu.Unlock()
		time.Sleep(2 * time.Second)
		if got := f.sent(); len(got) != 1 {
			t.Errorf("when it came: sent %v", got)
		}
		<-s.Ready()
		f.change(func() { f.missing = errors.New("interface br0 is down") })
		f.solicit("fe80::a", 255)
		time.Sleep(time.Hour)
		if got := f.sent(); got != nil {
			t.Errorf("while down sent %v", got)
		}
		f.change(func() { f.missing = nil; f.there.Index = 99 })
		time.Sleep(time.Second)
		if got := f.sent(); len(got) != 1 {
			t.Errorf("when it came back: sent %v", got)
		}
		if c := s.Stats(); c.LinkChanges != 2 || c.LinkLosses != 1 || f.attached != 2 {
			t.Errorf("%+v, attached %d times", c, f.attached)
		}
		// Errors of the socket: sending recovers, receiving does.
		f.mu.Lock()
		f.sendErr = errors.New("no buffer space")
		f.mu.Unlock()
		time.Sleep(time.Hour)
		f.mu.Lock()
		f.sendErr = nil
		f.mu.Unlock()
		f.receiveErr.Store(20)
		time.Sleep(time.Minute)
		if got := f.sent(); len(got) == 0 {
			t.Errorf("after send errors: sent %v", got)
		}
		f.packets <- fakePacket{packet{n: 8, from: netip.MustParseAddr("fe80::a"), index: 99, hopLimit: 255}, []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}}
		time.Sleep(time.Second)
		if got := f.sent(); len(got) != 1 || got[0].to != netip.MustParseAddr("fe80::a") {
			t.Errorf("after receive errors: sent %v", got)
		}
		if c := s.Stats(); c.ReceiveErrors != 20 {
			t.Errorf("%+v", c)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRunTwice(t *testing.T) {
	bubble(t, Config{Interface: "br0"}, func(_ *fakeEdge, s *Server, _ func()) {
		if err := s.Run(t.Context()); err == nil {
			t.Error("ran twice")
		}
	})
}

// slowEdge takes its time to send, as a busy machine does.
type slowEdge struct{ *fakeEdge }

func (e slowEdge) send(b []byte, to netip.Addr) error {
	time.Sleep(200 * time.Millisecond)
	return e.fakeEdge.send(b, to)
}

// RFC 4861, section 6.2.6, counts from when an advertisement was sent, not from
// when that was begun.
func TestRateLimitCountsFromTheSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEdge()
		s := newServer(Config{Interface: "br0", SolicitedDelay: Zero}, slowEdge{f}, f, fixed(0))
		done := make(chan error, 1)
		go func() { done <- s.Run(t.Context()) }()
		for range 200 {
			f.solicit("::", 255)
			time.Sleep(100 * time.Millisecond)
		}
		s.Handover()
		<-done
		all := f.sent()
		for i := 1; i < len(all); i++ {
			// What comes before the sending is the slow part: the next may begin
			// three seconds after the one before was out.
			if d := all[i].at.Sub(all[i-1].at); d < 3*time.Second+200*time.Millisecond {
				t.Errorf("%s after the one before", d)
			}
		}
	})
}
