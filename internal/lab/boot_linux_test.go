package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// The tests run both halves as processes of their own, as they will be: this
// program with envOuter calls Enter, whose inner half does what envMode says.
const (
	envOuter  = "SIXHOST_LAB_TEST_OUTER"
	envMode   = "SIXHOST_LAB_TEST_MODE"
	envMarker = "SIXHOST_LAB_TEST_MARKER" // tells whose processes these are
)

func outerHelper() int {
	mode := os.Getenv(envMode)
	exit, err := Enter(context.Background(), EnterOptions{
		Args: []string{}, Stdout: os.Stdout, Stderr: os.Stderr, Keep: mode == "keep", Grace: 2 * time.Second,
		OnKeep: func(k KeepInfo) {
			fmt.Printf("pid %d\nenter %s\n", k.PID, k.EnterLine(Server))
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	return exit
}

func innerHelper() int {
	in, ctx, err := Init(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	defer in.Close()
	for _, n := range in.Notes() {
		fmt.Fprintln(os.Stderr, "note:", n)
	}
	mode := os.Getenv(envMode)
	switch mode {
	case "look":
		return look(in)
	case "forbid":
		return forbid(ctx)
	case "deaf":
		fmt.Println("ready")
		<-ctx.Done()
		time.Sleep(time.Hour)
	}
	l, err := New(ctx, Config{Names: NamesDir, Dir: RunDir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 97
	}
	defer l.Close()
	// A program in a node, and one that escapes to a session of its own.
	if _, err := l.Run(l.Server(), exec.Command("sleep", "1000")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 96
	}
	if err := l.Server().Start(exec.Command("setsid", "-f", "sleep", "1000")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 95
	}
	for _, n := range l.nodes {
		inode, err := n.NS().Inode()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 94
		}
		cookie, err := namespaceCookie(n.NS())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 94
		}
		fmt.Println("netns", inode, cookie)
	}
	fmt.Println("ready")
	if mode == "keep" {
		if err := in.Keep(ctx, 3); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 93
		}
		return 0
	}
	<-ctx.Done()
	fmt.Println("stopped")
	return 0
}

// look prints what it is like inside and exits with 7.
func look(in *Inner) int {
	fmt.Println("first", os.Getpid() == 1)
	fmt.Println("uid", os.Getuid())
	fmt.Println("inside", Inside())
	var st unix.Statfs_t
	if err := unix.Statfs(RunDir, &st); err == nil {
		fmt.Println("run", st.Type == unix.TMPFS_MAGIC)
	}
	// Programs started here must not hold what connects the two halves.
	pipe, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", in.status.Fd()))
	held, err2 := exec.Command("ls", "-l", "/proc/self/fd").Output()
	if err != nil || err2 != nil {
		fmt.Println("pipe", err, err2)
	}
	fmt.Println("pipe", bytes.Contains(held, []byte(pipe)))
	// An orphan that ends is buried by the first process.
	pid, err := exec.Command("sh", "-c", "sleep 0.01 >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		fmt.Println("orphan", err)
	}
	orphan, _ := strconv.Atoi(strings.TrimSpace(string(pid)))
	gone := false
	for end := time.Now().Add(5 * time.Second); !gone && time.Now().Before(end); time.Sleep(time.Millisecond) {
		gone = errors.Is(unix.Kill(orphan, 0), unix.ESRCH)
	}
	fmt.Println("buried", gone)
	return 7
}

// forbid takes from its own user namespace the right to make network namespaces
// and tries to enter the lab then.
func forbid(ctx context.Context) int {
	if !mappedAlone() {
		fmt.Println("not in a user namespace of its own")
		return 1
	}
	if err := os.WriteFile("/proc/sys/user/max_net_namespaces", []byte("0"), 0); err != nil {
		fmt.Println(err)
		return 1
	}
	_, err := Enter(ctx, EnterOptions{Args: []string{}})
	var r *Refusal
	fmt.Println("refusal", errors.As(err, &r) && errors.Is(err, ErrForbidden) && errors.Is(err, unix.ENOSPC))
	fmt.Println("sentence", err)
	return 0
}

// who is a user that the outer half runs as.
type who struct {
	name string
	uid  uint32
	// alone is root of a new user namespace.
	alone bool
}

// users are root, and nobody where this is root enough to become nobody.
func users(t *testing.T) []who {
	t.Helper()
	nstest.Require(t)
	list := []who{{name: "root"}}
	if !mappedAlone() {
		list = append(list, who{name: "nobody", uid: 65534})
	}
	return list
}

// outer is a running outer half.
type outer struct {
	cmd    *exec.Cmd
	marker string
	out    *bufio.Scanner
	lines  []string
}

func startOuter(t *testing.T, as who, mode string) *outer {
	t.Helper()
	o := &outer{marker: fmt.Sprintf("%d-%s-%d", os.Getpid(), mode, time.Now().UnixNano())}
	o.cmd = exec.Command("/proc/self/exe")
	o.cmd.Env = append(os.Environ(), envOuter+"=1", envMode+"="+mode, envMarker+"="+o.marker)
	if as.alone {
		self := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
		o.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: self, GidMappings: self}
	}
	if as.uid != 0 {
		o.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: as.uid, Gid: as.uid}}
		o.cmd.Dir = "/"
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.SetReadDeadline(time.Now().Add(20 * time.Second))
	o.cmd.Stdout, o.cmd.Stderr = w, os.Stderr
	o.out = bufio.NewScanner(r)
	err = o.cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.cmd.Process.Kill()
		for _, pid := range o.processes() {
			t.Errorf("process %d of the lab is left over", pid)
			unix.Kill(pid, unix.SIGKILL)
		}
	})
	return o
}

