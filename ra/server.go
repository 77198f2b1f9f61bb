package ra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conn is the socket of a server or listener; edge_linux.go has the real one.
type conn interface {
	// attach binds the socket to a link and its source address, in place of
	// the one before.
	attach(Link) error
	// detach makes the socket deaf until the next attach.
	detach()
	// send writes one message to the link.
	send(b []byte, to netip.Addr) error
	// receive reads one message. It returns errIdle at the given time, and
	// after wake.
	receive(b []byte, until time.Time) (packet, error)
	// wake ends a receive that waits, or the next one; safe to call at any
	// time.
	wake()
	close() error
}

// watcher tells of the interface.
type watcher interface {
	// link reads what is there now. An error says why it can't be used.
	link() (Link, error)
	// wait blocks until something may have changed, or close is called.
	wait() error
	close() error
}

var errIdle = errors.New("nothing received")

// packet is a received message without its octets.
type packet struct {
	n                     int
	from                  netip.Addr // without zone
	index                 int
	hopLimit              int
	fragmented, truncated bool
}

const (
	// recheckEvery bounds how long a lost notification can go unnoticed.
	recheckEvery = 30 * time.Second
	// longestMessage is what IPv6 carries without a jumbo payload option.
	longestMessage = 1 << 16
)

// Server advertises on one interface.
type Server struct {
	cfg     Config // as given
	log     *slog.Logger
	conn    conn
	watch   watcher
	rand    func(time.Duration) time.Duration
	count   counters
	ran     atomic.Bool
	changed atomic.Bool // the watcher saw something
	ready   chan struct{}
	isReady bool

	// What Run knows of the link.
	attached bool
	at       Link
	frames   [][]byte // what is advertised there
	why      string   // why it can't be used, as last logged
	recheck  time.Time
	sched    scheduler
}

// New checks the Config and opens the server's sockets in the network
// namespace of the calling goroutine's thread. The interface needn't exist yet.
//
// The error is a [*ConfigError], matches os.ErrPermission without CAP_NET_RAW,
// or matches errors.ErrUnsupported on systems other than Linux. A server that
// is not run must be closed.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c, err := newConn(typeSolicitation)
	if err != nil {
		return nil, fmt.Errorf("advertise on %s: %w", cfg.Interface, err)
	}
	w, err := newWatcher(cfg.Interface)
	if err != nil {
		c.close()
		return nil, fmt.Errorf("advertise on %s: %w", cfg.Interface, err)
	}
	if l, err := w.link(); err == nil && cfg.MTU > l.MTU {
		c.close()
		w.close()
		return nil, &ConfigError{Field: "MTU", Reason: fmt.Sprintf("%d is above the MTU of %s, %d", cfg.MTU, cfg.Interface, l.MTU)}
	}
	return newServer(cfg, c, w, uniform), nil
}

func newServer(cfg Config, c conn, w watcher, rnd func(time.Duration) time.Duration) *Server {
	e := cfg.effective()
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		cfg:   cfg,
		log:   log.With("interface", cfg.Interface),
		conn:  c,
		watch: w,
		rand:  rnd,
		ready: make(chan struct{}),
		sched: scheduler{min: e.MinInterval, max: e.MaxInterval, delay: e.SolicitedDelay, rand: rnd},
	}
}

func uniform(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(rand.Int64N(int64(d) + 1))
}

// Ready is closed when the first multicast advertisement has been sent.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Stats returns the counters. It may be called at any time.
func (s *Server) Stats() Stats { return s.count.read() }

// Close releases the sockets of a server that is not run.
func (s *Server) Close() error {
	return errors.Join(s.conn.close(), s.watch.close())
}

// Run advertises until ctx ends, and returns nil then. Trouble with the link
// or the socket is logged and waited out; an error is returned only where the
// server was run or closed before.
//
// Unless [Config.KeepOnStop] is set, the end of ctx sends the messages of
// [Config.FinalMessages] before Run returns, up to three seconds later because
// RFC 4861, section 6.2.6, demands that between multicast advertisements.
func (s *Server) Run(ctx context.Context) error {
	if !s.ran.CompareAndSwap(false, true) {
		return errors.New("run router advertisement server: it ran before")
	}
	var watching sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	watching.Go(func() { s.watchLink(ended) })
	defer func() {
		end()
		s.watch.close()
		watching.Wait()
		s.conn.close()
	}()
	defer context.AfterFunc(ctx, s.conn.wake)()

	s.changed.Store(true)
	buf := make([]byte, longestMessage)
	failures := 0
	for ctx.Err() == nil {
		now := time.Now()
		if s.changed.Swap(false) || !s.recheck.After(now) {
			s.refresh(now)
		}
		s.sendDue(now)
		until := s.recheck
		if due := s.sched.due(); !due.IsZero() && due.Before(until) {
			until = due
		}
		p, err := s.conn.receive(buf, until)
		switch {
		case err == nil:
			failures = 0
			s.receive(time.Now(), p, buf)
		case errors.Is(err, errIdle):
		case errors.Is(err, os.ErrClosed):
			return fmt.Errorf("run router advertisement server: %w", err)
		default:
			// An error that stays must neither end the server nor keep the
			// processor busy.
			s.count.receiveErrors.Add(1)
			s.log.Warn("can't receive router solicitations", "err", err)
			failures++
			pause(ctx, time.Now().Add(min(time.Millisecond<<min(failures, 10), time.Second)), until)
		}
	}
	s.sayGoodbye()
	return nil
}

