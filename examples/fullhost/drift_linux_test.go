package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/plan/rollback"
)

// runningServer is a fullhost run in a namespace.
type runningServer struct {
	ns   *netns.NS
	file string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	tracer []string // what run is a child of, and its arguments

	mu  sync.Mutex
	out bytes.Buffer
}

// Write implements io.Writer.
func (s *runningServer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

// said returns all that run has printed.
func (s *runningServer) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

// serveHost makes a rented server, moves it, and serves.
func serveHost(t *testing.T) *runningServer {
	t.Helper()
	nstest.RequireTun(t)
	s := &runningServer{ns: nstest.NS(t)}
	nstest.Do(t, s.ns, func() error { _, err := rented(); return err })
	dir := t.TempDir()
	s.file = filepath.Join(dir, "host.yaml")
	s.configure(t, "")
	s.applyAndConfirm(t)
	s.again(t)
	return s
}

// applyAndConfirm brings the host to what the file wants.
func (s *runningServer) applyAndConfirm(t *testing.T) {
	t.Helper()
	apply := &applying{file: s.file, lines: make(chan string, 1000)}
	apply.start(t, s.ns)
	apply.until(t, "Applied.")
	if status, _, stderr := program(t, s.ns, nil, "confirm", "-f", s.file); status != 0 {
		t.Fatalf("confirm: status %d, %s", status, stderr)
	}
}

// again starts run, for the first time or after one that has ended.
func (s *runningServer) again(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	s.out.Reset()
	s.mu.Unlock()
	cmd := exec.Command(nstest.Tool(t, "setpriv"), slices.Concat(unitRights(t), s.tracer, []string{program0(t), "run", "-f", s.file})...)
	cmd.Env = append(os.Environ(), envProgram+"=1")
	cmd.Stdout, cmd.Stderr = s, s
	if err := s.ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	s.cmd, s.done = cmd, done
	go func() {
		defer close(done)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-done
		if t.Failed() {
			t.Logf("run said:\n%s", s.said())
		}
	})
	s.until(t, "Serving.")
}

