package rollback

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/plan"
)

// settleTime is how long the applying process is given to stop before its
// change is taken back.
const settleTime = time.Second

// serveIfWatchdog serves and exits if this process is a watchdog.
func serveIfWatchdog(restorers []plan.Restorer) {
	path := os.Getenv(watchdogEnv)
	if path == "" || len(os.Args) != 2 || os.Args[0] != watchdogName || os.Args[1] != path {
		return
	}
	os.Exit(watchdogMain(path, restorers))
}

func watchdogMain(path string, restorers []plan.Restorer) int {
	// A closed terminal or an interrupt at it is no reason to end: that is what
	// the countdown is for. SIGTERM is, see evTerminate.
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	// Programs that restorers run are no watchdogs and don't hold its files.
	os.Unsetenv(watchdogEnv)
	syscall.CloseOnExec(controlFD)
	syscall.CloseOnExec(folderFD)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	// Best effort, both: the name in ps -e, and being spared when memory is short.
	os.WriteFile("/proc/self/comm", []byte(watchdogComm), 0)
	os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)

	f := os.NewFile(controlFD, "control")
	control, err := net.FileConn(f)
	f.Close()
	if err != nil {
		log.Error("use control connection", "error", err)
		return 1
	}
	w := &watchdog{
		log: log, control: control, restorers: restorers,
		folder:   &folder{path: path, f: os.NewFile(folderFD, path)},
		in:       make(chan input),
		restored: make(chan error, 1),
		quit:     make(chan struct{}),
		peers:    map[net.Conn]bool{},
	}
	if err := w.prepare(); err != nil {
		log.Error("not ready", "error", err)
		send(control, reply{News: newsReady, Code: codeOther, Err: err.Error()})
		return 1
	}
	return w.run(term)
}

// input is something a connection brought.
type input struct {
	from net.Conn
	op   op
	id   int
	gone bool // it hung up
}

// watchdog guards one change.
type watchdog struct {
	log       *slog.Logger
	folder    *folder
	restorers []plan.Restorer
	rec       *record
	m         *machine

	control  net.Conn // the applying process
	attached bool     // it still holds on
	listener *net.UnixListener
	tidy     func() // leaves no cgroup behind

	in       chan input
	restored chan error
	quit     chan struct{}
	wg       sync.WaitGroup // of the goroutines that fill in
	mu       sync.Mutex
	peers    map[net.Conn]bool // open connections of other logins

	timer    *time.Timer
	deadline time.Time // of the timer
	undoers  []input   // who waits for the end
}

// prepare does all that can fail, before anything has changed.
func (w *watchdog) prepare() (err error) {
	if w.rec, err = w.folder.read(); err != nil {
		return err
	}
	if w.rec == nil {
		return fmt.Errorf("no captured state in %s", w.folder.path)
	}
	id, err := thisHost()
	if err != nil {
		return err
	}
	if id != w.rec.Host {
		return fmt.Errorf("this is network namespace %d, the captured state is of %d", id.Inode, w.rec.Host.Inode)
	}
	for _, c := range w.rec.Captured {
		if !hasRestorer(w.restorers, c.Part) {
			return fmt.Errorf("watchdog: %s: %w", c.Part, plan.ErrUnknownPart)
		}
	}
	w.rec.Cgroup, w.tidy = leaveCgroup()
	w.rec.Phase, w.rec.Watchdog = Applying, os.Getpid()
	if err := w.folder.write(w.rec); err != nil {
		return err
	}
	w.listener, err = w.folder.listen()
	return err
}

// run serves until the change has ended.
func (w *watchdog) run(term <-chan os.Signal) int {
	w.m, w.attached = newMachine(w.rec.Attempts), true
	w.timer = time.NewTimer(0)
	w.setTimer(w.rec.ApplyTimeout)
	w.wg.Add(2)
	go w.serve(w.control)
	go w.accept()
	w.log.Info("guarding", "pid", w.rec.PID, "netns", w.rec.Host.Inode, "cgroup", w.rec.Cgroup, "apply_timeout", w.rec.ApplyTimeout, "timeout", w.rec.Timeout)
	w.tell(w.control, reply{News: newsReady})

	for {
		var (
			end  bool
			code int
		)
		select {
		case in := <-w.in:
			end, code = w.hear(in)
		case <-w.timer.C:
			end, code = w.on(evTimer, nil)
		case s := <-term:
			w.log.Warn("signal", "signal", s)
			end, code = w.on(evTerminate, nil)
		case err := <-w.restored:
			if err == nil {
				end, code = w.on(evRestored, nil)
				break
			}
			w.log.Error("restoring failed", "attempts_left", w.m.attempts, "error", err)
			w.rec.Err = err.Error()
			end, code = w.on(evRestoreFailed, nil)
		}
		if end {
			w.close()
			return code
		}
	}
}