// pause waits until the earlier of two times, or until ctx ends.
func pause(ctx context.Context, a, b time.Time) {
	if b.Before(a) {
		a = b
	}
	t := time.NewTimer(time.Until(a))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// watchLink runs beside the loop and wakes it when the link has changed.
func (s *Server) watchLink(ended context.Context) {
	for {
		err := s.watch.wait()
		if ended.Err() != nil {
			return
		}
		s.changed.Store(true)
		s.conn.wake()
		if err != nil {
			s.log.Warn("can't watch the interface", "err", err)
			pause(ended, time.Now().Add(time.Second), time.Now().Add(time.Second))
		}
	}
}

// refresh looks at the link and begins, ends or changes what is advertised.
func (s *Server) refresh(now time.Time) {
	s.recheck = now.Add(recheckEvery)
	l, err := s.watch.link()
	if err != nil {
		s.lose(err)
		return
	}
	if s.attached && l == s.at {
		return
	}
	if !s.attached || l.Index != s.at.Index || l.Address != s.at.Address {
		if err := s.conn.attach(l); err != nil {
			// The link may have changed again since it was looked at.
			s.recheck = now.Add(time.Second)
			s.lose(err)
			return
		}
	}
	messages, err := s.cfg.Messages(l)
	if err == nil {
		s.frames, err = marshalAll(messages)
	}
	if err != nil {
		s.lose(err)
		return
	}
	s.count.linkChanges.Add(1)
	s.log.Info("advertising", "index", l.Index, "mac", l.MAC, "address", l.Address, "mtu", l.MTU, "forwarding", l.Forwarding, "messages", len(s.frames))
	if !l.Forwarding && s.cfg.RouterLifetime != Zero {
		s.log.Warn("the interface doesn't forward IPv6: router lifetime is 0")
	}
	if s.cfg.MTU > l.MTU {
		s.log.Warn("MTU is above that of the interface", "configured", s.cfg.MTU, "advertised", l.MTU)
	}
	s.attached, s.at, s.why = true, l, ""
	s.sched.start(now)
}

// lose ends advertising until the link is there.
func (s *Server) lose(err error) {
	if s.attached {
		s.count.linkLosses.Add(1)
		s.conn.detach()
		s.attached = false
		s.sched.stop()
	}
	if why := err.Error(); why != s.why {
		s.why = why
		s.log.Info("not advertising", "err", err)
	}
}

func allNodes() netip.Addr { return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 1}) }

// sendDue sends everything whose time has come.
func (s *Server) sendDue(now time.Time) {
	for {
		a, ok := s.sched.take(now)
		if !ok {
			return
		}
		if !a.multicast {
			if err := s.send(s.frames, a.to); err != nil {
				s.log.Debug("can't answer", "to", a.to, "err", err)
				continue
			}
			s.count.unicast.Add(1)
			continue
		}
		if err := s.send(s.frames, allNodes()); err != nil {
			s.sched.failed(now)
			s.log.Warn("can't advertise", "err", err, "again", s.sched.next.Sub(now))
			// The reason is most likely a change that is still to be noticed.
			s.recheck = now.Add(time.Second)
			return
		}
		s.sched.sent(now)
		s.count.multicast.Add(1)
		if !s.isReady {
			s.isReady = true
			close(s.ready)
		}
	}
}

func (s *Server) send(frames [][]byte, to netip.Addr) error {
	for _, f := range frames {
		if err := s.conn.send(f, to); err != nil {
			s.count.sendErrors.Add(1)
			return err
		}
	}
	return nil
}

// receive handles one message from the link.
func (s *Server) receive(now time.Time, p packet, buf []byte) {
	if !s.attached || p.index != s.at.Index {
		return // from before the last attach
	}
	if err := checkSolicitation(p, buf); err != nil {
		s.count.discarded(err)
		s.log.Debug("solicitation discarded", "from", p.from, "err", err)
		return
	}
	if p.from == s.at.Address {
		return // this host's own
	}
	s.count.solicitations.Add(1)
	to := p.from
	if !s.reachable(to) {
		to = netip.Addr{}
	}
	if s.sched.solicited(now, to) {
		s.count.coalesced.Add(1)
	}
}

func checkSolicitation(p packet, buf []byte) error {
	switch {
	case p.hopLimit != hopLimit:
		return fmt.Errorf("%w: %d", ErrHopLimit, p.hopLimit)
	case p.fragmented:
		return ErrFragmented
	case p.truncated:
		return fmt.Errorf("%w: longer than %d octets", ErrMalformed, len(buf))
	}
	return ParseSolicitation(buf[:p.n], p.from)
}

// reachable reports whether an answer to an address stays on the link. Another
// might be routed off it, which an advertisement must never be.
func (s *Server) reachable(a netip.Addr) bool {
	if a.IsLinkLocalUnicast() {
		return true
	}
	for _, p := range s.cfg.Prefixes {
		if !p.OffLink && p.Prefix.Contains(a) {
			return true
		}
	}
	return false
}

// sayGoodbye sends the last advertisements.
func (s *Server) sayGoodbye() {
	if s.cfg.KeepOnStop || !s.attached {
		return
	}
	messages, err := s.cfg.FinalMessages(s.at)
	if err != nil {
		s.log.Warn("can't say goodbye", "err", err)
		return
	}
	frames, err := marshalAll(messages)
	if err != nil {
		s.log.Warn("can't say goodbye", "err", err)
		return
	}
	time.Sleep(time.Until(s.sched.final(time.Now())))
	if err := s.send(frames, allNodes()); err != nil {
		s.log.Warn("can't say goodbye", "err", err)
		return
	}
	s.count.multicast.Add(1)
	s.log.Info("said goodbye")
}
