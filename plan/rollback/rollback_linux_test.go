package rollback

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/plan"
)

func TestCountdownRestores(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.start()
	p.apply(Options{Timeout: 200 * time.Millisecond})
	if r := p.do(order{Do: "wait"}); r.Outcome != TimedOut {
		t.Errorf("outcome %q, want %q", r.Outcome, TimedOut)
	}
	h.restored()
	p.refused(order{Do: "applied"}, ErrRestoring)
	p.refused(order{Do: "keep"}, ErrRestoring)
	if r := p.try(order{Do: "add", Addr: late}); !slices.Contains(r.Is, context.Canceled.Error()) {
		t.Errorf("a step after restoring: %q, want a cancelled context", r.Err)
	}
	p.do(order{Do: "undo"}) // it is done
}

func TestConfirmKeeps(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p, login := h.start(), h.start()
	login.refused(order{Do: "confirm"}, ErrNoChange)
	login.refused(order{Do: "undo other"}, ErrNoChange)
	w := p.begin(Options{Timeout: time.Minute})
	p.do(order{Do: "add", Addr: after})
	login.refused(order{Do: "confirm"}, ErrNotApplied)
	s, err := h.status()
	if err != nil || s.Phase != Applying || !s.Live || !s.Attached || s.PID != w.PID || s.Watchdog != w.Watchdog || s.Remaining <= 4*time.Minute || s.Remaining > 5*time.Minute {
		t.Errorf("while applying: %+v, %v", s, err)
	}
	p.do(order{Do: "applied"})
	s, err = h.status()
	if err != nil || s.Phase != Waiting || !s.Live || !s.Attached || s.Remaining <= 50*time.Second || s.Remaining > time.Minute || time.Until(s.Deadline) > time.Minute {
		t.Errorf("while waiting: %+v, %v", s, err)
	}
	login.do(order{Do: "confirm"})
	if r := p.do(order{Do: "wait"}); r.Outcome != Confirmed {
		t.Errorf("outcome %q, want %q", r.Outcome, Confirmed)
	}
	h.kept()
	p.refused(order{Do: "undo"}, ErrNoChange)
	login.refused(order{Do: "confirm"}, ErrNoChange)
	// The watchdog has been reaped, and the next change can begin at once.
	if alive(w.Watchdog) {
		t.Errorf("watchdog %d still runs", w.Watchdog)
	}
	p.begin(Options{})
	p.do(order{Do: "undo"})
	h.kept()
}

func TestConfirmByTheApplyingProcess(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.start()
	p.begin(Options{})
	p.do(order{Do: "add", Addr: after})
	p.refused(order{Do: "keep"}, ErrNotApplied)
	p.do(order{Do: "applied"})
	p.do(order{Do: "keep"})
	if r := p.do(order{Do: "wait"}); r.Outcome != Confirmed {
		t.Errorf("outcome %q, want %q", r.Outcome, Confirmed)
	}
	p.refused(order{Do: "keep"}, ErrNoChange)
	h.kept()
}

func TestUndo(t *testing.T) {
	t.Parallel()
	for name, applied := range map[string]bool{"while applying": false, "while waiting": true} {
		for by, what := range map[string]string{"itself": "undo", "another": "undo other"} {
			t.Run(name+" by "+by, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				p := h.start()
				p.begin(Options{})
				p.do(order{Do: "add", Addr: after})
				if applied {
					p.do(order{Do: "applied"})
				}
				who := p
				if by == "another" {
					who = h.start()
				}
				if !applied && by == "another" {
					// The applying process stops when it hears of it.
					who.send(order{Do: what})
					h.await("restoring", func() bool { s, _ := h.status(); return s.Phase == Restoring })
					p.do(order{Do: "undo"})
					if r := who.receive(); r.Err != "" {
						t.Fatal(r.Err)
					}
				} else {
					who.do(order{Do: what})
				}
				h.restored()
				if r := p.do(order{Do: "wait"}); r.Outcome != Undone {
					t.Errorf("outcome %q, want %q", r.Outcome, Undone)
				}
			})
		}
	}
}

// However the applying process ends before Applied, the change is taken back.
func TestDeathWhileApplying(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*process){
		"SIGKILL":                func(p *process) { p.cmd.Process.Kill() },
		"SIGHUP to its session":  func(p *process) { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGHUP) },
		"SIGKILL to its session": func(p *process) { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) },
		"exit":                   func(p *process) { p.in.Close() },
	} {
		for _, changed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, changed %t", name, changed), func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				p := h.start()
				p.begin(Options{})
				if changed {
					p.do(order{Do: "add", Addr: after})
				}
				end(p)
				h.restored()
			})
		}
	}
}