// close ends what run started.
func (w *watchdog) close() {
	close(w.quit)
	w.control.Close()
	w.listener.Close()
	w.mu.Lock()
	for c := range w.peers {
		c.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
	w.tidy()
}

// hear handles what came over a connection.
func (w *watchdog) hear(in input) (end bool, code int) {
	applier := in.from == w.control
	switch {
	case in.gone && applier:
		w.log.Info("the applying process has ended or hung up", "phase", w.m.phase)
		w.attached = false
		return w.on(evGone, nil)
	case in.gone:
		return false, 0
	case in.op == opStatus:
		s := w.status()
		w.tell(in.from, reply{ID: in.id, Status: &s})
		return false, 0
	case in.op == opApplied && applier:
		return w.on(evApplied, &in)
	case in.op == opStopped && applier:
		return w.on(evStopped, nil)
	case in.op == opConfirm:
		return w.on(evConfirm, &in)
	case in.op == opUndo:
		w.undoers = append(w.undoers, in)
		return w.on(evUndo, nil)
	}
	w.answer(&in, fmt.Errorf("request %q is not understood", in.op))
	return false, 0
}

// on lets the machine decide about an event and does what it says. asker, if
// any, gets an answer at once.
func (w *watchdog) on(e event, asker *input) (end bool, code int) {
	before := w.m.phase
	do, err := w.m.on(e)
	if w.m.phase != before {
		w.log.Info("phase", "phase", w.m.phase, "outcome", w.m.outcome)
		w.rec.Phase, w.rec.Outcome = w.m.phase, w.m.outcome
		// A full disk must not keep us from restoring: what is on disk would only
		// be told less exactly.
		if werr := w.folder.write(w.rec); werr != nil {
			w.log.Error("note phase", "error", werr)
		}
	}
	if do == doDisarm {
		if err = w.folder.remove(); err == nil {
			w.end(Confirmed, asker, nil)
			return true, 0
		}
		w.log.Error("confirm", "error", err)
	}
	w.answer(asker, err)
	switch do {
	case doCountdown:
		w.setTimer(w.rec.Timeout)
	case doSettle:
		w.tell(w.control, reply{News: newsRestoring})
		w.setTimer(settleTime)
	case doRestore:
		w.tell(w.control, reply{News: newsRestoring})
		w.setTimer(0)
		w.log.Info("restoring", "attempts_left", w.m.attempts)
		go func() { w.restored <- restoreOnce(context.Background(), w.rec.Captured, w.restorers) }()
	case doPause:
		w.setTimer(w.rec.Pause)
	case doFinish:
		if err := w.folder.remove(); err != nil {
			w.log.Error("restored", "error", err)
		}
		w.end(w.m.outcome, nil, nil)
		return true, 0
	case doFail:
		w.end("", nil, fmt.Errorf("%w: %s", ErrRestoreFailed, w.rec.Err))
		return true, 1
	}
	return false, 0
}

// end tells everybody who waits. The lock goes first, so that who hears it can
// begin the next change.
func (w *watchdog) end(o Outcome, asker *input, err error) {
	w.log.Info("end", "outcome", o, "error", err)
	w.listener.Close() // removes the socket
	if uerr := w.folder.unlock(); uerr != nil {
		w.log.Error("unlock", "error", uerr)
	}
	w.answer(asker, err)
	for _, in := range w.undoers {
		w.answer(&in, err)
	}
	r := reply{News: newsEnd, Outcome: o, Code: codeOf(err)}
	if err != nil {
		r.Err = w.rec.Err
	}
	w.tell(w.control, r)
}

func (w *watchdog) answer(in *input, err error) {
	if in == nil {
		return
	}
	r := reply{ID: in.id, Code: codeOf(err)}
	switch {
	case errors.Is(err, ErrRestoreFailed):
		r.Err = w.rec.Err
	case err != nil:
		r.Err = err.Error()
	}
	w.tell(in.from, r)
}

// tell sends a message; who has hung up doesn't want it.
func (w *watchdog) tell(c net.Conn, r reply) {
	if err := send(c, r); err != nil && (c != w.control || w.attached) {
		w.log.Info("not heard", "error", err)
	}
}

func (w *watchdog) status() ChangeStatus {
	s := w.rec.status(w.folder.log())
	s.Live, s.Attached = true, w.attached
	if w.m.phase == Applying || w.m.phase == Waiting {
		s.Remaining = max(time.Until(w.deadline), 0)
	}
	return s
}

// setTimer sets the timer anew, or stops it with 0.
func (w *watchdog) setTimer(d time.Duration) {
	w.timer.Stop()
	if d > 0 {
		w.deadline = time.Now().Add(d)
		w.timer.Reset(d)
	}
}

// accept lets other logins in until the listener is closed.
func (w *watchdog) accept() {
	defer w.wg.Done()
	for {
		c, err := w.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				w.log.Error("accept", "error", err)
			}
			return
		}
		w.mu.Lock()
		select {
		case <-w.quit:
			w.mu.Unlock()
			c.Close()
			return
		default:
		}
		w.peers[c] = true
		w.wg.Add(1)
		w.mu.Unlock()
		go w.serve(c)
	}
}

// serve passes on what a connection brings until it ends.
func (w *watchdog) serve(c net.Conn) {
	defer w.wg.Done()
	pass := func(in input) bool {
		select {
		case w.in <- in:
			return true
		case <-w.quit:
			return false
		}
	}
	lines := bufio.NewScanner(c)
	for {
		var r request
		if receive(lines, &r) != nil || !pass(input{from: c, op: r.Op, id: r.ID}) {
			break
		}
	}
	pass(input{from: c, gone: true})
	if c != w.control {
		w.mu.Lock()
		delete(w.peers, c)
		w.mu.Unlock()
		c.Close()
	}
}
