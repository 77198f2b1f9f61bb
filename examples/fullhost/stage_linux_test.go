package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vishnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// stage is a server somebody has lived in for a while, and its provider.
type stage struct {
	server, provider *netns.NS
	dir              string // has host.yaml
	state            string // the state directory
	env              []string
	file             string

	mu        sync.Mutex
	tentative []string // addresses of the server that were seen under detection
}

// What the provider's side sees of the server: of each family one address it
// was handed over with, and the one that it has only while the change is open.
var (
	stage4       = netip.MustParseAddr("203.0.113.10")
	stage6       = netip.MustParseAddr("2001:db8:1:3::2")
	stageAdopted = netip.MustParseAddr("2001:db8:1:3:921b:eff:fe12:3456")
)

// The set-up has of everything that must come back something that is not the
// kernel's default.
const (
	stageServer = `
link set lo up
link set enp2s0 mtu 1450 txqueuelen 500 alias uplink
link set enp2s0 up
addr add 203.0.113.10/32 dev enp2s0
addr add 203.0.113.77/32 dev enp2s0 label enp2s0:web
addr add 198.51.100.9/29 broadcast 198.51.100.15 dev enp2s0 metric 50
addr add 198.51.100.10/29 broadcast 198.51.100.15 dev enp2s0 valid_lft 7200 preferred_lft 3600
addr add 192.0.2.1 peer 192.0.2.2/32 dev enp2s0
addr add 192.0.2.129/25 dev enp2s0 noprefixroute
addr add 2001:db8:1:3::40/64 dev enp2s0 preferred_lft 0
addr add 2001:db8:1:3::30/64 dev enp2s0 nodad noprefixroute
addr add 2001:db8:1:3::20/64 dev enp2s0 valid_lft 7200 preferred_lft 3600
addr add 2001:db8:1:3::2/64 dev enp2s0 metric 300
addr add 2001:db8:1:9::1 peer 2001:db8:1:9::2/128 dev enp2s0
`
	// A source must have passed detection before a route may name it.
	stageServerRoutes = `
route add default via 203.0.113.1 dev enp2s0 onlink metric 100 src 203.0.113.10 mtu 1400 initcwnd 20 initrwnd 30 proto static
route add default via 203.0.113.1 dev enp2s0 onlink metric 200 proto dhcp
route add 203.0.113.128/25 via 203.0.113.1 dev enp2s0 onlink src 203.0.113.77 table 100
route add default via 203.0.113.1 dev enp2s0 onlink table 100
route add 100.64.0.0/10 via 198.51.100.14 dev enp2s0 metric 7 advmss 1300 quickack 1 realms 5 mtu lock 1300
route add 192.0.2.128/25 dev enp2s0 proto kernel scope link src 192.0.2.129 metric 100
route add 192.0.2.160/27 dev enp2s0 tos 0x10
route add unreachable 10.99.0.0/16
route add default via fe80::1 dev enp2s0 metric 1024 mtu 1400 pref high
route add default via fe80::1 dev enp2s0 metric 2048
route add 2001:db8:6::/48 via fe80::1 dev enp2s0 proto ra expires 7200
route add 2001:db8:7::/48 via 2001:db8:1:3::fe dev enp2s0 src 2001:db8:1:3::2 table 200 hoplimit 60
route add 2001:db8:8::/48 from 2001:db8:1:3::/64 via fe80::1 dev enp2s0
route add unreachable 2001:db8:1::/48 dev lo metric 4096
rule add pref 1000 from 203.0.113.77 lookup 100
rule add pref 1001 fwmark 0x5 lookup 100
-6 rule add pref 1000 from 2001:db8:1:3::20 lookup 200
neigh add 198.51.100.14 lladdr 02:00:5e:10:00:14 nud permanent dev enp2s0
neigh add 2001:db8:1:3::fe lladdr 02:00:5e:10:00:fe nud permanent dev enp2s0
neigh add proxy 2001:db8:1:3::99 dev enp2s0
`
	stageSysctls = `
net/ipv4/conf/all/log_martians 1
net/ipv4/conf/default/arp_notify 1
net/ipv4/conf/enp2s0/rp_filter 1
net/ipv4/conf/enp2s0/arp_announce 2
net/ipv4/conf/enp2s0/arp_ignore 1
net/ipv4/conf/enp2s0/accept_redirects 0
net/ipv4/conf/enp2s0/promote_secondaries 1
net/ipv6/conf/default/use_tempaddr 0
net/ipv6/conf/default/hop_limit 70
net/ipv6/conf/enp2s0/accept_ra 0
net/ipv6/conf/enp2s0/accept_dad 1
net/ipv6/conf/enp2s0/hop_limit 50
net/ipv6/conf/enp2s0/dad_transmits 2
net/ipv6/conf/enp2s0/keep_addr_on_down 1
net/ipv6/conf/enp2s0/forwarding 1
net/ipv6/conf/enp2s0/mtu 1420
`
	stageProvider = `
link set srv up
addr add 203.0.113.1/32 dev srv
addr add fe80::1/64 dev srv nodad
addr add 2001:db8:2::1/128 dev lo
route add 203.0.113.10/32 dev srv
route add 203.0.113.77/32 dev srv
route add 2001:db8:1:9::1/128 via fe80::921b:eff:fe12:3456 dev srv
route add 2001:db8:1:3::/64 via fe80::921b:eff:fe12:3456 dev srv
`
)