// After Applied the end of the applying process, its group and its session
// changes nothing, and neither do signals that a terminal sends to the watchdog.
func TestDeathWhileWaiting(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.start()
	w := p.apply(Options{Timeout: time.Minute})
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGHUP)
	p.kill()
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		syscall.Kill(w.Watchdog, s)
	}
	h.await("detached", func() bool { s, err := h.status(); return err == nil && !s.Attached })
	if s, err := h.status(); err != nil || s.Phase != Waiting || !s.Live {
		t.Errorf("status %+v, %v", s, err)
	}
	login := h.start()
	if r := login.try(order{Do: "begin"}); r.BusyPID != w.PID {
		t.Errorf("another change: %+v, want it busy with %d", r, w.PID)
	}
	login.do(order{Do: "confirm"})
	h.kept()
}

func TestCountdownWithoutTheApplyingProcess(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.start()
	p.apply(Options{Timeout: 300 * time.Millisecond})
	p.kill()
	h.restored()
}

func TestSIGTERMRestores(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.start()
	w := p.apply(Options{})
	syscall.Kill(w.Watchdog, syscall.SIGTERM)
	if r := p.do(order{Do: "wait"}); r.Outcome != Terminated {
		t.Errorf("outcome %q, want %q", r.Outcome, Terminated)
	}
	h.restored()
}

// A step that hangs is given up on, and what it does when it ends after all is
// taken back as well.
func TestHangingStep(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.start()
	p.begin(Options{ApplyTimeout: 100 * time.Millisecond})
	p.do(order{Do: "hang", Addr: late})
	h.await("restoring", func() bool { s, _ := h.status(); return s.Phase == Restoring })
	if r := p.try(order{Do: "begin"}); r.BusyPID != r.PID {
		t.Errorf("a change beside a hanging step: %+v, want it busy", r)
	}
	if r := p.try(order{Do: "add", Addr: after}); r.Err == "" {
		t.Error("a further step ran")
	}
	p.send(order{Do: "release"})
	if r := p.receive(); r.Err != "<nil>" {
		t.Fatalf("the hanging step: %s", r.Err)
	}
	h.restored()
	if r := p.do(order{Do: "wait"}); r.Outcome != ApplyTimedOut {
		t.Errorf("outcome %q, want %q", r.Outcome, ApplyTimedOut)
	}
}

func TestWatchdogKilled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		applied    bool
		parentToo  bool
		next, want string // what another process does, and the state then
	}{
		{name: "while applying, recovered", next: "recover", want: "restored"},
		{name: "while applying, with the parent, recovered", parentToo: true, next: "recover", want: "restored"},
		{name: "while waiting, with the parent, recovered", applied: true, parentToo: true, next: "recover", want: "restored"},
		{name: "while waiting, with the parent, confirmed", applied: true, parentToo: true, next: "confirm", want: "kept"},
		{name: "while applying, undone by the parent", next: "", want: "restored"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			p, other := h.start(), h.start()
			w := p.begin(Options{})
			p.do(order{Do: "add", Addr: after})
			if tc.applied {
				p.do(order{Do: "applied"})
			}
			syscall.Kill(w.Watchdog, syscall.SIGKILL)
			if tc.parentToo {
				p.kill()
			} else {
				p.refused(order{Do: "wait"}, ErrWatchdogLost)
				p.refused(order{Do: "applied"}, ErrWatchdogLost)
				if r := p.try(order{Do: "add", Addr: late}); r.Err == "" {
					t.Error("a step ran without a watchdog")
				}
			}
			h.await("known to be dead", func() bool { s, err := h.status(); return err == nil && !s.Live })
			other.refused(order{Do: "begin"}, ErrUnfinished)
			other.refused(order{Do: "undo other"}, ErrUnfinished)
			if !tc.applied {
				other.refused(order{Do: "confirm"}, ErrUnfinished)
			}
			switch tc.next {
			case "":
				p.do(order{Do: "undo"})
			case "recover":
				if r := other.do(order{Do: "recover"}); !r.Restored {
					t.Error("Recover found nothing to restore")
				}
				if r := other.do(order{Do: "recover"}); r.Restored {
					t.Error("Recover restored twice")
				}
			default:
				other.do(order{Do: tc.next})
			}
			if tc.want == "kept" {
				h.kept()
			} else {
				h.restored()
			}
			other.begin(Options{})
			other.do(order{Do: "undo"})
		})
	}
}

