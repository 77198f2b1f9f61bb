package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nstest"
)

// envFault names the error that netlink has for the program from SIGUSR1 on,
// and the file that is made when it is so.
const envFault = "FULLHOST_TEST_FAULT"

// armFault makes the program fail as told: the kernel itself refuses every
// message that the process sends, by a filter on its system calls. The watchdog
// is another process, and started before.
func armFault() {
	text, done, ok := strings.Cut(os.Getenv(envFault), ":")
	if !ok {
		return
	}
	errno, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, unix.SIGUSR1)
	go func() {
		<-told
		if err := failSending(unix.Errno(errno)); err != nil {
			panic(err)
		}
		if err := os.WriteFile(done, nil, 0o600); err != nil {
			panic(err)
		}
	}()
}

// failSending installs a seccomp(2) filter in all threads. Only netlink is
// spoken by sendto and sendmsg; the watchdog is talked to by write.
func failSending(errno unix.Errno) error {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K
	)
	filter := []unix.SockFilter{
		{Code: load, K: 0}, // the system call's number
		{Code: equal, K: unix.SYS_SENDTO, Jt: 2},
		{Code: equal, K: unix.SYS_SENDMSG, Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	thread, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return fmt.Errorf("install seccomp filter: %w", e)
	}
	if thread != 0 {
		return fmt.Errorf("install seccomp filter: thread %d can't take it", thread)
	}
	return nil
}

// rest lets the program run to its end, and returns what it printed more.
func (a *stagedApply) rest(t *testing.T) (stdout []string, status int) {
	t.Helper()
	for {
		line, err := a.out.next()
		if err != nil {
			break
		}
		stdout = append(stdout, line)
	}
	if err := a.shell.Wait(); err != nil && a.shell.ProcessState == nil {
		t.Fatal(err)
	}
	return stdout, a.shell.ProcessState.ExitCode()
}

// unchanged checks that a change has left nothing behind.
func (s *stage) unchanged(t *testing.T, before dump) {
	t.Helper()
	if _, _, _, open := s.open(); open {
		t.Error("the change is still open")
	}
	for _, line := range before.diff(dumpHost(t, s.server)) {
		t.Errorf("left behind: %s", line)
	}
}

// TestNetlinkRefusesAStep: whatever the kernel says no with, all is taken back
// and the step is named.
func TestNetlinkRefusesAStep(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.rehearse(t)
	random := seeded(t)
	for _, errno := range []unix.Errno{unix.EPERM, unix.EBUSY, unix.ENOBUFS} {
		for range inTier(1, 10) {
			n := 1 + random.IntN(len(r.steps)-2)
			t.Run(fmt.Sprintf("%s after step %d", unix.ErrnoName(errno), n), func(t *testing.T) {
				pings := s.pings(t)
				before := dumpHost(t, s.server)
				done := filepath.Join(t.TempDir(), "done")
				s.env = []string{fmt.Sprintf("%s=%d:%s", envFault, errno, done)}
				a := s.apply(t, s.file, nil)
				a.lines(t, r.lead+n-1)
				a.hangs(t)
				_, pid, _, _ := s.open()
				syscall.Kill(pid, unix.SIGUSR1)
				for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
					if _, err := os.Stat(done); err == nil {
						break
					}
					if time.Now().After(end) {
						t.Fatal("the fault is not there")
					}
				}
				stdout, status := a.rest(t)
				last := ""
				for _, line := range stdout {
					if strings.HasPrefix(line, "[") {
						last = line
					}
				}
				number, sentence, _ := strings.Cut(strings.TrimSpace(last), "] ")
				number = strings.ReplaceAll(strings.TrimPrefix(number, "["), "/", " of ")
				stderr := a.stderr.String()
				if status != 1 || strings.Count(stderr, "\n") != 1 ||
					!strings.HasPrefix(stderr, "fullhost: step "+number+" (") || !strings.Contains(stderr, sentence) || !strings.HasSuffix(stderr, errno.Error()+"\n") {
					t.Errorf("after %q: status %d, says %q; want 1 and one line that names the step and ends %q", last, status, stderr, errno.Error())
				}
				if out := strings.Join(stdout, ""); !strings.Contains(out, "Everything is taken back.\n") {
					t.Errorf("prints\n%s", out)
				}
				s.unchanged(t, before)
				for _, p := range pings {
					if report := p.Stop(); report.Total.Stall > time.Second {
						t.Error(report)
					}
				}
			})
		}
	}
}

