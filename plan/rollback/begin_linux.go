package rollback

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/plan"
)

const (
	// watchdogEnv marks a watchdog's environment and carries its folder's path.
	watchdogEnv = "SIXHOST_ROLLBACK_WATCHDOG"
	// watchdogName is its argv[0], for ps; watchdogComm the name ps -e shows, which
	// is 15 octets long at most.
	watchdogName = "sixhost-rollback-watchdog"
	watchdogComm = "sixhost-watchdg"
	// The descriptors it inherits behind the standard ones.
	controlFD, folderFD = 3, 4
	// readyTimeout is how long a watchdog may take to start.
	readyTimeout = 10 * time.Second
)

func begin(ctx context.Context, g *Guard, o Options, captured []plan.Captured) (_ *Change, err error) {
	// The folder must be that of the namespace the watchdog will inherit.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	id, err := thisHost()
	if err != nil {
		return nil, err
	}
	d, err := makeFolder(o.StateDir, id)
	if err != nil {
		return nil, err
	}
	defer d.close() // the watchdog keeps its lock
	if err := d.lock(ctx); err != nil {
		return nil, err
	}
	old, err := d.readOwn(id)
	if err != nil {
		return nil, err
	}
	if old != nil {
		return nil, ErrUnfinished
	}
	rec := &record{
		Host: id, Phase: Preparing, PID: os.Getpid(),
		Timeout: o.Timeout, ApplyTimeout: o.ApplyTimeout, Attempts: o.Attempts, Pause: o.Pause,
		Captured: captured,
	}
	if err := d.write(rec); err != nil {
		return nil, err
	}
	c, err := startWatchdog(ctx, g, o, d)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start watchdog: %w", err), d.remove())
	}
	o.Logger.Info("change begun", "watchdog", c.watchdog, "state", d.path, "timeout", o.Timeout)
	return c, nil
}

// startWatchdog runs this program again as the watchdog and waits until it is
// ready. It leaves no process if it fails.
func startWatchdog(ctx context.Context, g *Guard, o Options, d *folder) (*Change, error) {
	log, err := os.OpenFile(d.log(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open its log: %w", err)
	}
	defer log.Close()
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()

	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{watchdogName, d.path}
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, watchdogEnv+"=") }), watchdogEnv+"="+d.path)
	cmd.Dir = "/" // hold no file system
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{theirs, d.f} // controlFD, folderFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, err
	}
	theirs.Close() // so that the watchdog's end is heard

	in := bufio.NewScanner(ours)
	if err := awaitReady(ctx, ours, in); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		ours.Close()
		return nil, err
	}
	recover := func(ctx context.Context) (bool, error) { return recoverChange(ctx, g, o.StateDir) }
	return newChange(ctx, ours, in, cmd.Process.Pid, recover, func() { cmd.Wait() }), nil
}

func awaitReady(ctx context.Context, c net.Conn, in *bufio.Scanner) error {
	if err := c.SetReadDeadline(time.Now().Add(readyTimeout)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	var r reply
	err := receive(in, &r)
	if !stop() {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("it did not get ready: %w", err)
	}
	if err := r.err(); err != nil {
		return err
	}
	if r.News != newsReady {
		return fmt.Errorf("it said %q, not that it is ready", r.News)
	}
	return c.SetReadDeadline(time.Time{})
}

// socketPair returns a connection and the file that is its other end. Both
// are closed in children, save where handed on.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "watchdog"), os.NewFile(uintptr(fds[1]), "applying process")
	defer ours.Close()
	c, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("use socket pair: %w", err)
	}
	return c, theirs, nil
}