func TestRecoverLeavesOpenChangesAlone(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p, other := h.start(), h.start()
	if r := other.do(order{Do: "recover"}); r.Restored {
		t.Error("restored something where nothing was")
	}
	p.apply(Options{})
	if r := other.do(order{Do: "recover"}); r.Restored {
		t.Error("restored under a live watchdog")
	}
	other.do(order{Do: "confirm"})
	h.kept()
}

// One change at a time in a namespace, also if many begin at once; and any
// number in different ones.
func TestBusy(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	ps := make([]*process, 5)
	for i := range ps {
		ps[i] = h.start()
	}
	for _, p := range ps {
		p.send(order{Do: "begin"})
	}
	var (
		winner *process
		busy   []int
	)
	for _, p := range ps {
		switch r := p.receive(); {
		case r.Err == "" && winner == nil:
			winner = p
		case r.Err == "":
			t.Error("two changes began")
		case r.BusyPID == 0:
			t.Errorf("refused otherwise: %+v", r)
		default:
			busy = append(busy, r.BusyPID)
		}
	}
	if winner == nil {
		t.Fatal("no change began")
	}
	for _, pid := range busy {
		if pid != winner.cmd.Process.Pid {
			t.Errorf("refused with pid %d, want %d", pid, winner.cmd.Process.Pid)
		}
	}
	other := newHost(t)
	other.dir = h.dir
	q := other.start()
	q.begin(Options{})
	q.do(order{Do: "undo"})
	winner.do(order{Do: "undo"})
}

func TestRestoreFailures(t *testing.T) {
	t.Parallel()
	failing := func(t *testing.T, times int) (part, file string) {
		file = filepath.Join(t.TempDir(), "failures")
		if err := os.WriteFile(file, []byte(strconv.Itoa(times)), 0o600); err != nil {
			t.Fatal(err)
		}
		return "flaky=" + strconv.Quote(file), file
	}
	opts := Options{Attempts: 3, Pause: 10 * time.Millisecond, Timeout: 50 * time.Millisecond}

	t.Run("passing", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		part, _ := failing(t, 2)
		p := h.start()
		p.apply(opts, part)
		if r := p.do(order{Do: "wait"}); r.Outcome != TimedOut {
			t.Errorf("outcome %q, want %q", r.Outcome, TimedOut)
		}
		h.restored()
	})
	for name, last := range map[string]string{"lasting, then recovered": "recover", "lasting, then left": "confirm"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			part, file := failing(t, 5)
			p := h.start()
			p.apply(opts, part)
			p.refused(order{Do: "wait"}, ErrRestoreFailed)
			// What can be restored is.
			if got := h.addrs(); !slices.Equal(got, linkState{before}) {
				t.Errorf("the link has %v", got)
			}
			s, err := h.status()
			if err != nil || s.Phase != Failed || s.Outcome != TimedOut || s.Live || !strings.Contains(s.Err, "3 more times") {
				t.Errorf("status %+v, %v", s, err)
			}
			p.refused(order{Do: "begin"}, ErrUnfinished)
			if last == "recover" {
				// Two failures are left, and three attempts.
				if r := p.do(order{Do: "recover"}); !r.Restored {
					t.Error("nothing restored")
				}
				if b, _ := os.ReadFile(file); string(b) != "0" {
					t.Errorf("%s failures left", b)
				}
			} else {
				p.do(order{Do: "confirm"})
			}
			h.restored()
		})
	}
	t.Run("recover fails", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		part, _ := failing(t, 100)
		p := h.start()
		p.apply(opts, part)
		p.refused(order{Do: "undo"}, ErrRestoreFailed)
		p.refused(order{Do: "recover"}, ErrRestoreFailed)
		if s, err := h.status(); err != nil || s.Phase != Failed || !strings.Contains(s.Err, "95 more times") {
			t.Errorf("status %+v, %v", s, err)
		}
	})
	t.Run("panic", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		p := h.start()
		p.apply(opts, "panicky=1")
		p.refused(order{Do: "wait"}, ErrRestoreFailed)
		if s, err := h.status(); err != nil || s.Phase != Failed || !strings.Contains(s.Err, "on purpose") {
			t.Errorf("status %+v, %v", s, err)
		}
	})
}

