package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
)

// SessionConfig says where an echo server is.
type SessionConfig struct {
	// To is the echo server. Required.
	To netip.AddrPort
	// Local is the address to connect from. Default the kernel's choice.
	Local netip.Addr
	// Interval is the shortest time between two messages; the next one waits
	// for the echo of the one before as well. Default 1 ms.
	Interval time.Duration
	// Linger is how long Stop waits for an outstanding echo. Default 1 s.
	Linger time.Duration
}

// SessionReport is what a session went through. TCP repeats a lost segment
// after 200 ms at the earliest (Linux's minimum for RFC 6298), so that stalls of
// about 200 ms mean one loss.
type SessionReport struct {
	Local   netip.AddrPort  `json:"local"`
	Remote  netip.AddrPort  `json:"remote"`
	Total   SessionWindow   `json:"total"`
	Windows []SessionWindow `json:"windows,omitempty"`
	// Alive: no error, and the last message has been echoed. While the session
	// runs one message is mostly under way; WaitEcho is the question then.
	Alive bool   `json:"alive"`
	Error string `json:"error,omitempty"` // why the session broke
}

// Window returns the first window of a name; zeros where there is none.
func (r SessionReport) Window(name string) SessionWindow {
	for _, w := range r.Windows {
		if w.Name == name {
			return w
		}
	}
	return SessionWindow{}
}

// String is one line for a reader.
func (r SessionReport) String() string {
	state := "alive"
	switch {
	case r.Error != "":
		state = "broken: " + r.Error
	case !r.Alive:
		state = "hanging"
	}
	return fmt.Sprintf("%v: %d echoes, longest stall %v, %s", r.Remote, r.Total.Echoes, r.Total.Stall.Round(time.Microsecond), state)
}

// Session is one TCP connection to an echo server with one small numbered
// message under way at a time. It never connects again.
type Session struct {
	cfg           SessionConfig
	conn          net.Conn
	local, remote netip.AddrPort
	cookie        uint64
	start         time.Time
	cancel        context.CancelFunc
	done          chan struct{}
	once          sync.Once

	mu      sync.Mutex
	log     sessionLog
	err     error
	end     int64 // the run's end; 0 while it goes on
	arrived chan struct{}
}

// StartSession connects from a namespace and starts to send. Sending ends with
// Stop, or ctx. The caller calls Stop in any case. Errors are those of a
// connection, matching ErrNoAnswer or ErrRefused.
func StartSession(ctx context.Context, ns *netns.NS, cfg SessionConfig) (*Session, error) {
	if cfg.Interval <= 0 {
		cfg.Interval = time.Millisecond
	}
	if cfg.Linger <= 0 {
		cfg.Linger = time.Second
	}
	conn, err := dial(ctx, ns, "tcp", cfg.Local, cfg.To)
	if err != nil {
		return nil, fmt.Errorf("session with %v: %w", cfg.To, err)
	}
	if err := conn.(*net.TCPConn).SetNoDelay(true); err != nil {
		conn.Close()
		return nil, fmt.Errorf("session with %v: %w", cfg.To, err)
	}
	s := &Session{
		cfg:     cfg,
		conn:    conn,
		local:   addrPort(conn.LocalAddr()),
		remote:  addrPort(conn.RemoteAddr()),
		cookie:  rand.Uint64(),
		start:   time.Now(),
		done:    make(chan struct{}),
		arrived: make(chan struct{}),
	}
	ctx, s.cancel = context.WithCancel(ctx)
	go s.run(ctx)
	return s, nil
}

func (s *Session) now() int64 { return int64(time.Since(s.start)) }

func (s *Session) run(ctx context.Context) {
	defer close(s.done)
	keepTime()
	// When told to end, the echo under way gets its time.
	stop := context.AfterFunc(ctx, func() { s.conn.SetDeadline(time.Now().Add(s.cfg.Linger)) })
	defer stop()
	next := monotonic()
	for ctx.Err() == nil {
		if err := s.exchange(); err != nil {
			s.mu.Lock()
			// Stop gave up waiting: the session hangs, it isn't broken.
			if ctx.Err() == nil || !isTimeout(err) {
				s.err = err
			}
			s.mu.Unlock()
			return
		}
		// To the schedule, but never two at once.
		next = max(next+int64(s.cfg.Interval), monotonic())
		sleepUntil(ctx, next)
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// exchange sends one message and reads its echo.
func (s *Session) exchange() error {
	var out, back [16]byte
	s.mu.Lock()
	seq := len(s.log.sent)
	s.log.sent = append(s.log.sent, s.now())
	s.mu.Unlock()
	binary.BigEndian.PutUint64(out[:], s.cookie)
	binary.BigEndian.PutUint64(out[8:], uint64(seq))
	if _, err := s.conn.Write(out[:]); err != nil {
		return fmt.Errorf("send message %d: %w", seq, err)
	}
	if _, err := io.ReadFull(s.conn, back[:]); err != nil {
		return fmt.Errorf("read echo %d: %w", seq, err)
	}
	if back != out {
		return fmt.Errorf("echo %d is %x, want %x", seq, back, out)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.got = append(s.log.got, s.now())
	close(s.arrived)
	s.arrived = make(chan struct{})
	return nil
}

// Mark starts a window that lasts until the next mark or the end. An empty
// name only ends the window before.
func (s *Session) Mark(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.marks = append(s.log.marks, mark{name: name, at: s.now(), seq: len(s.log.sent)})
}

// WaitEcho returns when a message sent from now on has been echoed: the session
// is alive. The error is the session's, net.ErrClosed after Stop, or matches ctx's.
func (s *Session) WaitEcho(ctx context.Context) error {
	s.mu.Lock()
	want := len(s.log.sent) + 1
	s.mu.Unlock()
	for {
		s.mu.Lock()
		n, arrived := len(s.log.got), s.arrived
		s.mu.Unlock()
		if n >= want {
			return nil
		}
		select {
		case <-arrived:
		case <-s.done:
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.err == nil {
				return fmt.Errorf("session with %v: %w", s.remote, net.ErrClosed)
			}
			return fmt.Errorf("session with %v: %w", s.remote, s.err)
		case <-ctx.Done():
			return fmt.Errorf("wait for an echo from %v: %w", s.remote, context.Cause(ctx))
		}
	}
}

// Report returns the state of affairs.
func (s *Session) Report() SessionReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.end
	if end == 0 {
		end = s.now()
	}
	n := len(s.log.sent)
	r := SessionReport{
		Local:  s.local,
		Remote: s.remote,
		Total:  s.log.report(span{to: n, end: end}, end),
		Alive:  s.err == nil && n > 0 && len(s.log.got) == n,
	}
	if s.err != nil {
		r.Error = s.err.Error()
	}
	for _, w := range spans(s.log.marks, n, end) {
		r.Windows = append(r.Windows, s.log.report(w, end))
	}
	return r
}

// Stop ends the session, waits for an outstanding echo, and returns the report.
// Further calls return it again.
func (s *Session) Stop() SessionReport {
	s.once.Do(func() {
		s.cancel()
		<-s.done
		s.conn.Close()
		s.mu.Lock()
		s.end = s.now()
		s.mu.Unlock()
	})
	return s.Report()
}
