package nstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/netns"
)

// Environment that CI sets. Neither is needed to run the tests.
const (
	// envLedger names a folder in which every privileged test that really ran
	// leaves a file, so that a run that skipped them all can be told.
	envLedger = "SIXHOST_TEST_LEDGER"
	// envNoSkip makes a missing tool or privilege a failure.
	envNoSkip = "SIXHOST_TEST_NOSKIP"
	// envInside marks a test binary that re-executed itself.
	envInside = "SIXHOST_TEST_INSIDE"
)

// Main is the whole TestMain of a package with privileged tests:
//
//	func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }
//
// As root it just runs the tests. Otherwise it runs the same test binary again
// as root of a new user, network and mount namespace; where those are
// forbidden it runs it here, and Require skips.
func Main(m *testing.M) int {
	if os.Getenv(envInside) != "" {
		// Tests of servers on loopback find it as they do everywhere else.
		if err := loopbackUp(); err != nil {
			fmt.Fprintf(os.Stderr, "nstest: %v\n", err)
			return 1
		}
	}
	if os.Geteuid() == 0 {
		return m.Run()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "nstest: user namespaces can't be made here (%v); tests that need one skip\n", err)
		return m.Run()
	}
	fmt.Fprintln(os.Stderr, "nstest: not root: running in a user namespace")
	var exit *exec.ExitError
	switch err := cmd.Wait(); {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode()
	default:
		fmt.Fprintf(os.Stderr, "nstest: %v\n", err)
		return 1
	}
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// Require skips the test where it has no CAP_NET_ADMIN over a network
// namespace of its own, and notes in CI's ledger that it ran.
func Require(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "needs root or a user namespace")
	}
	if dir := os.Getenv(envLedger); dir != "" {
		name := strings.NewReplacer("/", "_", " ", "_").Replace(filepath.Base(os.Args[0]) + "." + t.Name())
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatalf("note privileged test: %v", err)
		}
	}
}

// RequireRoot skips the test in a user namespace too, for what only the
// initial one may do: BPF, neighbour table limits.
func RequireRoot(t testing.TB) {
	t.Helper()
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatalf("read uid map: %v", err)
	}
	if f := strings.Fields(string(m)); os.Geteuid() != 0 || len(f) != 3 || f[0] != "0" || f[1] != "0" {
		t.Skip("needs root of the initial user namespace")
	}
	Require(t)
}

// RequireTun skips the test where /dev/net/tun can't be opened.
func RequireTun(t testing.TB) {
	t.Helper()
	Require(t)
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		skip(t, fmt.Sprintf("needs /dev/net/tun: %v", err))
	}
	unix.Close(fd)
}

// Tool returns the path of a program the test can't do without, looking in
// the system's folders too, and skips with its name where it is missing.
func Tool(t testing.TB, name string) string {
	t.Helper()
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/lib/systemd", "/lib/systemd"} {
		if p := filepath.Join(dir, name); unix.Access(p, unix.X_OK) == nil {
			return p
		}
	}
	skip(t, "needs the program "+name)
	return ""
}

// NS makes a network namespace that is let go of when the test ends.
func NS(t testing.TB) *netns.NS {
	t.Helper()
	Require(t)
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// NSWith makes a network namespace with addresses on its loopback interface,
// ready to be listened on and connected to.
func NSWith(t testing.TB, addrs ...string) *netns.NS {
	t.Helper()
	ns := NS(t)
	h, err := ns.Handle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if err := ifaddr.AddText(h, lo, a+"/128"); err != nil {
			t.Fatal(err)
		}
	}
	return ns
}

// Do runs fn in the namespace and fails the test on an error. fn must not call
// t.Fatal, as it runs in another goroutine.
func Do(t testing.TB, ns *netns.NS, fn func() error) {
	t.Helper()
	if err := ns.Do(fn); err != nil {
		t.Fatal(err)
	}
}

// Output runs a program in the namespace and returns what it printed on both
// outputs; it fails the test if the program fails.
func Output(t testing.TB, ns *netns.NS, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(Tool(t, name), args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv(envNoSkip) != "" {
		t.Fatalf("%s, and %s forbids skipping", why, envNoSkip)
	}
	t.Skip(why)
}