// What is wrong with the program or the state directory is told before
// anything has changed.
func TestBeginRefuses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, g := range []*Guard{nil, {}} {
		if _, err := g.Begin(ctx, Options{StateDir: t.TempDir()}, nil); !errors.Is(err, ErrNoMain) {
			t.Errorf("Begin without Main: %v", err)
		}
		if _, err := g.Recover(ctx, t.TempDir()); !errors.Is(err, ErrNoMain) {
			t.Errorf("Recover without Main: %v", err)
		}
	}
	h := newHost(t)
	p := h.start()
	p.refused(order{Do: "begin", Parts: []string{"unheard=1"}}, plan.ErrUnknownPart)

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := h.dir
	h.dir = file
	if r := p.try(order{Do: "begin"}); !strings.Contains(r.Err, "not a directory") {
		t.Errorf("state directory is a file: %q", r.Err)
	}
	h.dir = good
	p.begin(Options{})
	p.do(order{Do: "undo"})
	dirs, err := filepath.Glob(filepath.Join(h.dir, "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%v %v", dirs, err)
	}
	if err := os.Chmod(dirs[0], 0o755); err != nil {
		t.Fatal(err)
	}
	if r := p.try(order{Do: "begin"}); !strings.Contains(r.Err, "must belong to user") {
		t.Errorf("state folder open to others: %q", r.Err)
	}
}

func TestBeginOnFullDisk(t *testing.T) {
	h := newHost(t)
	h.dir = t.TempDir()
	if err := unix.Mount("none", h.dir, "tmpfs", 0, "size=8k,nr_inodes=20,mode=700"); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		h.await("unmounted", func() bool { return unix.Unmount(h.dir, 0) == nil })
	})
	p := h.start()
	if r := p.try(order{Do: "begin", Parts: []string{`flaky="` + strings.Repeat("x", 20000) + `"`}}); !strings.Contains(r.Err, "no space left") {
		t.Errorf("disk full: %q", r.Err)
	}
	if _, err := h.status(); !errors.Is(err, ErrNoChange) {
		t.Errorf("status: %v", err)
	}
	// Full after Begin: phases can't be noted, restoring must work all the same.
	p.begin(Options{})
	p.do(order{Do: "add", Addr: after})
	fill, err := os.Create(filepath.Join(h.dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = fill.Write(make([]byte, 512))
	}
	fill.Close()
	p.do(order{Do: "applied"})
	p.do(order{Do: "undo"})
	h.restored()
	p.kill()
}

// A capture of another boot, or of a namespace that had the same inode number,
// is nobody's.
func TestStaleCapture(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*hostID){
		"boot":   func(id *hostID) { id.Boot = "another" },
		"cookie": func(id *hostID) { id.Cookie++ },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			p := h.start()
			w := p.apply(Options{})
			syscall.Kill(w.Watchdog, syscall.SIGKILL)
			p.refused(order{Do: "wait"}, ErrWatchdogLost)
			nstest.Do(t, h.ns, func() error {
				id, err := thisHost()
				if err != nil {
					return err
				}
				d, err := openFolder(h.dir, id)
				if err != nil {
					return err
				}
				defer d.close()
				r, err := d.readOwn(id)
				if err != nil || r == nil {
					return fmt.Errorf("record %v: %w", r, err)
				}
				change(&r.Host)
				return d.write(r)
			})
			if _, err := h.status(); !errors.Is(err, ErrNoChange) {
				t.Errorf("status: %v", err)
			}
			if r := p.do(order{Do: "recover"}); r.Restored {
				t.Error("restored what was another's")
			}
			h.kept()
			p.begin(Options{})
			p.do(order{Do: "undo"})
		})
	}
}

