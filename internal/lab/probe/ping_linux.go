package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
)

// PingConfig says what to ping.
type PingConfig struct {
	// To is the address, of either family; link-local ones need a zone.
	// Required.
	To netip.Addr
	// Interval is the time between two probes. Default 1 ms.
	Interval time.Duration
	// Stragglers is how long Stop waits for answers at most. Default 1 s.
	Stragglers time.Duration
}

// PingReport is what came of a run of pings.
type PingReport struct {
	To      netip.Addr   `json:"to"`
	Total   PingWindow   `json:"total"`
	Windows []PingWindow `json:"windows,omitempty"`
	// SendErrors counts probes that the prober's own kernel refused; they are
	// among those lost. FirstSendError says why the first was.
	SendErrors     int    `json:"send_errors,omitempty"`
	FirstSendError string `json:"first_send_error,omitempty"`
	// Overflow counts answers that came and found the prober's queue full:
	// where it is not 0, Lost is not the network's fault alone.
	Overflow uint32 `json:"overflow,omitempty"`
}

// Window returns the first window of a name; zeros where there is none.
func (r PingReport) Window(name string) PingWindow {
	for _, w := range r.Windows {
		if w.Name == name {
			return w
		}
	}
	return PingWindow{}
}

// String is one line for a reader.
func (r PingReport) String() string {
	return fmt.Sprintf("%v: %d of %d lost, longest stall %v", r.To, r.Total.Lost, r.Total.Sent, r.Total.Stall.Round(time.Microsecond))
}

// Pinger sends echo requests at a steady rate and notes which are answered
// when.
type Pinger struct {
	cfg    PingConfig
	six    bool
	id     uint16
	cookie uint64
	start  time.Time
	f      *os.File
	conn   syscall.RawConn
	cancel context.CancelFunc // ends sending
	sent   chan struct{}      // closed when sending has ended
	heard  chan struct{}      // closed when receiving has ended
	once   sync.Once

	mu       sync.Mutex
	log      pingLog
	answered int
	end      int64 // when sending ended; 0 while it goes on
	errs     int
	firstErr error
	overflow uint32
	arrived  chan struct{} // closed and replaced with every answer
}

// StartPinger starts to ping from a namespace. Sending ends with ctx or Stop;
// the caller calls Stop in any case.
func StartPinger(ctx context.Context, ns *netns.NS, cfg PingConfig) (*Pinger, error) {
	if cfg.Interval <= 0 {
		cfg.Interval = time.Millisecond
	}
	if cfg.Stragglers <= 0 {
		cfg.Stragglers = time.Second
	}
	cfg.To = cfg.To.Unmap()
	p := &Pinger{
		cfg:     cfg,
		six:     cfg.To.Is6(),
		id:      uint16(rand.Uint32()),
		cookie:  rand.Uint64(),
		sent:    make(chan struct{}),
		heard:   make(chan struct{}),
		arrived: make(chan struct{}),
	}
	if err := p.open(ns); err != nil {
		return nil, fmt.Errorf("ping %v: %w", cfg.To, err)
	}
	ctx, p.cancel = context.WithCancel(ctx)
	// Wall time as the kernel stamps answers with it.
	p.start = time.Now().Round(0)
	go p.receive()
	go p.send(ctx)
	return p, nil
}

func (p *Pinger) open(ns *netns.NS) error {
	if !p.cfg.To.IsValid() {
		return errors.New("no address")
	}
	fd, err := open(ns, unix.SOCK_RAW, icmpProto(p.six), netip.AddrPortFrom(p.cfg.To, 0))
	if err != nil {
		return err
	}
	const queue = 4 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queue) != nil {
		// Not root of the machine: the limit of net.core.rmem_max holds.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, queue)
	}
	err = errors.Join(
		filterEcho(fd, p.id, p.six),
		os.NewSyscallError("SO_TIMESTAMPNS", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)),
		os.NewSyscallError("SO_RXQ_OVFL", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)),
	)
	if err != nil {
		unix.Close(fd)
		return err
	}
	p.f = os.NewFile(uintptr(fd), "ping")
	p.conn, err = p.f.SyscallConn()
	return err
}

func icmpProto(six bool) int {
	if six {
		return unix.IPPROTO_ICMPV6
	}
	return unix.IPPROTO_ICMP
}

// send keeps to a schedule: a probe that is late goes at once, and does not
// put off the next.
func (p *Pinger) send(ctx context.Context) {
	defer close(p.sent)
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.end = time.Now().UnixNano() - p.start.UnixNano()
	}()
	keepTime()
	// After a long hold-up there's no use in a burst of thousands.
	const catchUp = 100
	buf := make([]byte, 0, echoSize)
	next := monotonic()
	for ctx.Err() == nil {
		p.one(&buf)
		next += int64(p.cfg.Interval)
		next = max(next, monotonic()-catchUp*int64(p.cfg.Interval))
		sleepUntil(ctx, next)
	}
}