// program0 is the program itself.
func program0(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// configure writes host.yaml.
func (s *runningServer) configure(t *testing.T, more string) {
	t.Helper()
	text := "persist: {format: none}\ndns: {upstreams: [192.0.2.53]}\nstate_dir: " + filepath.Join(filepath.Dir(s.file), "state") + "\n" + more
	if err := os.WriteFile(s.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// until waits until run has printed a text.
func (s *runningServer) until(t *testing.T, text string) {
	t.Helper()
	eventually(t, "run to say "+text, func() bool { return strings.Contains(s.said(), text) })
}

// stop ends run as systemd does, and returns its exit status.
func (s *runningServer) stop(t *testing.T) int {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	return s.ended(t)
}

func (s *runningServer) ended(t *testing.T) int {
	t.Helper()
	select {
	case <-s.done:
	case <-time.After(30 * time.Second):
		t.Fatal("run does not end")
	}
	return s.cmd.ProcessState.ExitCode()
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// hasAddress looks for an address on br0.
func hasAddress(h *netlink.Handle, ip string) bool {
	l, err := h.LinkByName("br0")
	if err != nil {
		return false
	}
	addrs, err := h.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if a.IP.Equal(net.ParseIP(ip)) {
			return true
		}
	}
	return false
}

// script starts a shell script in the namespace.
func (s *runningServer) script(t *testing.T, text string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(nstest.Tool(t, "bash"), "-c", text)
	cmd.Stderr = os.Stderr
	if err := s.ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// TestRunPutsBack changes the served host as people do, with ip.
func TestRunPutsBack(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	before := snapshot(t, s.ns)
	for _, line := range []string{
		"addr del 203.0.113.10/32 dev br0",
		"addr del 2001:db8:1:3::2/64 dev br0",
		"addr flush dev br0",
		"route del default",
		"link set enp2s0 nomaster",
		"link set br0 down",
		"link set br0 address 02:00:00:00:00:09",
		"link del br0",
	} {
		logged := len(s.said())
		nstest.Output(t, s.ns, "ip", strings.Fields(line)...)
		eventually(t, "a word on ip "+line, func() bool { return strings.Contains(s.said()[logged:], "was changed and is put back") })
		// A new bridge has another index, and its place in the list.
		if line == "link del br0" {
			eventually(t, "br0 to be back", func() bool {
				now := snapshot(t, s.ns)
				return len(strings.Split(now, "\n")) == len(strings.Split(before, "\n")) && strings.Contains(now, "203.0.113.10/32")
			})
		} else {
			backTo(t, s.ns, before)
		}
		t.Logf("ip %s: %s", line, strings.SplitN(s.said()[logged:], "\n", 2)[0])
	}
	eventually(t, "an empty plan", func() bool {
		_, stdout, _ := program(t, s.ns, nil, "plan", "-f", s.file)
		return strings.Contains(stdout, "Nothing to do: the host is as wanted.")
	})
	if status := s.stop(t); status != 128+int(syscall.SIGTERM) {
		t.Errorf("exit status %d", status)
	}
}

// TestFight deletes the host's addresses every 50 ms for 5 s.
func TestFight(t *testing.T) {
	s := serveHost(t)
	h, err := s.ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	logged := len(s.said())
	used := cpuTime(t, s.cmd.Process.Pid)
	script := s.script(t, "for i in {1..100}; do ip addr del 203.0.113.10/32 dev br0 2>/dev/null; ip addr del 2001:db8:1:3::2/64 dev br0 2>/dev/null; sleep 0.05; done")
	ended := make(chan struct{})
	go func() {
		script.Wait()
		close(ended)
	}()
	addresses := []string{"203.0.113.10", "2001:db8:1:3::2"}
	there, looks := make([]int, len(addresses)), 0
	begun := time.Now()
	for open := true; open; {
		looks++
		for i, a := range addresses {
			if hasAddress(h, a) {
				there[i]++
			}
		}
		select {
		case <-ended:
			open = false
		case <-time.After(time.Millisecond):
		}
	}
	took := time.Since(begun)
	cpu := cpuTime(t, s.cmd.Process.Pid) - used
	said := s.said()[logged:]
	t.Logf("run used %d ms of processor time and said\n%s", cpu.Milliseconds(), said)
	for i, a := range addresses {
		share := float64(there[i]) / float64(looks)
		t.Logf("%s was there %.1f %% of %.1f s (%d looks)", a, 100*share, took.Seconds(), looks)
		// On a busy machine putting back takes as long as the pause of who deletes.
		if share < 0.2 {
			t.Errorf("%s was there %.1f %% of the time", a, 100*share)
		}
	}
	// One that turned in circles would use all of a processor, or more. The race
	// detector makes more than a half of one out of what is a third without.
	if cpu > took*9/10 {
		t.Errorf("run used %v of processor time in %v", cpu, took)
	}
	if lines := strings.Count(said, "\n"); lines > 40 {
		t.Errorf("run said %d lines", lines)
	}
	named := false
	for line := range strings.Lines(said) {
		named = named || strings.Contains(line, "somebody fights over") && strings.Contains(line, "ip (pid ") &&
			strings.Contains(line, fmt.Sprintf("started by bash, pid %d", script.Process.Pid))
	}
	if !named {
		t.Errorf("run does not name ip, started by bash, pid %d", script.Process.Pid)
	}
	for _, a := range addresses {
		eventually(t, a+" after the fight", func() bool { return hasAddress(h, a) })
	}
}

// cpuTime is what a process has used until now.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * time.Second / 100 // USER_HZ
}

// TestFightOverRest: what the host's own reachability does not hang on is left
// for longer and longer; the address is not.
func TestFightOverRest(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	h, err := s.ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	const key = "net/ipv6/conf/all/forwarding"
	repairs, gone := 0, time.Duration(0)
	for i := range 60 {
		nstest.Do(t, s.ns, func() error {
			v, err := sysctl.Read(key)
			if err == nil && v == "1" {
				repairs++
				err = sysctl.Write(key, "0")
			}
			return err
		})
		if i == 40 { // in the middle of the fight
			begun := time.Now()
			nstest.Output(t, s.ns, "ip", "addr", "del", "203.0.113.10/32", "dev", "br0")
			eventually(t, "the address", func() bool { return hasAddress(h, "203.0.113.10") })
			gone = time.Since(begun)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("forwarding was put back %d times in 3 s, the address within %v", repairs-1, gone)
	if repairs < fightRepairs || repairs > 15 {
		t.Errorf("forwarding was put back %d times", repairs-1)
	}
	if gone > 500*time.Millisecond {
		t.Errorf("the address was away for %v", gone)
	}
	s.until(t, "somebody fights over")
}

// TestRunStandsBack: a change by fullhost apply is nobody's meddling. Taken
// back it leaves run as it was; confirmed it ends run if it concerns it.
func TestRunStandsBack(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	before := snapshot(t, s.ns)
	s.configure(t, "address: 2001:db8:1:3::77\n")
	change := func() *applying {
		apply := &applying{file: s.file, lines: make(chan string, 1000)}
		apply.start(t, s.ns)
		apply.until(t, "Applied.")
		applied := snapshot(t, s.ns)
		time.Sleep(500 * time.Millisecond)
		if now := snapshot(t, s.ns); now != applied || !strings.Contains(now, "2001:db8:1:3::77/64") {
			t.Errorf("run meddles with the change:\n%s\nnow\n%s", applied, now)
		}
		return apply
	}
	apply := change()
	// The file keeps the wish: whoever takes a change back may think of it later.
	if status, _, stderr := program(t, s.ns, nil, "undo", "-f", s.file); status != 0 {
		t.Fatalf("undo: status %d, %s", status, stderr)
	}
	apply.watchdogDone(t)
	if snapshot(t, s.ns) != before {
		backTo(t, s.ns, before)
	}
	s.until(t, "the change was taken back and the file wants it still")
	s.until(t, "the change is over")
	nstest.Output(t, s.ns, "ip", "addr", "del", "2001:db8:1:3::2/64", "dev", "br0")
	backTo(t, s.ns, before)
	if status := s.stop(t); status != 128+int(syscall.SIGTERM) {
		t.Errorf("exit status %d", status)
	}
	s.again(t)
	if want := "serving what was confirmed last"; !strings.Contains(s.said(), want) || snapshot(t, s.ns) != before {
		t.Errorf("started again it does not say %q, or has changed the host:\n%s\nbefore:\n%s", want, snapshot(t, s.ns), before)
	}

	change()
	if status, _, stderr := program(t, s.ns, nil, "confirm", "-f", s.file); status != 0 {
		t.Fatalf("confirm: status %d, %s", status, stderr)
	}
	if status := s.ended(t); status != 1 || !strings.Contains(s.said(), "it has to be started again: its addresses, guests or settings are others now") {
		t.Errorf("exit status %d, want 1 and a reason", status)
	}
	if now := snapshot(t, s.ns); !strings.Contains(now, "2001:db8:1:3::77/64") || strings.Contains(now, "2001:db8:1:3::2/64") {
		t.Errorf("the confirmed change is not there:\n%s", now)
	}
}

// TestRunEndsForAbandonedChange: a change whose processes were all killed is
// taken back by the next start, so run makes room for it.
func TestRunEndsForAbandonedChange(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	s.configure(t, "address: 2001:db8:1:3::77\n")
	apply := &applying{file: s.file, lines: make(chan string, 1000)}
	apply.start(t, s.ns)
	apply.until(t, "Applied.")
	var st rollback.ChangeStatus
	nstest.Do(t, s.ns, func() (err error) {
		st, err = rollback.Status(filepath.Join(filepath.Dir(s.file), "state"))
		return err
	})
	for _, p := range []int{apply.cmd.Process.Pid, st.Watchdog} {
		if err := syscall.Kill(p, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if status := s.ended(t); status != 1 || !strings.Contains(s.said(), "all its processes have died") {
		t.Errorf("exit status %d, want 1 and a reason", status)
	}
}

// TestRunLeavesFailedChange: what could not be taken back is not tried again with
// every start, whoever mends the host by hand meanwhile.
func TestRunLeavesFailedChange(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	s.configure(t, "address: 2001:db8:1:3::77\n")
	apply := &applying{file: s.file, lines: make(chan string, 1000)}
	apply.start(t, s.ns)
	apply.until(t, "Applied.")
	found, err := filepath.Glob(filepath.Join(filepath.Dir(s.file), "state", "*", "change.json"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	var st rollback.ChangeStatus
	nstest.Do(t, s.ns, func() (err error) {
		st, err = rollback.Status(filepath.Join(filepath.Dir(s.file), "state"))
		return err
	})
	record, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []int{st.Watchdog, apply.cmd.Process.Pid} {
		if err := syscall.Kill(p, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		gone(t, p)
	}
	// As it is after the last attempt.
	failed := strings.Replace(string(record), `"phase":"waiting for confirm"`, `"phase":"failed","error":"no such device"`, 1)
	if err := os.WriteFile(found[0], []byte(failed), 0o600); err != nil {
		t.Fatal(err)
	}
	const want = "run: an earlier change could not be taken back (no such device); fullhost undo tries again, fullhost confirm leaves the host as it is\n"
	if status := s.ended(t); status != 2 || !strings.Contains(s.said(), want) {
		t.Errorf("the one that ran: exit status %d, want 2 and %q", status, want)
	}
	now := snapshot(t, s.ns)
	for range 2 {
		if status, stdout, stderr := program(t, s.ns, nil, "run", "-f", s.file); status != 2 || stdout != "" || stderr != "fullhost: "+want {
			t.Errorf("the next: exit status %d, prints %q, says %q", status, stdout, stderr)
		}
	}
	if after := snapshot(t, s.ns); after != now || !strings.Contains(now, "2001:db8:1:3::77/64") {
		t.Errorf("the host is touched:\n%s\nnow\n%s", now, after)
	}
	if status, _, stderr := program(t, s.ns, nil, "undo", "-f", s.file); status != 0 {
		t.Errorf("undo: status %d, %s", status, stderr)
	}
	if after := snapshot(t, s.ns); strings.Contains(after, "2001:db8:1:3::77/64") {
		t.Errorf("undo did not try again:\n%s", after)
	}
}

// networkdScript starts networkd with a /run of its own and one file, and with a
// /sys that can't be written, which tells it that it is in a container and has
// no udev to wait for.
const networkdScript = `set -e
mount -t tmpfs none /run
mount -t sysfs -o ro none /sys
mount -t tmpfs none /etc/systemd/network
mkdir -p /run/systemd/network /run/systemd/netif
chown systemd-network:systemd-network /run/systemd/netif
cat >/run/systemd/network/10-enp2s0.network <<E
[Match]
Name=enp2s0
[Network]
Address=203.0.113.10/32
Address=2001:db8:1:3::2/64
Gateway=fe80::1
IPv6AcceptRA=no
[Route]
Gateway=203.0.113.1
GatewayOnLink=yes
E
chmod -R a+rX /run/systemd
SYSTEMD_LOG_TARGET=console exec "$0"`

// TestNetworkdFights lets the real networkd take the NIC for its own, with the
// configuration from before the move, and restart as in an upgrade.
func TestNetworkdFights(t *testing.T) {
	t.Parallel()
	nstest.RequireRoot(t)
	networkd := nstest.Tool(t, "systemd-networkd")
	unshare := nstest.Tool(t, "unshare")
	s := serveHost(t)
	h, err := s.ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	addresses := []string{"203.0.113.10", "2001:db8:1:3::2"}
	there, looks := make([]int, len(addresses)), 0
	var said bytes.Buffer
	for range 2 {
		cmd := exec.Command(unshare, "-m", "sh", "-c", networkdScript, networkd)
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := s.ns.Start(cmd); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); time.Since(begun) < 1500*time.Millisecond; time.Sleep(time.Millisecond) {
			looks++
			for i, a := range addresses {
				if hasAddress(h, a) {
					there[i]++
				}
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
	if strings.Count(said.String(), "enp2s0: Configuring with") < 2 {
		t.Fatalf("networkd did not take the NIC:\n%s", said.String())
	}
	for i, a := range addresses {
		if t.Logf("%s was on br0 at %d of %d looks", a, there[i], looks); there[i] < looks*9/10 {
			t.Errorf("%s was on br0 at %d of %d looks", a, there[i], looks)
		}
	}
	if !strings.Contains(s.said(), "systemd-network (pid ") {
		t.Error("run does not name networkd")
	}
	eventually(t, "the NIC to be a bare port and all default routes on br0", func() bool {
		nic := nstest.Output(t, s.ns, "ip", "-o", "addr", "show", "dev", "enp2s0")
		port := nstest.Output(t, s.ns, "ip", "link", "show", "master", "br0")
		routes := nstest.Output(t, s.ns, "ip", "-4", "route", "show", "default") + nstest.Output(t, s.ns, "ip", "-6", "route", "show", "default")
		return nic == "" && strings.Contains(port, "enp2s0") && strings.Count(routes, "dev br0") == 2 && !strings.Contains(routes, "enp2s0")
	})
}