// The watchdog has its own session and name, no terminal, and holds neither
// folder nor standard files of its starter.
func TestWatchdogProcess(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.start()
	w := p.begin(Options{})
	proc := fmt.Sprintf("/proc/%d/", w.Watchdog)
	if sid, err := unix.Getsid(w.Watchdog); err != nil || sid != w.Watchdog {
		t.Errorf("session %d, %v", sid, err)
	}
	for link, want := range map[string]string{"cwd": "/", "fd/0": "/dev/null", "fd/1": "/dev/null"} {
		if got, err := os.Readlink(proc + link); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", link, got, err, want)
		}
	}
	s, err := h.status()
	if err != nil || s.Cgroup == "" {
		t.Errorf("status %+v, %v", s, err)
	}
	if got, err := os.Readlink(proc + "fd/2"); err != nil || got != s.Log {
		t.Errorf("standard error is %s, %v; want %s", got, err, s.Log)
	}
	if b, err := os.ReadFile(proc + "cmdline"); err != nil || string(b) != watchdogName+"\x00"+filepath.Dir(s.Log)+"\x00" {
		t.Errorf("command line %q, %v", b, err)
	}
	ps, err := exec.Command(nstest.Tool(t, "ps"), "-o", "comm=", "-p", strconv.Itoa(w.Watchdog)).Output()
	if err != nil || strings.TrimSpace(string(ps)) != watchdogComm {
		t.Errorf("ps shows %q, %v", ps, err)
	}
	for _, f := range []string{recordName, socketName, logName} {
		st, err := os.Stat(filepath.Join(filepath.Dir(s.Log), f))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", f, st, err)
		}
	}
	p.do(order{Do: "undo"})
	left, err := os.ReadDir(filepath.Dir(s.Log))
	if err != nil || len(left) != 1 || left[0].Name() != logName {
		t.Errorf("files left: %v, %v; want the log alone", left, err)
	}
	log, err := os.ReadFile(s.Log)
	if err != nil || !strings.Contains(string(log), string(Undone)) {
		t.Errorf("the log says %q, %v", log, err)
	}
}

// Killing the cgroup of the applying process leaves the watchdog alone.
func TestCgroupKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	root, ok := cgroup2Mount(string(mounts))
	if !ok {
		t.Skip("needs cgroup version 2")
	}
	group := filepath.Join(root, fmt.Sprintf("sixhost-test-%d", os.Getpid()))
	scope := filepath.Join(group, "session.scope")
	if err := os.MkdirAll(scope, 0o755); err != nil {
		t.Skipf("needs a writable cgroup hierarchy: %v", err)
	}
	t.Cleanup(func() {
		for _, dir := range []string{scope, group} {
			h.await("cgroup empty", func() bool { return os.Remove(dir) == nil })
		}
	})
	p := h.start()
	if err := os.WriteFile(filepath.Join(scope, "cgroup.procs"), []byte(strconv.Itoa(p.cmd.Process.Pid)), 0); err != nil {
		t.Skipf("needs to move a process between cgroups: %v", err)
	}
	w := p.begin(Options{})
	p.do(order{Do: "add", Addr: after})
	own, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", w.Watchdog))
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.status()
	if path, _ := cgroup2Path(string(own)); err != nil || path != s.Cgroup || path != "/" {
		t.Errorf("the watchdog runs in %q, status says %q, %v", path, s.Cgroup, err)
	}
	if err := os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0); err != nil {
		t.Skipf("needs cgroup.kill: %v", err)
	}
	h.restored()
	p.kill()
}

func TestCgroupFiles(t *testing.T) {
	const v2 = "26 25 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	for _, tc := range []struct {
		mounts, want string
		ok           bool
	}{
		{v2, "/sys/fs/cgroup", true},
		{"1 2 0:3 / /proc rw - proc proc rw\n" + `3 2 0:4 / /odd\040name rw - cgroup2 none rw` + "\n", "/odd name", true},
		{"26 25 0:23 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "", false},
		{"26 25 0:23 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "", false},
		{"nonsense\n - \n", "", false},
	} {
		if got, ok := cgroup2Mount(tc.mounts); got != tc.want || ok != tc.ok {
			t.Errorf("cgroup2Mount(%q) = %q, %t", tc.mounts, got, ok)
		}
	}
	for _, tc := range []struct {
		file, want string
		ok         bool
	}{
		{"2:cpu:/x\n0::/user.slice/a.scope\n", "/user.slice/a.scope", true},
		{"0::/\n", "/", true},
		{"0::/../outside\n", "", false},
		{"1:name=systemd:/x\n", "", false},
	} {
		if got, ok := cgroup2Path(tc.file); got != tc.want || ok != tc.ok {
			t.Errorf("cgroup2Path(%q) = %q, %t", tc.file, got, ok)
		}
	}
	if got := ancestors("/a/b/c"); !slices.Equal(got, []string{"/", "/a", "/a/b"}) {
		t.Errorf("ancestors: %q", got)
	}
}
