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
	// greet says whether the socket, while attached, also hears the reports of
	// hosts that join multicast groups.
	greet(on bool) error
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
	log     *slog.Logger
	conn    conn
	watch   watcher
	count   counters
	ran     atomic.Bool
	changed atomic.Bool // a watcher saw something
	ready   chan struct{}

	// ending ends by Stop and Handover, the context by end.
	ending   context.Context
	end      context.CancelFunc
	once     sync.Once
	handover atomic.Bool

	// mu guards what follows. Run holds it but while it waits.
	mu      sync.Mutex
	cfg     Config // as given
	isReady bool
	running bool
	over    bool
	state   State
	told    time.Time // when the last advertisement was sent

	// What Run knows of the link.
	attached bool
	at       Link
	frames   [][]byte // what is advertised there
	counting bool     // frames change with the time
	framesAt int64    // the second that they are for
	why      string   // why it can't be used, as last logged
	recheck  time.Time
	lost     time.Time // since when there has been no uplink
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
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		log:   log.With("interface", cfg.Interface),
		conn:  c,
		watch: w,
		ready: make(chan struct{}),
	}
	s.ending, s.end = context.WithCancel(context.Background())
	s.sched.rand = rnd
	if cfg.StateFile != "" {
		var err error
		if s.state, err = LoadState(cfg.StateFile); err != nil {
			// Worse than to forget is not to advertise.
			s.count.stateErrors.Add(1)
			s.log.Warn("what guests were told before is not known", "err", err)
		}
	}
	s.use(cfg)
	return s
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
	s.end()
	return errors.Join(s.conn.close(), s.watch.close())
}

// Stop ends [Server.Run] for good, as does the end of its context: the host
// ceases to be a router here and guests are told so.
func (s *Server) Stop() { s.once.Do(s.end) }

// Handover ends [Server.Run] without a word to the guests, who keep their
// routes and name servers, because another server is about to go on: this
// program's next start, or its next version. What that one leaves out it takes
// back, if both have the same [Config.StateFile]. The first of Stop and Handover
// counts.
func (s *Server) Handover() {
	s.once.Do(func() {
		s.handover.Store(true)
		s.end()
	})
}

