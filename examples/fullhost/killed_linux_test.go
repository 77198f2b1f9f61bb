package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/lab/probe"
)

// backWithin is how soon the provider's side must have the original
// configuration back, in both families.
const backWithin = 3 * time.Second

// ending is a way in which the processes of a change end.
type ending struct {
	name string
	kill func(t *testing.T, s *stage, a *stagedApply, cgroup *os.File)
	// recover: the watchdog ends too, so that the next start has to restore.
	recover bool
}

func killProcess(t *testing.T, s *stage, _ *stagedApply, _ *os.File) {
	_, pid, _, open := s.open()
	if !open {
		t.Fatal("no change is open")
	}
	syscall.Kill(pid, syscall.SIGKILL)
}

func endings() []ending {
	return []ending{
		{name: "process", kill: killProcess},
		{name: "process group", kill: func(_ *testing.T, _ *stage, a *stagedApply, _ *os.File) {
			syscall.Kill(-a.shell.Process.Pid, syscall.SIGKILL)
		}},
		{name: "session", kill: func(t *testing.T, _ *stage, a *stagedApply, _ *os.File) {
			pids := sessionOf(t, a.shell.Process.Pid)
			if len(pids) < 2 {
				t.Fatalf("the session has the processes %v, want the shell and fullhost", pids)
			}
			for _, pid := range pids {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}},
		{name: "cgroup", kill: func(t *testing.T, _ *stage, _ *stagedApply, cgroup *os.File) {
			if err := os.WriteFile(filepath.Join(cgroup.Name(), "cgroup.kill"), []byte("1"), 0); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "process and watchdog", recover: true, kill: func(t *testing.T, s *stage, a *stagedApply, _ *os.File) {
			_, pid, watchdog, open := s.open()
			if !open {
				t.Fatal("no change is open")
			}
			// The watchdog first, or it would have begun to restore.
			syscall.Kill(watchdog, syscall.SIGKILL)
			syscall.Kill(pid, syscall.SIGKILL)
			gone(t, watchdog)
			gone(t, pid)
		}},
		{name: "process, then the watchdog at its work", recover: true, kill: func(t *testing.T, s *stage, a *stagedApply, _ *os.File) {
			_, pid, watchdog, open := s.open()
			if !open {
				t.Fatal("no change is open")
			}
			syscall.Kill(pid, syscall.SIGKILL)
			time.Sleep(time.Duration(rand.N(60)) * time.Millisecond)
			syscall.Kill(watchdog, syscall.SIGKILL)
			gone(t, pid)
			gone(t, watchdog)
		}},
	}
}

func endingOf(name string) ending {
	i := slices.IndexFunc(endings(), func(e ending) bool { return e.name == name })
	return endings()[i]
}

// gone waits until a process runs no more; who buries it does not matter.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, state, ok := strings.Cut(string(b), ") "); err != nil || ok && (state[0] == 'Z' || state[0] == 'X') {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %d survives SIGKILL", pid)
		}
	}
}

// sessionOf lists the processes of a session (proc(5), stat's sixth field).
func sessionOf(t *testing.T, session int) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		name, rest, _ := strings.Cut(string(b), " (")
		f := strings.Fields(rest[strings.LastIndex(rest, ")")+1:])
		if pid, err := strconv.Atoi(name); err == nil && f[3] == strconv.Itoa(session) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// cgroupFor makes a cgroup (version 2) for one change.
func cgroupFor(t *testing.T) *os.File {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	root := ""
	for line := range strings.Lines(string(mounts)) {
		if before, after, ok := strings.Cut(line, " - "); ok && strings.HasPrefix(after, "cgroup2 ") {
			root = strings.Fields(before)[4]
		}
	}
	if root == "" {
		t.Skip("needs cgroup version 2")
	}
	dir, err := os.MkdirTemp(root, "fullhost-test-*.scope")
	if err != nil {
		t.Skipf("needs a writable cgroup hierarchy: %v", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		for end := time.Now().Add(5 * time.Second); os.Remove(dir) != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("the cgroup %s is not empty", dir)
				return
			}
		}
	})
	return f
}