// until reads the outer half's output up to a line.
func (o *outer) until(t *testing.T, line string) {
	t.Helper()
	for o.out.Scan() {
		o.lines = append(o.lines, o.out.Text())
		if o.out.Text() == line {
			return
		}
	}
	if line != "" {
		t.Fatalf("no line %q in %q: %v", line, o.lines, o.out.Err())
	}
}

// wait waits for the outer half's end and returns its status.
func (o *outer) wait(t *testing.T) int {
	t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { o.cmd.Process.Kill() })
	defer timer.Stop()
	err := o.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return o.cmd.ProcessState.ExitCode()
}

// field returns what followed a word in the output.
func (o *outer) field(word string) (values []string) {
	for _, l := range o.lines {
		if v, ok := strings.CutPrefix(l, word+" "); ok {
			values = append(values, v)
		}
	}
	return values
}

// processes finds all processes, zombies aside, with the marker in their
// environment.
func (o *outer) processes() (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		env, err := os.ReadFile(d + "/environ")
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), envMarker+"="+o.marker) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(d)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// namespaces finds out which of the lab's network namespaces somebody is in or
// holds.
func (o *outer) namespaces() (held []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	cookies := make(map[string]string) // by inode number
	for _, f := range o.field("netns") {
		inode, cookie, _ := strings.Cut(f, " ")
		cookies[inode] = cookie
	}
	for _, l := range append(links, fds...) {
		to, err := os.Readlink(l)
		if err != nil {
			continue
		}
		inode, ok := strings.CutPrefix(to, "net:[")
		cookie, ours := cookies[strings.TrimSuffix(inode, "]")]
		if !ok || !ours {
			continue
		}
		// Inode numbers are used again, by other tests that run beside this one;
		// cookies never are.
		if ns, err := netns.Open(l); err == nil {
			now, err := namespaceCookie(ns)
			ns.Close()
			if err == nil && fmt.Sprint(now) != cookie {
				continue
			}
		}
		held = append(held, l)
	}
	return held
}

// namespaceCookie is a number that no other network namespace of this boot has
// or had.
func namespaceCookie(ns *netns.NS) (cookie uint64, err error) {
	err = ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open socket: %w", err)
		}
		defer unix.Close(fd)
		cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return err
	})
	return cookie, err
}

func (o *outer) nothingLeft(t *testing.T) {
	t.Helper()
	wait(t, t.Context(), "no process of the lab is left", func() bool { return len(o.processes()) == 0 })
	if len(o.field("netns")) < 7 {
		t.Fatalf("the lab told of %d namespaces only", len(o.field("netns")))
	}
	wait(t, t.Context(), "no namespace of the lab is held", func() bool { return len(o.namespaces()) == 0 })
}

func TestEnterLooks(t *testing.T) {
	for _, as := range users(t) {
		t.Run(as.name, func(t *testing.T) {
			o := startOuter(t, as, "look")
			o.until(t, "")
			if status := o.wait(t); status != 7 {
				t.Errorf("exit status %d, want the inner half's 7", status)
			}
			for word, want := range map[string]string{
				"first": "false", "uid": "0", "inside": "false", "run": "true", "pipe": "false", "buried": "true",
			} {
				if got := o.field(word); len(got) != 1 || got[0] != want {
					t.Errorf("%s = %q, want %q", word, got, want)
				}
			}
		})
	}
}

