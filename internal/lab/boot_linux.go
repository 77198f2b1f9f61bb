package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/sysctl"
)

const (
	// envStage marks a program that Enter started, and which of the two it is.
	envStage   = "SIXHOST_LAB_STAGE"
	stageFirst = "first" // pid 1: holds the namespaces, buries the dead
	stageWork  = "work"  // its child: what the caller wants to run
)

// What is said over the pipes. The control pipe leads inwards to the first
// process, the status pipe outwards from the working one.
const (
	ctlStop  = "stop" // end cleanly
	ctlKept  = "kept" // the end of this pipe means nothing any more
	saidKeep = "keep" // followed by the exit status that Enter shall return
)

// Enter runs this program again as the first process of new mount, process,
// network, IPC and UTS namespaces, and a user namespace where it doesn't run as
// root, and waits for its end. It returns the inner program's exit status, 128 +
// the signal's number where a signal ended it.
//
// Enter watches for SIGINT, SIGTERM and SIGHUP itself, as it does for the end of
// ctx (taken for SIGINT): it tells the inner program to stop, and returns 128 + the
// signal's number when that is gone; a second signal kills it at once.
//
// Errors: *Refusal where the lab can't be started on this machine by this user.
func Enter(ctx context.Context, o EnterOptions) (exit int, err error) {
	if o.Tun {
		if err := checkTun(); err != nil {
			return 0, err
		}
	}
	ctlR, ctlW, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("make control pipe: %w", err)
	}
	defer ctlW.Close()
	statusR, statusW, err := os.Pipe()
	if err != nil {
		ctlR.Close()
		return 0, fmt.Errorf("make status pipe: %w", err)
	}
	defer statusR.Close()

	// Before the start, so that no signal falls between.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)

	cmd, err := startFirst(o, ctlR, statusW)
	// The inner program's ends: its pipes must end with it.
	ctlR.Close()
	statusW.Close()
	if err != nil {
		return 0, err
	}
	return attend(ctx, o, cmd, ctlW, statusR, signals)
}

func startFirst(o EnterOptions, ctlR, statusW *os.File) (*exec.Cmd, error) {
	root := os.Geteuid() == 0
	cmd, err := firstCmd(o, ctlR, statusW, !root)
	if err != nil {
		return nil, err
	}
	err = cmd.Start()
	if root && errors.Is(err, unix.EPERM) {
		// Root of a container that has no CAP_SYS_ADMIN is like anyone else.
		if cmd, err = firstCmd(o, ctlR, statusW, true); err != nil {
			return nil, err
		}
		err = cmd.Start()
	}
	if err == nil {
		return cmd, nil
	}
	for _, errno := range []error{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EUSERS, unix.EINVAL, unix.ENOSYS} {
		if errors.Is(err, errno) {
			return nil, refuseNamespaces(err)
		}
	}
	return nil, fmt.Errorf("start the lab's first process: %w", err)
}

func firstCmd(o EnterOptions, ctlR, statusW *os.File, user bool) (*exec.Cmd, error) {
	args := o.Args
	if args == nil {
		args = os.Args[1:]
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdout, cmd.Stderr = o.Stdout, o.Stderr
	cmd.ExtraFiles = []*os.File{ctlR, statusW} // descriptors 3 and 4
	cmd.Env = append(withoutStage(os.Environ()), o.Env...)
	cmd.Env = append(cmd.Env, envStage+"="+stageFirst)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		// The terminal's Ctrl-C is for Enter alone, which passes it on in order.
		Setsid: true,
	}
	if user {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		cmd.SysProcAttr.GidMappingsEnableSetgroups = false
	}
	return cmd, nil
}

// attend waits for the inner program's end, or for its wish to be kept.
func attend(ctx context.Context, o EnterOptions, cmd *exec.Cmd, ctlW, statusR *os.File, signals <-chan os.Signal) (int, error) {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	said := make(chan string)
	quit := make(chan struct{})
	defer close(quit)
	go func() {
		for s := bufio.NewScanner(statusR); s.Scan(); {
			select {
			case said <- s.Text():
			case <-quit:
				return
			}
		}
	}()

	grace := o.Grace
	if grace == 0 {
		grace = 5 * time.Second
	}
	ended := ctx.Done()
	var deadline <-chan time.Time
	var stopped syscall.Signal
	stop := func(sig syscall.Signal) {
		if stopped != 0 {
			cmd.Process.Kill()
			return
		}
		stopped = sig
		deadline = time.After(grace)
		// A first process that is gone already shows by done.
		fmt.Fprintln(ctlW, ctlStop)
	}
	for {
		select {
		case sig := <-signals:
			stop(sig.(syscall.Signal))
		case <-ended:
			ended = nil
			stop(unix.SIGINT)
		case <-deadline:
			cmd.Process.Kill()
		case line := <-said:
			code, ok := strings.CutPrefix(line, saidKeep+" ")
			exit, err := strconv.Atoi(code)
			if !ok || err != nil || !o.Keep || stopped != 0 {
				continue
			}
			if _, err := fmt.Fprintln(ctlW, ctlKept); err != nil {
				continue // it is ending
			}
			if o.OnKeep != nil {
				o.OnKeep(KeepInfo{PID: cmd.Process.Pid, User: cmd.SysProcAttr.Cloneflags&syscall.CLONE_NEWUSER != 0})
			}
			return exit, nil
		case err := <-done:
			if stopped != 0 {
				return 128 + int(stopped), nil
			}
			return exitStatus(err)
		}
	}
}

// exitStatus turns what Wait says into a shell's exit status.
func exitStatus(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return 0, fmt.Errorf("wait for the lab: %w", err)
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return exit.ExitCode(), nil
}

func checkTun() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return refuseTun(err)
	}
	return unix.Close(fd)
}

func refuseTun(cause error) *Refusal {
	r := &Refusal{Err: ErrNoTun, Cause: cause}
	switch {
	case errors.Is(cause, unix.EACCES) || errors.Is(cause, unix.EPERM):
		r.Sentence = "this user may not open /dev/net/tun: run as root, or give it the rights udev gives it with `chmod 0666 /dev/net/tun`"
	case errors.Is(cause, unix.ENOENT):
		r.Sentence = "there is no /dev/net/tun: make it, as root, with `mkdir -p /dev/net && mknod -m 0666 /dev/net/tun c 10 200`"
	default:
		r.Sentence = fmt.Sprintf("/dev/net/tun does not work (%v): load its driver, as root, with `modprobe tun`", cause)
	}
	return r
}

func refuseNamespaces(cause error) *Refusal {
	noKernel := errors.Is(cause, unix.EINVAL) || errors.Is(cause, unix.ENOSYS)
	return forbidden(cause, os.Geteuid() == 0 && !mappedAlone(), noKernel, sysctl.Read)
}

// mappedAlone tells that this process is root only in a user namespace which knows
// no other user: one that somebody without rights made, such as Enter.
func mappedAlone() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(b))
	return err == nil && len(f) == 3 && f[2] == "1"
}

func withoutStage(env []string) []string {
	var out []string
	for _, e := range env {
		if !strings.HasPrefix(e, envStage+"=") {
			out = append(out, e)
		}
	}
	return out
}