// recovery is what came of one change that was cut off.
type recovery struct {
	// back is the time from the end of the processes, or from the next start
	// where the watchdog had ended too, until the way back was complete.
	back time.Duration
	// stall is the longest time either family did not answer the provider.
	stall time.Duration
	// waiting: the apply phase was done already, so that the countdown came first.
	waiting bool
}

// cutOff begins a change, ends its processes at a moment, and checks that all
// is as it was.
func (s *stage) cutOff(t *testing.T, e ending, moment func(*stagedApply)) recovery {
	t.Helper()
	var cgroup *os.File
	if e.name == "cgroup" {
		cgroup = cgroupFor(t)
	}
	pings := s.pings(t)
	before := dumpHost(t, s.server)
	s.detected()
	a := s.apply(t, s.file, cgroup)
	moment(a)

	var r recovery
	since := time.Now()
	e.kill(t, s, a, cgroup)
	// The watchdog may have been faster than its end.
	if _, _, _, open := s.open(); e.recover && open {
		// run then refuses to serve, for the host is not set up.
		next := []struct {
			command string
			status  int
			prints  string
		}{{"undo", 0, "The network from before the change is back."}, {"run", 2, "An earlier change was cut off; the network from before it is back."}}[rand.N(2)]
		since = time.Now()
		status, stdout, stderr := program(t, s.server, nil, next.command, "-f", s.file)
		if status != next.status || !strings.Contains(stdout, next.prints) {
			t.Errorf("%s afterwards: status %d, prints %q, says %q", next.command, status, stdout, stderr)
		}
	}
	for {
		phase, _, _, open := s.open()
		if !open {
			break
		}
		// The kill may have come after the last step's end.
		r.waiting = r.waiting || phase == "waiting for confirm"
		if time.Since(since) > 10*time.Second {
			t.Fatal("the change is still open 10 s after its processes ended")
		}
		time.Sleep(time.Millisecond)
	}
	r.back = time.Since(since)
	ctx, cancel := context.WithTimeout(context.Background(), backWithin)
	defer cancel()
	for _, p := range pings {
		if err := p.WaitAnswer(ctx); err != nil {
			t.Error(err)
		}
	}
	for _, line := range before.diff(dumpHost(t, s.server)) {
		t.Errorf("left behind: %s", line)
	}
	if t.Failed() {
		t.Logf("the watchdog says:\n%s", s.watchdogLog())
	}
	if list := s.detected(); len(list) > 0 {
		t.Errorf("under duplicate address detection: %q", list)
	}
	if try := probe.TryPing(context.Background(), s.provider, stageAdopted, 20*time.Millisecond); try.Outcome == probe.Answered {
		t.Errorf("the address of the change still answers: %v", try)
	}
	// A machine that keeps a thread of 1 kHz from running for so long has no time
	// for the way back either.
	const overloaded = 100 * time.Millisecond
	var sendGap time.Duration
	for _, p := range pings {
		report := p.Stop()
		r.stall = max(r.stall, report.Total.Stall)
		sendGap = max(sendGap, report.Total.SendGap)
		if report.Total.Stall > 50*time.Millisecond {
			t.Logf("%v, the prober was held up for %v, %d not sent (%s), %d not taken in", report, report.Total.SendGap, report.SendErrors, report.FirstSendError, report.Overflow)
		}
	}
	switch {
	case r.back <= backWithin && r.stall <= backWithin:
	case sendGap > overloaded:
		t.Logf("restored after %v, silent for %v; but the prober itself was held up for %v", r.back, r.stall, sendGap)
	default:
		t.Errorf("restored after %v, silent for %v", r.back, r.stall)
	}
	a.end()
	return r
}

// rehearsal runs a whole change and lets it be taken back.
type rehearsal struct {
	lead   int      // lines before the first step's
	steps  []string // the steps' lines
	length time.Duration
}

func (s *stage) rehearse(t *testing.T) rehearsal {
	t.Helper()
	pings := s.pings(t)
	before := dumpHost(t, s.server)
	a := s.apply(t, s.file, nil)
	var r rehearsal
	r.lead = len(a.until(t, "[1/")) - 1
	begun := time.Now()
	r.steps = append([]string{"[1/"}, a.until(t, "Applied.")...)
	r.length = time.Since(begun)
	r.steps = r.steps[:len(r.steps)-1]
	a.until(t, "Not confirmed")
	for _, line := range before.diff(dumpHost(t, s.server)) {
		t.Errorf("left behind by the rehearsal: %s", line)
	}
	for _, p := range pings {
		p.Stop()
	}
	return r
}

