package netns

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	vishnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NS is one network namespace.
type NS struct {
	f *os.File
}

// New makes an empty network namespace with its loopback interface up. It
// needs CAP_SYS_ADMIN in the user namespace.
func New() (*NS, error) {
	var ns *NS
	err := inThrowawayThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare network namespace: %w", err)
		}
		var err error
		if ns, err = openThread(); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find lo: %w", err)
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set lo up: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	return ns, nil
}

// Current holds the calling thread's network namespace.
func Current() (*NS, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return openThread()
}

// Open holds the network namespace at a path such as /proc/42/ns/net.
func Open(path string) (*NS, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	return &NS{f: f}, nil
}

func openThread() (*NS, error) {
	// thread-self, not self/task/<tid>: where /proc belongs to an outer pid
	// namespace, gettid's number means another thread there or none.
	return Open("/proc/thread-self/ns/net")
}

// Close lets go of the namespace. It lives on while processes, sockets or
// other descriptors use it.
func (n *NS) Close() error { return n.f.Close() }

// File returns the open namespace file; it stays the NS's own.
func (n *NS) File() *os.File { return n.f }

// Inode identifies the namespace on this machine.
func (n *NS) Inode() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(n.f.Fd()), &st); err != nil {
		return 0, fmt.Errorf("stat network namespace: %w", err)
	}
	return st.Ino, nil
}

// Do runs fn in the namespace, on a thread of its own that goes back to where
// it came from or dies. Sockets that fn opens stay in the namespace wherever
// they are used later; goroutines that fn starts do not run in it.
func (n *NS) Do(fn func() error) error {
	return inThrowawayThread(func() error {
		if err := unix.Setns(int(n.f.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return fn()
	})
}

// Start starts a command in the namespace.
func (n *NS) Start(cmd *exec.Cmd) error {
	// The child inherits the namespaces of the thread that forks it. A parent
	// death signal would follow that thread, not the process, so it is refused.
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Pdeathsig != syscall.Signal(0) {
		return fmt.Errorf("start %s in network namespace: Pdeathsig follows the starting thread, which ends", cmd.Path)
	}
	return n.Do(cmd.Start)
}

// Handle opens a netlink handle in the namespace. The caller closes it.
func (n *NS) Handle(families ...int) (*netlink.Handle, error) {
	h, err := netlink.NewHandleAt(vishnetns.NsHandle(n.f.Fd()), families...)
	if err != nil {
		return nil, fmt.Errorf("open netlink in network namespace: %w", err)
	}
	return h, nil
}

// inThrowawayThread runs fn on a locked thread that is never unlocked, so that
// the runtime ends it with the goroutine and no other goroutine can land in
// whatever namespace it was left in.
func inThrowawayThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		// A panic or runtime.Goexit in fn (t.FailNow) must not hang the caller.
		finished := false
		defer func() {
			if !finished {
				done <- fmt.Errorf("function in network namespace ended early")
			}
		}()
		err := fn()
		finished = true
		done <- err
	}()
	return <-done
}