// Run advertises until ctx ends or [Server.Stop] or [Server.Handover] is called,
// and returns nil then. Trouble with the link or the socket is logged and waited
// out; an error is returned only where the server was run or closed before.
//
// Unless the end is a Handover, the messages of [Config.FinalMessages] are sent
// before Run returns, up to three seconds later because RFC 4861, section 6.2.6,
// demands that between multicast advertisements.
func (s *Server) Run(ctx context.Context) error {
	if !s.ran.CompareAndSwap(false, true) {
		return errors.New("run router advertisement server: it ran before")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()
	var watching sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	watching.Go(func() { s.watchLink(ended) })
	if up := s.cfg.Uplink; up != nil {
		watching.Go(func() { s.watchUplink(ended, up) })
	}
	defer func() {
		end()
		s.watch.close()
		watching.Wait()
		s.conn.close()
	}()
	defer context.AfterFunc(ctx, s.conn.wake)()

	s.changed.Store(true)
	s.begin(time.Now())
	buf := make([]byte, longestMessage)
	failures := 0
	for ctx.Err() == nil {
		until := s.work(time.Now())
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
	s.finish()
	return nil
}

// begin takes up what guests hold from before.
func (s *Server) begin(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = true
	s.remember(s.cfg.State(s.state, now))
}

// work does what is due and returns when there is more.
func (s *Server) work(now time.Time) (until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed.Swap(false) || !s.recheck.After(now) {
		s.refresh(now)
	}
	s.sendDue(now)
	until = s.recheck
	if due := s.sched.due(); !due.IsZero() && due.Before(until) {
		until = due
	}
	return until
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
	s.forget(now)
	l, err := s.watch.link()
	if err != nil {
		s.lose(err)
		return
	}
	l.NoUplink = s.noUplink(now)
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
	s.attached, s.at, s.why = true, l, ""
	if err := s.render(now); err != nil {
		s.lose(err)
		return
	}
	s.count.linkChanges.Add(1)
	s.log.Info("advertising", "index", l.Index, "mac", l.MAC, "address", l.Address, "mtu", l.MTU,
		"forwarding", l.Forwarding, "uplink", !l.NoUplink, "messages", len(s.frames))
	if !l.Forwarding && s.cfg.RouterLifetime != Zero {
		s.log.Warn("the interface doesn't forward IPv6: router lifetime is 0")
	}
	if l.NoUplink && s.cfg.RouterLifetime != Zero {
		s.log.Warn("the host has no default route: router lifetime is 0")
	}
	if s.cfg.MTU > l.MTU {
		s.log.Warn("MTU is above that of the interface", "configured", s.cfg.MTU, "advertised", l.MTU)
	}
	s.sched.start(now)
}

// render makes the frames for a time.
func (s *Server) render(now time.Time) error {
	messages := s.cfg.messages(s.at, s.state, now)
	frames, err := marshalAll(messages)
	if err != nil {
		return err
	}
	s.count.defaultRouter.Store(0)
	if messages[0].RouterLifetime > 0 {
		s.count.defaultRouter.Store(1)
	}
	s.count.withdrawn.Store(uint64(len(s.state.withdrawn(now))))
	s.frames, s.framesAt = frames, now.Unix()
	s.counting = s.cfg.countsDown(s.state, now)
	return nil
}

// lose ends advertising until the link is there.
func (s *Server) lose(err error) {
	if s.attached {
		s.count.linkLosses.Add(1)
		s.conn.detach()
		s.attached = false
		s.count.defaultRouter.Store(0)
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
		if s.counting && now.Unix() != s.framesAt {
			if err := s.render(now); err != nil {
				s.log.Warn("can't count lifetimes down", "err", err)
			}
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
			s.sched.failed(time.Now())
			s.log.Warn("can't advertise", "err", err, "again", time.Until(s.sched.next))
			// The reason is most likely a change that is still to be noticed.
			s.recheck = now.Add(time.Second)
			return
		}
		// Not by the time when this began: on a busy machine that may be long ago,
		// and the next one would follow too soon.
		s.sched.sent(s.told)
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
	s.told = time.Now()
	return nil
}

// receive handles one message from the link.
func (s *Server) receive(now time.Time, p packet, buf []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.attached || p.index != s.at.Index {
		return // from before the last attach
	}
	if p.n > 0 && buf[0] == typeReport {
		if s.cfg.Greet && isArrival(p) && s.sched.arrived(now) {
			s.count.greetings.Add(1)
		}
		return
	}
	if err := checkSolicitation(p, buf); err != nil {
		s.count.discarded(err)
		if s.log.Enabled(context.Background(), slog.LevelDebug) {
			s.log.Debug("solicitation discarded", "from", p.from, "err", err)
		}
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

// finish ends advertising, for good or until the next server takes over.
func (s *Server) finish() {
	goodbye, at := s.conclude()
	if !goodbye {
		return
	}
	// Nobody who asks for something meanwhile has to wait too.
	time.Sleep(time.Until(at))
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	messages, err := s.cfg.FinalMessages(s.at, s.state, now)
	s.state = s.state.Withdraw(now)
	s.save()
	if !s.attached {
		return
	}
	var frames [][]byte
	if err == nil {
		frames, err = marshalAll(messages)
	}
	if err == nil {
		err = s.send(frames, allNodes())
	}
	if err != nil {
		s.log.Warn("can't say goodbye", "err", err)
		return
	}
	s.count.multicast.Add(1)
	s.log.Info("said goodbye")
}

// conclude ends what can be asked of the server. It reports whether guests are to be
// told so, and when they may.
func (s *Server) conclude() (goodbye bool, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.count.defaultRouter.Store(0)
	if s.handover.Load() {
		s.state.Told = s.told.Round(0)
		s.save()
		s.log.Info("ended; guests keep what they were told")
		return false, time.Time{}
	}
	if s.attached {
		at = s.sched.final(time.Now())
	}
	return true, at
}