// sum describes many recoveries in one line.
func sum(list []recovery) string {
	var back, stall []time.Duration
	waiting := 0
	for _, r := range list {
		stall = append(stall, r.stall)
		if r.waiting {
			waiting++
			continue
		}
		back = append(back, r.back)
	}
	slices.Sort(back)
	slices.Sort(stall)
	if len(back) == 0 {
		return fmt.Sprintf("%d times, all of them after the apply phase", len(list))
	}
	ms := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	return fmt.Sprintf("%d times: restored after %v (median), %v (most); the provider saw silence of %v (median), %v (most); %d of them after the apply phase, when the countdown comes first",
		len(list), ms(back[len(back)/2]), ms(back[len(back)-1]), ms(stall[len(stall)/2]), ms(stall[len(stall)-1]), waiting)
}

// TestKilledAfterEachStep: SIGKILL when a step is done and the next has not
// begun.
func TestKilledAfterEachStep(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.rehearse(t)
	steps := make([]int, len(r.steps)) // 0: nothing is done yet
	for i := range steps {
		steps[i] = i
	}
	random := seeded(t)
	if !fullTier() {
		random.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		steps = steps[:6]
		slices.Sort(steps)
	}
	var all []recovery
	for _, n := range steps {
		t.Run(fmt.Sprintf("after %d of %d", n, len(r.steps)), func(t *testing.T) {
			all = append(all, s.cutOff(t, endingOf("process"), func(a *stagedApply) {
				lines := a.lines(t, r.lead+n-1)
				if n > 1 && !strings.HasPrefix(lines[len(lines)-1], fmt.Sprintf("[%d/%d]", n-1, len(r.steps))) {
					t.Fatalf("the plan has changed since the rehearsal: it prints %q", lines[len(lines)-1])
				}
				a.hangs(t)
			}))
		})
	}
	t.Log(sum(all))
}

// TestKilledAtRandomMoments: SIGKILL somewhere between the first step's
// beginning and a little after the last one's end, mostly in the middle of one.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.rehearse(t)
	random := seeded(t)
	var all []recovery
	for range inTier(5, 200) {
		m := r.moment(random)
		t.Run(m.String(), func(t *testing.T) {
			all = append(all, s.cutOff(t, endingOf("process"), m.await(t)))
		})
	}
	t.Log(sum(all))
}

// moment is a random one, some time after a step was announced.
type moment struct {
	step int
	wait time.Duration
}

// moment draws one: any step, and up to the time that some steps take, so that
// it falls within one as well as between two.
func (r rehearsal) moment(random *rand.Rand) moment {
	some := 3 * int64(r.length) / int64(len(r.steps))
	return moment{1 + random.IntN(len(r.steps)), time.Duration(random.Int64N(some))}
}

func (m moment) String() string { return fmt.Sprintf("%v after the line of step %d", m.wait, m.step) }

func (m moment) await(t *testing.T) func(*stagedApply) {
	return func(a *stagedApply) {
		a.until(t, fmt.Sprintf("[%d/", m.step))
		a.out.drain()
		time.Sleep(m.wait)
	}
}

// TestKilledWithCompany: more than the applying process ends.
func TestKilledWithCompany(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.rehearse(t)
	random := seeded(t)
	for _, e := range endings()[1:] {
		t.Run(e.name, func(t *testing.T) {
			var all []recovery
			for range inTier(1, 20) {
				m := r.moment(random)
				t.Run(m.String(), func(t *testing.T) {
					all = append(all, s.cutOff(t, e, m.await(t)))
				})
			}
			t.Log(sum(all))
		})
	}
}

// seeded is a generator whose seed is logged.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("FULLHOST_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("FULLHOST_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func fullTier() bool { return os.Getenv("CI_TIER") == "full" }

// inTier is how often a thing is done in the default run, and in the full one.
func inTier(usual, full int) int {
	if fullTier() {
		return full
	}
	return usual
}
