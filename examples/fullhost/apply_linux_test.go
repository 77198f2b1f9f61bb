package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// applying is a fullhost apply that runs in a namespace.
type applying struct {
	cmd   *exec.Cmd
	lines chan string // closed when the program has ended its output
	file  string
}

// startApply makes a rented server and starts to move it.
func startApply(t *testing.T, config string) (*netns.NS, *applying) {
	t.Helper()
	nstest.RequireTun(t)
	ns := nstest.NS(t)
	nstest.Do(t, ns, func() error { _, err := rented(); return err })
	dir := t.TempDir()
	a := &applying{file: filepath.Join(dir, "host.yaml"), lines: make(chan string, 1000)}
	text := "address: slaac\npersist: {format: none}\ndns: {upstreams: [192.0.2.53]}\nstate_dir: " + filepath.Join(dir, "state") + "\n" + config
	if err := os.WriteFile(a.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return ns, a
}

func (a *applying) start(t *testing.T, ns *netns.NS) {
	t.Helper()
	a.cmd = exec.Command("/proc/self/exe", "apply", "-f", a.file)
	a.cmd.Env = append(os.Environ(), envProgram+"=1")
	a.cmd.Stderr = os.Stderr
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Start(a.cmd); err != nil {
		t.Fatal(err)
	}
	go a.read(out)
	t.Cleanup(func() {
		a.cmd.Process.Kill()
		a.cmd.Wait()
	})
}

// read passes on what apply prints, until its end.
func (a *applying) read(out io.Reader) {
	defer close(a.lines)
	for scan := bufio.NewScanner(out); scan.Scan(); {
		a.lines <- scan.Text()
	}
}

// until reads what apply prints up to a line that begins with the prefix.
func (a *applying) until(t *testing.T, prefix string) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	var all []string
	for {
		select {
		case line, ok := <-a.lines:
			if !ok {
				t.Fatalf("apply ended before it printed %q:\n%s", prefix, strings.Join(all, "\n"))
			}
			all = append(all, line)
			if strings.HasPrefix(line, prefix) {
				return
			}
		case <-timeout:
			t.Fatalf("apply does not print %q:\n%s", prefix, strings.Join(all, "\n"))
		}
	}
}

// watchdogDone waits until no change is open any more: the first steps change
// nothing that a snapshot shows.
func (a *applying) watchdogDone(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		left, err := filepath.Glob(filepath.Join(filepath.Dir(a.file), "state", "*", "c*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the change is still open: %q", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// backTo waits until the namespace is as it was.
func backTo(t *testing.T, ns *netns.NS, before string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		now := snapshot(t, ns)
		if now == before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not taken back:\nbefore\n%s\nnow\n%s", before, now)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestUnconfirmedIsTakenBack(t *testing.T) {
	ns, a := startApply(t, "confirm_within: 1s\n")
	before := snapshot(t, ns)
	a.start(t, ns)
	a.until(t, "Applied.")
	if snapshot(t, ns) == before {
		t.Fatal("nothing has changed")
	}
	a.until(t, "Not confirmed")
	if snapshot(t, ns) != before {
		backTo(t, ns, before) // shows the difference
	}
	a.cmd.Wait()
	if status := a.cmd.ProcessState.ExitCode(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
}

func TestConfirmFromElsewhere(t *testing.T) {
	ns, a := startApply(t, "")
	a.start(t, ns)
	a.until(t, "Applied.")
	status, stdout, stderr := program(t, ns, nil, "apply", "-f", a.file)
	if status != 0 || !strings.Contains(stdout, "what is left runs with: fullhost confirm -f "+a.file) {
		t.Errorf("second apply: status %d, %s%s", status, stdout, stderr)
	}
	if status, _, stderr := program(t, ns, nil, "confirm", "-f", a.file); status != 0 {
		t.Fatalf("confirm: status %d, %s", status, stderr)
	}
	a.until(t, "Confirmed from another login.")
	if s := snapshot(t, ns); strings.Contains(s, "2001:db8:1:3::2/64") {
		t.Errorf("the old address is still there:\n%s", s)
	}
	status, stdout, stderr = program(t, ns, nil, "plan", "-f", a.file)
	if status != 0 || !strings.Contains(stdout, "Nothing to do: the host is as wanted.") {
		t.Errorf("plan afterwards: status %d, %s%s", status, stdout, stderr)
	}
	status, _, stderr = program(t, ns, nil, "undo", "-f", a.file)
	if want := "fullhost: undo: no change waits for confirmation, so there is nothing to take back\n"; status != 2 || stderr != want {
		t.Errorf("undo afterwards: status %d, %q", status, stderr)
	}
}

func TestUndo(t *testing.T) {
	ns, a := startApply(t, "")
	before := snapshot(t, ns)
	a.start(t, ns)
	a.until(t, "Applied.")
	if status, _, stderr := program(t, ns, nil, "undo", "-f", a.file); status != 0 {
		t.Fatalf("undo: status %d, %s", status, stderr)
	}
	if snapshot(t, ns) != before {
		backTo(t, ns, before)
	}
}

// TestInterruptTakesBack: Ctrl-C while it waits, and in the middle of it.
func TestInterruptTakesBack(t *testing.T) {
	for _, line := range []string{"Applied.", "[15/"} {
		t.Run(line, func(t *testing.T) {
			ns, a := startApply(t, "")
			before := snapshot(t, ns)
			a.start(t, ns)
			a.until(t, line)
			if err := a.cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			a.until(t, "Everything is taken back.")
			if snapshot(t, ns) != before {
				backTo(t, ns, before)
			}
			a.cmd.Wait()
			if status := a.cmd.ProcessState.ExitCode(); status != 130 {
				t.Errorf("exit status %d, want 130", status)
			}
		})
	}
}

// TestKilledIsTakenBack: SIGKILL in the middle of the steps.
func TestKilledIsTakenBack(t *testing.T) {
	for _, line := range []string{"[1/", "[10/", "[15/", "[17/", "[20/"} {
		t.Run(line, func(t *testing.T) {
			ns, a := startApply(t, "")
			before := snapshot(t, ns)
			a.start(t, ns)
			a.until(t, line)
			if err := a.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			backTo(t, ns, before)
			a.watchdogDone(t)
		})
	}
}

// TestRunNeedsApply: run never moves the host's own addresses.
func TestRunNeedsApply(t *testing.T) {
	ns, a := startApply(t, "")
	before := snapshot(t, ns)
	status, _, stderr := program(t, ns, nil, "run", "-f", a.file)
	if want := "fullhost: run: br0 is not set up as wanted"; status != 2 || !strings.HasPrefix(stderr, want) {
		t.Errorf("status %d, says %q, want 2 and %q", status, stderr, want)
	}
	if after := snapshot(t, ns); after != before {
		t.Errorf("something changed:\nbefore\n%s\nafter\n%s", before, after)
	}
}
