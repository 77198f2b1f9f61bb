package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
)

// unitSetting returns the words of a setting of the service's unit, all of its
// lines together.
func unitSetting(t *testing.T, name string) (words []string) {
	t.Helper()
	unit, err := os.ReadFile("../../persist/testdata/networkd-hetzner.golden")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(unit), "\n==> etc/systemd/system/sixhost.service ")
	text, _, _ = strings.Cut(text, "\n==> ")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			words = append(words, strings.Fields(value)...)
		}
	}
	if words == nil {
		t.Fatalf("the unit has no %s", name)
	}
	return words
}

// unitRights are arguments of setpriv(1) that leave a program the capabilities
// that it has as a service.
func unitRights(t *testing.T) []string {
	t.Helper()
	set := "-all"
	for _, c := range unitSetting(t, "CapabilityBoundingSet") {
		set += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	return []string{"--bounding-set", set, "--inh-caps", "-all", "--no-new-privs", "--"}
}

// unitSystemCalls are the system calls that a program may do as a service, by
// systemd's own word.
func unitSystemCalls(t *testing.T) (names []string) {
	t.Helper()
	for words := unitSetting(t, "SystemCallFilter"); len(words) > 0; words = words[1:] {
		if !strings.HasPrefix(words[0], "@") {
			names = append(names, words[0])
			continue
		}
		out, err := exec.Command(nstest.Tool(t, "systemd-analyze"), "--no-pager", "syscall-filter", words[0]).Output()
		if err != nil {
			t.Fatalf("systemd-analyze syscall-filter %s: %v", words[0], err)
		}
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); strings.HasPrefix(line, " ") && len(f) == 1 {
				words = append(words, f[0])
			}
		}
	}
	return names
}

// TestRunAsService has run do its work with the rights of its unit: no system call
// that the unit forbids, and the programs in the kernel are there.
func TestRunAsService(t *testing.T) {
	t.Parallel()
	pins := nstest.BPFFS(t)
	s := serveHost(t)
	s.stop(t)
	forbidden := filepath.Join(t.TempDir(), "calls")
	s.tracer = []string{nstest.Tool(t, "strace"), "-D", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none", "-o", forbidden,
		"-e", "trace=!?" + strings.Join(unitSystemCalls(t), ",?")}
	s.configure(t, "nat64: {fast_path: "+pins+"/nat64}\n")
	s.applyAndConfirm(t)
	s.again(t)

	_, stdout, _ := program(t, s.ns, nil, "doctor", "-f", s.file)
	if want := "programs on br0 and nat64, pinned in " + pins; !strings.Contains(stdout, want) {
		t.Errorf("doctor does not say %q:\n%s", want, stdout)
	}
	logged := len(s.said())
	nstest.Output(t, s.ns, "ip", "addr", "flush", "dev", "br0")
	eventually(t, "a word on the addresses", func() bool { return strings.Contains(s.said()[logged:], "was changed and is put back") })
	if err := s.cmd.Process.Signal(reloadSignal); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the file was read again")
	s.stop(t)
	for _, complaint := range []string{"no fast path", "counted in part"} {
		if strings.Contains(s.said(), complaint) {
			t.Errorf("run complains of %q", complaint)
		}
	}
	calls, err := os.ReadFile(forbidden)
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) > 0 {
		t.Errorf("system calls that the unit forbids:\n%s", calls)
	}
}
