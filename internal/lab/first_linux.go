package lab

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	firstControlFD = 3
	firstStatusFD  = 4
	workStatusFD   = 3
)

// first is the lab's first process. Its end is the end of every process in the
// lab. The work is done by a child, because a first process gets the orphans of
// the whole lab (a watchdog that outlived its parent, say) and has to wait for them, which
// would take the exit statuses of children from os/exec.
func first() int {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGCHLD)
	unix.CloseOnExec(firstControlFD)
	unix.CloseOnExec(firstStatusFD)

	worker, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{
		Env:   append(withoutStage(os.Environ()), envStage+"="+stageWork),
		Files: []uintptr{0, 1, 2, firstStatusFD},
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "start the lab's second process: %v\n", err)
		return 1
	}
	// Only the worker speaks, so that its end is the pipe's end.
	unix.Close(firstStatusFD)

	control := make(chan string)
	go func() {
		defer close(control)
		for s := bufio.NewScanner(os.NewFile(firstControlFD, "lab control")); s.Scan(); {
			control <- s.Text()
		}
	}()
	kept := false
	for {
		select {
		case line, open := <-control:
			switch {
			case !open && !kept:
				return 128 + int(unix.SIGKILL) // the outer half is gone
			case !open:
				control = nil
			case line == ctlKept:
				kept = true
				if err := silence(); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			case line == ctlStop:
				unix.Kill(worker, unix.SIGTERM)
			}
		case sig := <-signals:
			switch sig {
			case unix.SIGCHLD:
				if status, over := bury(worker); over {
					return status
				}
			case unix.SIGHUP: // no terminal is ours
			default:
				unix.Kill(worker, unix.SIGTERM)
			}
		}
	}
}

// bury waits for all children that have ended and returns the worker's exit
// status when it is among them.
func bury(worker int) (status int, over bool) {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
		case err != nil || pid <= 0:
			return status, over
		case pid == worker && ws.Signaled():
			status, over = 128+int(ws.Signal()), true
		case pid == worker:
			status, over = ws.ExitStatus(), true
		}
	}
}