func TestEnterStops(t *testing.T) {
	for _, as := range users(t) {
		for sig, want := range map[unix.Signal]int{unix.SIGINT: 130, unix.SIGTERM: 143} {
			t.Run(as.name+"/"+sig.String(), func(t *testing.T) {
				o := startOuter(t, as, "hold")
				o.until(t, "ready")
				if len(o.processes()) < 4 || len(o.namespaces()) == 0 {
					t.Fatalf("processes %v, namespaces %v: the test can't see", o.processes(), o.namespaces())
				}
				if err := o.cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				o.until(t, "stopped") // so it was told, not killed
				if status := o.wait(t); status != want {
					t.Errorf("exit status %d, want %d", status, want)
				}
				o.nothingLeft(t)
			})
		}
	}
}

func TestEnterKillsTheDeaf(t *testing.T) {
	o := startOuter(t, users(t)[0], "deaf")
	o.until(t, "ready")
	if err := o.cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if status := o.wait(t); status != 130 {
		t.Errorf("exit status %d, want 130", status)
	}
	if took := time.Since(begin); took < 2*time.Second || took > 10*time.Second {
		t.Errorf("it took %v with 2 s of grace", took)
	}
}

func TestKillLeavesNothing(t *testing.T) {
	for _, as := range users(t) {
		t.Run(as.name, func(t *testing.T) {
			o := startOuter(t, as, "hold")
			o.until(t, "ready")
			if err := o.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			o.wait(t)
			o.nothingLeft(t)
		})
	}
}

func TestKeep(t *testing.T) {
	for _, as := range users(t) {
		t.Run(as.name, func(t *testing.T) {
			o := startOuter(t, as, "keep")
			o.until(t, "") // the end of the output: nobody inside holds it
			if status := o.wait(t); status != 3 {
				t.Fatalf("exit status %d, want 3", status)
			}
			if o.out.Err() != nil {
				t.Error(o.out.Err())
			}
			pid, err := strconv.Atoi(strings.Join(o.field("pid"), ""))
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Kill(pid, unix.SIGKILL)
			if n := len(o.processes()); n < 3 {
				t.Errorf("%d processes stand, want first, working and two sleepers", n)
			}
			nstest.Tool(t, "nsenter")
			line := strings.Join(o.field("enter"), "") + " cat /proc/net/dev"
			enter := exec.Command("sh", "-c", line)
			enter.Dir = "/"
			if as.uid != 0 {
				enter.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: as.uid, Gid: as.uid}}
			}
			if out, err := enter.CombinedOutput(); err != nil || !strings.Contains(string(out), NIC) {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
			if err := unix.Kill(pid, unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
			o.nothingLeft(t)
		})
	}
}

func TestForbidden(t *testing.T) {
	nstest.Require(t)
	// The limit is set in the user namespace, which must be nobody else's.
	o := startOuter(t, who{name: "alone", alone: true}, "forbid")
	o.until(t, "")
	if status := o.wait(t); status != 0 {
		t.Fatalf("exit status %d: %q", status, o.lines)
	}
	if got := o.field("refusal"); !slices.Equal(got, []string{"true"}) {
		t.Errorf("refusal: %q", o.lines)
	}
	if got := strings.Join(o.field("sentence"), "\n"); !strings.Contains(got, "user.max_net_namespaces") || strings.Contains(got, "\n") {
		t.Errorf("sentence: %q", got)
	}
}

// TestKillAtAnyMoment kills the outer half while the inner one is being set up.
func TestKillAtAnyMoment(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	list := users(t)
	for i := range 12 {
		o := startOuter(t, list[i%len(list)], "hold")
		time.Sleep(time.Duration(random.Int64N(int64(150 * time.Millisecond))))
		if err := o.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		o.wait(t)
		wait(t, t.Context(), "no process of the lab is left", func() bool { return len(o.processes()) == 0 })
	}
}

func TestTunSentences(t *testing.T) {
	for cause, want := range map[error]string{
		unix.EACCES: "chmod 0666 /dev/net/tun", unix.ENOENT: "mknod", unix.ENODEV: "modprobe tun",
	} {
		r := refuseTun(cause)
		if !errors.Is(r, ErrNoTun) || !errors.Is(r, cause) || !strings.Contains(r.Error(), want) || strings.Contains(r.Error(), ". ") {
			t.Errorf("%v: %q, want one sentence with %q", cause, r, want)
		}
	}
}