// newStage builds it, with detection over, and a host.yaml.
func newStage(t *testing.T) *stage {
	t.Helper()
	nstest.RequireTun(t)
	s := &stage{server: nstest.NS(t), provider: nstest.NS(t), dir: t.TempDir()}
	nstest.Do(t, s.provider, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "srv"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "enp2s0", PeerNamespace: netlink.NsFd(int(s.server.File().Fd())), PeerHardwareAddr: []byte{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}})
	})
	s.sysctls(t, s.provider, "net/ipv6/conf/srv/addr_gen_mode 1\nnet/ipv6/conf/srv/accept_ra 0\nnet/ipv4/conf/all/rp_filter 0\nnet/ipv4/conf/srv/rp_filter 0")
	s.batch(t, s.provider, stageProvider)
	// Without detection for the set-up only.
	s.sysctls(t, s.server, "net/ipv6/conf/enp2s0/accept_dad 0")
	s.batch(t, s.server, stageServer)
	nstest.Do(t, s.server, func() error {
		l, err := netlink.LinkByName("enp2s0")
		if err != nil {
			return err
		}
		return settled(l)
	})
	s.batch(t, s.server, stageServerRoutes)
	s.sysctls(t, s.server, stageSysctls)
	s.state = filepath.Join(s.dir, "state")
	s.file = s.yaml(t, "host.yaml", "")
	s.watchDetection(t)
	return s
}

// yaml writes a host.yaml with more lines than every one of the stage has.
func (s *stage) yaml(t *testing.T, name, more string) string {
	t.Helper()
	file := filepath.Join(s.dir, name)
	text := "address: slaac\nstatic: true\nprefix: 2001:db8:1:3::/64\npersist: {format: none}\ndns: {upstreams: ['2001:db8:2::1']}\n" + more
	if !strings.Contains(more, "confirm_within:") {
		text += "confirm_within: 1s\n"
	}
	text += "state_dir: " + s.state + "\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func (s *stage) batch(t *testing.T, ns *netns.NS, lines string) {
	t.Helper()
	var any, six strings.Builder // rules don't tell their family by an address
	for line := range strings.Lines(lines) {
		if rest, ok := strings.CutPrefix(line, "-6 "); ok {
			six.WriteString(rest)
		} else {
			any.WriteString(line)
		}
	}
	run := func(text string, args ...string) {
		t.Helper()
		cmd := exec.Command(nstest.Tool(t, "ip"), args...)
		var out bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), &out, &out
		if err := ns.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
	run(any.String(), "-batch", "-")
	run(six.String(), "-6", "-batch", "-")
}