// TestStateDirIsFull: with no room for the capture nothing is begun, and a disk
// that fills up later keeps nothing from being taken back.
func TestStateDirIsFull(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.rehearse(t)
	small := filepath.Join(s.dir, "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(small, unix.MNT_DETACH) })
	s.state = filepath.Join(small, "state")
	file := s.yaml(t, "small.yaml", "")
	fill := func() (empty func()) {
		t.Helper()
		f, err := os.Create(filepath.Join(small, "ballast"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		page := bytes.Repeat([]byte{1}, os.Getpagesize())
		for err == nil {
			_, err = f.Write(page)
		}
		return func() { os.Remove(f.Name()) }
	}
	t.Run("from the start", func(t *testing.T) {
		before := dumpHost(t, s.server)
		defer fill()()
		a := s.apply(t, file, nil)
		_, status := a.rest(t)
		stderr := a.stderr.String()
		if status != 1 || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "fullhost: begin a change: ") || !strings.HasSuffix(stderr, unix.ENOSPC.Error()+"\n") {
			t.Errorf("status %d, says %q", status, stderr)
		}
		s.unchanged(t, before)
	})
	for _, e := range []ending{endingOf("process"), endingOf("process and watchdog")} {
		t.Run("then "+e.name+" killed", func(t *testing.T) {
			n := 1 + seeded(t).IntN(len(r.steps)-1)
			s.file = file
			empty := func() {}
			defer func() { empty() }()
			s.cutOff(t, e, func(a *stagedApply) {
				a.lines(t, r.lead+n-1)
				a.hangs(t)
				empty = fill()
			})
		})
	}
	t.Run("then confirmed", func(t *testing.T) {
		before := dumpHost(t, s.server)
		a := s.apply(t, file, nil)
		a.until(t, "Applied.")
		defer fill()()
		// Keeping it would be as right; what must not be is that it is told to be
		// kept and then taken back.
		status, _, stderr := program(t, s.server, nil, "confirm", "-f", file)
		stdout, _ := a.rest(t)
		kept := strings.Contains(strings.Join(stdout, ""), "Confirmed from another login.")
		if kept != (status == 0) {
			t.Errorf("confirm: status %d, %s; apply prints\n%s", status, stderr, strings.Join(stdout, ""))
		}
		if same := len(before.diff(dumpHost(t, s.server))) == 0; same == kept {
			t.Errorf("kept: %t, and the host is as before: %t", kept, same)
		}
	})
}

// TestTwoAppliesAtOnce: the second is refused, whatever the first is about to
// do, and tells whose it is.
func TestTwoAppliesAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.rehearse(t)
	random := seeded(t)
	for range inTier(3, 20) {
		n := 1 + random.IntN(len(r.steps)-1)
		t.Run(fmt.Sprintf("after %d", n), func(t *testing.T) {
			pings := s.pings(t)
			before := dumpHost(t, s.server)
			a := s.apply(t, s.file, nil)
			a.lines(t, r.lead+n-1)
			a.hangs(t)
			halfway := dumpHost(t, s.server)
			_, pid, watchdog, _ := s.open()
			status, stdout, stderr := program(t, s.server, nil, "apply", "-f", s.file)
			want := fmt.Sprintf("fullhost: apply: another change is open in this network namespace: begun by process %d, guarded by process %d; confirm or undo that one first\n", pid, watchdog)
			if status != 2 || stdout != "" || stderr != want {
				t.Errorf("status %d, prints %q, says %q, want 2 and %q", status, stdout, stderr, want)
			}
			for _, line := range halfway.diff(dumpHost(t, s.server)) {
				t.Errorf("changed by the second: %s", line)
			}
			if status, _, stderr := program(t, s.server, func(*exec.Cmd) { a.out.drain() }, "undo", "-f", s.file); status != 0 {
				t.Errorf("undo: status %d, %s", status, stderr)
			}
			s.unchanged(t, before)
			for _, p := range pings {
				p.Stop()
			}
			a.end()
		})
	}
}

// TestNICIsHeld: another link sits on the NIC and would be in the way, which is
// found out before anything is changed.
func TestNICIsHeld(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	nstest.Do(t, s.server, func() error {
		l, err := netlink.LinkByName("enp2s0")
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = "container0", l.Attrs().Index
		return netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE})
	})
	pings := s.pings(t)
	before := dumpHost(t, s.server)
	a := s.apply(t, s.file, nil)
	_, status := a.rest(t)
	stderr := a.stderr.String()
	if status != 2 || !strings.HasPrefix(stderr, "fullhost: uplink enp2s0: the macvlan container0 stands on it") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("status %d, says %q", status, stderr)
	}
	s.unchanged(t, before)
	for _, p := range pings {
		if report := p.Stop(); report.Total.Stall > time.Second {
			t.Error(report)
		}
	}
}
