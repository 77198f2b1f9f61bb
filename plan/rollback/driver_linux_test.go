package rollback

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/plan"
)

// The tests work on real processes and a real link: the test binary is the
// watchdog, and, with envApplier set, a process that makes a change as it is
// told on its standard input.

const envApplier = "SIXHOST_TEST_APPLIER"

func TestMain(m *testing.M) {
	guard := Main(linkRestorer(), flakyRestorer(), panickyRestorer())
	if os.Getenv(envApplier) != "" {
		os.Exit(applier(guard))
	}
	os.Exit(nstest.Main(m))
}

// linkName is the link that the changes are about; its state is its IPv4
// addresses.
const linkName = "lan0"

type linkState []string

func captureLink(context.Context, linkState) (linkState, error) {
	h, err := netlink.NewHandle()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	l, err := h.LinkByName(linkName)
	if err != nil {
		return nil, err
	}
	addrs, err := h.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	s := linkState{}
	for _, a := range addrs {
		s = append(s, a.IPNet.String())
	}
	slices.Sort(s)
	return s, nil
}

// setAddr puts an address on the link or takes it off.
func setAddr(addr string, on bool) error {
	h, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(linkName)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		return err
	}
	if on {
		return h.AddrAdd(l, a)
	}
	return h.AddrDel(l, a)
}

func planLink(from, to linkState) (plan.Plan, error) {
	var p plan.Plan
	step := func(addr string, on bool) {
		p.Steps = append(p.Steps, plan.Step{Part: "link", Text: fmt.Sprintf("set %s to %t", addr, on), Do: func(context.Context) error { return setAddr(addr, on) }})
	}
	for _, a := range to {
		if !slices.Contains(from, a) {
			step(a, true)
		}
	}
	for _, a := range from {
		if !slices.Contains(to, a) {
			step(a, false)
		}
	}
	return p, nil
}

func linkRestorer() plan.Restorer { return plan.RestorerOf("link", captureLink, planLink) }

// flakyRestorer fails as often as the file says that its state names.
func flakyRestorer() plan.Restorer {
	return plan.Restorer{Part: "flaky", Plan: func(_ context.Context, raw json.RawMessage) (plan.Plan, error) {
		var file string
		if err := json.Unmarshal(raw, &file); err != nil {
			return plan.Plan{}, err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return plan.Plan{}, err
		}
		n, err := strconv.Atoi(string(b))
		if err != nil || n == 0 {
			return plan.Plan{}, err
		}
		return plan.Plan{}, errors.Join(fmt.Errorf("%d more times", n), os.WriteFile(file, []byte(strconv.Itoa(n-1)), 0o600))
	}}
}

func panickyRestorer() plan.Restorer {
	return plan.Restorer{Part: "panicky", Plan: func(context.Context, json.RawMessage) (plan.Plan, error) { panic("on purpose") }}
}

// order is a line to an applier.
type order struct {
	Do    string   // a word of applier
	Dir   string   // state directory
	Addr  string   // for add
	Opts  Options  // for begin; Logger unset
	Parts []string // for begin: more parts to capture, as part=JSON
}

// result is its answer.
type result struct {
	PID      int
	Watchdog int
	Outcome  Outcome
	Restored bool
	Err      string
	Is       []string // the sentinels that the error matches
	BusyPID  int
}

// applier obeys standard input until it ends.
func applier(g *Guard) int {
	var c *Change
	ctx := context.Background()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	release := make(chan struct{})
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return 0
		}
		r := result{PID: os.Getpid()}
		var err error
		switch o.Do {
		case "begin":
			var captured []plan.Captured
			captured, err = capture(o.Parts)
			if err == nil {
				var began *Change
				if began, err = g.Begin(ctx, o.Opts, captured); err == nil {
					c, r.Watchdog = began, began.Watchdog()
				}
			}
		case "add":
			err = plan.Plan{Steps: []plan.Step{{Text: "add", Do: func(context.Context) error { return setAddr(o.Addr, true) }}}}.Run(c.Context(), plan.Apply, nil)
		case "hang": // a step that heeds nothing and ends in an address
			go func() {
				<-release
				err := setAddr(o.Addr, true)
				c.Undo(ctx)
				out.Encode(result{PID: os.Getpid(), Err: fmt.Sprint(err)})
			}()
		case "release":
			close(release)
			continue // the hanging step answers
		case "applied":
			err = c.Applied(ctx)
		case "undo":
			err = c.Undo(ctx)
		case "keep":
			err = c.Confirm(ctx)
		case "wait":
			r.Outcome, err = c.Wait(ctx)
		case "recover":
			r.Restored, err = g.Recover(ctx, o.Dir)
		case "confirm":
			err = Confirm(ctx, o.Dir)
		case "undo other":
			err = Undo(ctx, o.Dir)
		default:
			err = errors.New("unknown order")
		}
		if err != nil {
			r.Err = err.Error()
			for _, s := range []error{ErrNoMain, ErrNoChange, ErrNotApplied, ErrRestoring, ErrUnfinished, ErrRestoreFailed, ErrWatchdogLost, plan.ErrUnknownPart, context.Canceled} {
				if errors.Is(err, s) {
					r.Is = append(r.Is, s.Error())
				}
			}
			var busy *BusyError
			if errors.As(err, &busy) {
				r.BusyPID = busy.PID
			}
		}
		if err := out.Encode(r); err != nil {
			return 1
		}
	}
}