func (s *stage) sysctls(t *testing.T, ns *netns.NS, lines string) {
	t.Helper()
	nstest.Do(t, ns, func() error {
		for line := range strings.Lines(lines) {
			if f := strings.Fields(line); len(f) == 2 {
				if err := os.WriteFile("/proc/sys/"+f[0], []byte(f[1]), 0); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// watchDetection notes every address of the server that is seen in duplicate
// address detection from now on.
func (s *stage) watchDetection(t *testing.T) {
	t.Helper()
	updates, done := make(chan netlink.AddrUpdate), make(chan struct{})
	err := netlink.AddrSubscribeWithOptions(updates, done, netlink.AddrSubscribeOptions{Namespace: ptr(vishnetns.NsHandle(s.server.File().Fd())), ReceiveBufferSize: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for u := range updates {
			if u.NewAddr && u.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
				s.mu.Lock()
				s.tentative = append(s.tentative, u.LinkAddress.String())
				s.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		close(done)
		<-ended
	})
}

func ptr[T any](v T) *T { return &v }

// detected returns what was seen under detection since the last call.
func (s *stage) detected() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.tentative
	s.tentative = nil
	return list
}

// pings are the provider's view of both families.
func (s *stage) pings(t *testing.T) []*probe.Pinger {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var list []*probe.Pinger
	for _, to := range []netip.Addr{stage4, stage6} {
		p, err := probe.StartPinger(context.Background(), s.provider, probe.PingConfig{To: to, Stragglers: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Stop() })
		if err := p.WaitAnswer(ctx); err != nil {
			t.Fatalf("before the change: %v", err)
		}
		list = append(list, p)
	}
	return list
}

// open reads what the state directory says of an open change.
func (s *stage) open() (phase string, pid, watchdog int, open bool) {
	found, err := filepath.Glob(filepath.Join(s.state, "*", "change.json"))
	if err != nil || len(found) != 1 {
		return "", 0, 0, false
	}
	var record struct {
		Phase         string
		PID, Watchdog int
	}
	b, err := os.ReadFile(found[0])
	if err != nil || json.Unmarshal(b, &record) != nil {
		return "", 0, 0, false
	}
	return record.Phase, record.PID, record.Watchdog, true
}

// doorway is the standard output of a program that can be held before any of
// its lines: a pipe with room for one.
//
// While line n is in the pipe unread, the program has printed it, does what
// it announces, and then hangs in the attempt to print line n+1.
type doorway struct{ r, w *os.File }

func newDoorway(t *testing.T) *doorway {
	t.Helper()
	var fds [2]int
	// Packets: every line has a slot of the pipe to itself.
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_DIRECT); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil { // for deadlines, on our side only
		t.Fatal(err)
	}
	d := &doorway{r: os.NewFile(uintptr(fds[0]), "doorway"), w: os.NewFile(uintptr(fds[1]), "doorway")}
	t.Cleanup(func() { d.r.Close(); d.w.Close() })
	if _, err := unix.FcntlInt(d.w.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Fatal(err)
	}
	return d
}

// next reads one line; the error is io.EOF when the program has ended.
func (d *doorway) next() (string, error) {
	buf := make([]byte, 4096)
	if err := d.r.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	n, err := d.r.Read(buf)
	return string(buf[:n]), err
}

// drain reads what comes until the program ends, in the background.
func (d *doorway) drain() {
	go func() {
		for {
			if _, err := d.next(); err != nil {
				return
			}
		}
	}()
}

// full reports whether a line is in the pipe.
func (d *doorway) full() bool {
	n, err := unix.IoctlGetInt(int(d.r.Fd()), unix.TIOCINQ)
	return err == nil && n > 0
}

// hangsInWrite reports whether a thread of the process sleeps while it writes
// to its standard output.
func hangsInWrite(pid int) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return false
	}
	want := fmt.Sprintf("%d 0x1 ", unix.SYS_WRITE)
	for _, task := range tasks {
		call, err := os.ReadFile(task + "/syscall")
		if err != nil || !strings.HasPrefix(string(call), want) {
			continue
		}
		stat, err := os.ReadFile(task + "/stat")
		if err != nil {
			continue
		}
		if _, state, ok := strings.Cut(string(stat), ") "); ok && strings.HasPrefix(state, "S") {
			return true
		}
	}
	return false
}

// stagedApply is a fullhost apply in the server.
type stagedApply struct {
	stage *stage
	shell *exec.Cmd // leads its session and process group
	out   *doorway

	stderr bytes.Buffer // to be read after end
}

// apply starts fullhost apply from a shell, in a cgroup where one is given.
func (s *stage) apply(t *testing.T, file string, cgroup *os.File, flags ...string) *stagedApply {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The machine's own name servers can't be reached from here.
	const script = `mount --bind "$RESOLV" /etc/resolv.conf && "$0" apply "$@"; exit $?`
	resolv := filepath.Join(s.dir, "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 2001:db8:2::1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := &stagedApply{stage: s, out: newDoorway(t), shell: exec.Command("/bin/sh", append([]string{"-c", script, exe, "-f", file}, flags...)...)}
	a.shell.Env = append(append(os.Environ(), envProgram+"=1", "RESOLV="+resolv), s.env...)
	a.shell.Stdout, a.shell.Stderr = a.out.w, &a.stderr
	a.shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Unshareflags: syscall.CLONE_NEWNS}
	if cgroup != nil {
		a.shell.SysProcAttr.UseCgroupFD, a.shell.SysProcAttr.CgroupFD = true, int(cgroup.Fd())
	}
	if err := s.server.Start(a.shell); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.end() })
	a.out.w.Close() // so that the program's end is seen
	return a
}

// end kills what is left and returns the exit status.
func (a *stagedApply) end() int {
	syscall.Kill(-a.shell.Process.Pid, syscall.SIGKILL)
	a.shell.Wait()
	return a.shell.ProcessState.ExitCode()
}

// lines reads n lines.
func (a *stagedApply) lines(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		line, err := a.out.next()
		if err != nil {
			t.Fatalf("apply: %v, after it printed\n%s", err, strings.Join(all, ""))
		}
		all = append(all, line)
	}
	return all
}

// until reads lines up to one with the prefix.
func (a *stagedApply) until(t *testing.T, prefix string) (all []string) {
	t.Helper()
	for {
		all = append(all, a.lines(t, 1)...)
		if strings.HasPrefix(all[len(all)-1], prefix) {
			return all
		}
	}
}

// hangs waits until the program can't print another line.
func (a *stagedApply) hangs(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, pid, _, open := a.stage.open(); open && a.out.full() && hangsInWrite(pid) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("apply does not hang")
		}
	}
}

// watchdogLog is what the last change's watchdog said.
func (s *stage) watchdogLog() string {
	found, err := filepath.Glob(filepath.Join(s.state, "*", "watchdog.log"))
	if err != nil || len(found) != 1 {
		return fmt.Sprintf("%q, %v", found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestStageNoticesDetection: what is to prove that none happened must see one.
func TestStageNoticesDetection(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if list := s.detected(); len(list) > 0 {
		t.Errorf("at rest: %q", list)
	}
	s.batch(t, s.server, "addr add 2001:db8:1:3::77/64 dev enp2s0\n")
	for end := time.Now().Add(5 * time.Second); len(s.detected()) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("an address under detection was not noticed")
		}
	}
}