// one sends one probe.
func (p *Pinger) one(buf *[]byte) {
	p.mu.Lock()
	now := time.Now().UnixNano() - p.start.UnixNano()
	e := echo{id: p.id, cookie: p.cookie, seq: uint64(len(p.log.sent)), sent: now}
	p.log.sent = append(p.log.sent, now)
	p.log.got = append(p.log.got, none)
	p.mu.Unlock()
	*buf = packEcho(*buf, e, p.six)
	var err error
	if e := p.conn.Control(func(fd uintptr) { _, err = unix.Write(int(fd), *buf) }); e != nil {
		err = e
	}
	// A pending ICMP error is handed to whoever calls next, once; the probe has
	// not been sent then.
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		_ = p.conn.Control(func(fd uintptr) {
			drainErrors(int(fd))
			_, err = unix.Write(int(fd), *buf)
		})
	}
	if err != nil {
		p.mu.Lock()
		p.errs++
		if p.firstErr == nil {
			p.firstErr = err
		}
		p.mu.Unlock()
	}
}

// receive notes answers until the file is closed or its deadline is over.
func (p *Pinger) receive() {
	defer close(p.heard)
	buf, oob := make([]byte, 2048), make([]byte, 256)
	for {
		var n, noob int
		var err error
		if e := p.conn.Read(func(fd uintptr) bool {
			n, noob, _, _, err = unix.Recvmsg(int(fd), buf, oob, 0)
			if err != nil && err != unix.EAGAIN {
				drainErrors(int(fd))
			}
			return err != unix.EAGAIN
		}); e != nil {
			return
		}
		if err != nil {
			continue // an ICMP error: the probe is lost, or will be
		}
		at, overflow := control(oob[:noob])
		p.note(buf[:n], at, overflow)
	}
}

// note takes one answer down.
func (p *Pinger) note(b []byte, at time.Time, overflow uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.overflow = max(p.overflow, overflow)
	e, ok := parseEcho(b, p.six)
	if !ok || e.id != p.id || e.cookie != p.cookie || e.seq >= uint64(len(p.log.sent)) || p.log.sent[e.seq] != e.sent {
		return
	}
	if p.log.got[e.seq] != none {
		return // duplicated on the way
	}
	// The two clocks' readings may cross by less than their resolution.
	p.log.got[e.seq] = max(at.UnixNano()-p.start.UnixNano(), e.sent)
	p.answered++
	close(p.arrived)
	p.arrived = make(chan struct{})
}

// control reads the kernel's time stamp and its count of overflows.
func control(oob []byte) (at time.Time, overflow uint32) {
	at = time.Now()
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return at, 0
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_SOCKET {
			continue
		}
		switch {
		case m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16:
			at = time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		case m.Header.Type == unix.SO_RXQ_OVFL && len(m.Data) >= 4:
			overflow = binary.NativeEndian.Uint32(m.Data)
		}
	}
	return at, overflow
}

// Mark starts a window: probes sent from now on belong to it until the next
// mark or the end. An empty name only ends the window before.
func (p *Pinger) Mark(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.marks = append(p.log.marks, mark{name: name, at: time.Now().UnixNano() - p.start.UnixNano(), seq: len(p.log.sent)})
}

// WaitAnswer returns when a probe sent from now on is answered. The error
// matches ctx's when it ends before.
func (p *Pinger) WaitAnswer(ctx context.Context) error {
	p.mu.Lock()
	from := len(p.log.sent)
	p.mu.Unlock()
	for {
		p.mu.Lock()
		arrived := p.arrived
		for _, got := range p.log.got[min(from, len(p.log.got)):] {
			if got != none {
				p.mu.Unlock()
				return nil
			}
		}
		p.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return fmt.Errorf("wait for %v to answer a ping: %w", p.cfg.To, context.Cause(ctx))
		}
	}
}

// Report returns the state of affairs; probes on their way count as lost.
func (p *Pinger) Report() PingReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := p.end
	if end == 0 {
		end = time.Now().UnixNano() - p.start.UnixNano()
	}
	n := len(p.log.sent)
	r := PingReport{
		To:         p.cfg.To,
		Total:      p.log.report(span{to: n, end: end}, end),
		SendErrors: p.errs,
		Overflow:   p.overflow,
	}
	if p.firstErr != nil {
		r.FirstSendError = p.firstErr.Error()
	}
	for _, s := range spans(p.log.marks, n, end) {
		r.Windows = append(r.Windows, p.log.report(s, end))
	}
	return r
}

// Stop ends sending, waits for stragglers, and returns the report. Further
// calls return it again.
func (p *Pinger) Stop() PingReport {
	p.once.Do(func() {
		p.cancel()
		<-p.sent
		wait := time.NewTimer(p.cfg.Stragglers)
		defer wait.Stop()
		for over := false; !over; {
			p.mu.Lock()
			arrived, all := p.arrived, p.answered == len(p.log.sent)
			p.mu.Unlock()
			if all {
				break
			}
			select {
			case <-arrived:
			case <-wait.C:
				over = true
			}
		}
		p.f.SetReadDeadline(time.Unix(1, 0))
		<-p.heard
		p.f.Close()
	})
	return p.Report()
}