func capture(more []string) ([]plan.Captured, error) {
	s, err := captureLink(context.Background(), nil)
	if err != nil {
		return nil, err
	}
	c, err := plan.Capture("link", s)
	if err != nil {
		return nil, err
	}
	all := []plan.Captured{c}
	for _, p := range more {
		part, state, _ := strings.Cut(p, "=")
		all = append(all, plan.Captured{Part: part, State: json.RawMessage(state)})
	}
	return all, nil
}

// host is a namespace with the link, and a state directory.
type host struct {
	t   *testing.T
	ns  *netns.NS
	dir string
}

const (
	before = "192.0.2.1/24"    // what the link has
	after  = "198.51.100.1/24" // what the change adds
	late   = "203.0.113.1/24"  // what a step adds that comes too late
)

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, ns: nstest.NS(t), dir: filepath.Join(t.TempDir(), strings.Repeat("a-long-name", 8))}
	nstest.Do(t, h.ns, func() error {
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: linkName}}); err != nil {
			return err
		}
		return setAddr(before, true)
	})
	return h
}

// addrs returns what the link has.
func (h *host) addrs() (s linkState) {
	h.t.Helper()
	nstest.Do(h.t, h.ns, func() (err error) { s, err = captureLink(context.Background(), nil); return err })
	return s
}

func (h *host) status() (s ChangeStatus, err error) {
	h.t.Helper()
	nstest.Do(h.t, h.ns, func() error { s, err = Status(h.dir); return nil })
	return s, err
}

// restored waits for the link to be as before and no change to be open, 3 s at
// most.
func (h *host) restored() {
	h.t.Helper()
	start := time.Now()
	h.await("restored", func() bool {
		_, err := h.status()
		return slices.Equal(h.addrs(), linkState{before}) && errors.Is(err, ErrNoChange)
	})
	h.t.Logf("restored after %v", time.Since(start).Round(time.Millisecond))
}

// kept checks that the change stands and no change is open.
func (h *host) kept() {
	h.t.Helper()
	if _, err := h.status(); !errors.Is(err, ErrNoChange) {
		h.t.Errorf("status: %v, want ErrNoChange", err)
	}
	if got := h.addrs(); !slices.Equal(got, linkState{before, after}) {
		h.t.Errorf("the link has %v, want the change kept", got)
	}
}

func (h *host) await(what string, is func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(3 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s, err := h.status()
			logs, _ := filepath.Glob(filepath.Join(h.dir, "*", logName))
			for _, l := range logs {
				b, _ := os.ReadFile(l)
				h.t.Logf("%s:\n%s", l, b)
			}
			h.t.Fatalf("not %s within 3 s: link has %v, status %+v, %v", what, h.addrs(), s, err)
		}
	}
}

// process is an applier that runs.
type process struct {
	h   *host
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// start runs an applier in the host's namespace, leader of its own session.
func (h *host) start() *process {
	h.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	// The race detector makes every process wait a second at its end.
	cmd.Env = append(os.Environ(), envApplier+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.ns.Start(cmd); err != nil {
		h.t.Fatal(err)
	}
	p := &process{h: h, cmd: cmd, in: in, out: bufio.NewScanner(out)}
	h.t.Cleanup(p.kill)
	return p
}

// kill ends the process at once, and its process group.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		p.cmd.Wait()
	}
}

func (p *process) send(o order) {
	p.h.t.Helper()
	o.Dir = p.h.dir
	o.Opts.StateDir = p.h.dir
	if err := json.NewEncoder(p.in).Encode(o); err != nil {
		p.h.t.Fatal(err)
	}
}

func (p *process) receive() (r result) {
	p.h.t.Helper()
	if !p.out.Scan() {
		p.h.t.Fatalf("the applier said nothing: %v", p.out.Err())
	}
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		p.h.t.Fatal(err)
	}
	return r
}

// try sends an order and returns the answer.
func (p *process) try(o order) result {
	p.h.t.Helper()
	p.send(o)
	return p.receive()
}

// do sends an order that must succeed.
func (p *process) do(o order) result {
	p.h.t.Helper()
	r := p.try(o)
	if r.Err != "" {
		p.h.t.Fatalf("%s: %s", o.Do, r.Err)
	}
	return r
}

// refused sends an order that must fail with a sentinel.
func (p *process) refused(o order, want error) result {
	p.h.t.Helper()
	r := p.try(o)
	if !slices.Contains(r.Is, want.Error()) {
		p.h.t.Fatalf("%s: error %q, want one that matches %q", o.Do, r.Err, want)
	}
	return r
}

// begin opens a change and makes sure that its watchdog doesn't outlive the
// test.
func (p *process) begin(opts Options, parts ...string) result {
	p.h.t.Helper()
	r := p.do(order{Do: "begin", Opts: opts, Parts: parts})
	p.h.t.Cleanup(func() {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.Watchdog)); err == nil && strings.HasPrefix(string(b), watchdogName+"\x00"+p.h.dir) {
			p.h.t.Logf("watchdog %d was left", r.Watchdog)
			syscall.Kill(r.Watchdog, syscall.SIGKILL)
		}
	})
	return r
}

// apply makes the change up to its countdown.
func (p *process) apply(opts Options, parts ...string) result {
	p.h.t.Helper()
	r := p.begin(opts, parts...)
	p.do(order{Do: "add", Addr: after})
	p.do(order{Do: "applied"})
	return r
}
