package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Inside tells whether Enter started this program and Init has not been called
// yet. Programs that Init's caller starts in turn are not inside.
func Inside() bool { return os.Getenv(envStage) != "" }

// Inner is the inner half's side of Enter.
type Inner struct {
	status *os.File
	notes  []string
	stop   context.CancelFunc
}

// Init is to be called, when Inside, before anything else of the program's work.
// In the first process of the namespaces it never returns: it starts the program
// again and stays behind to bury orphans. In the second it prepares what is
// common to all of the lab: mounts that don't reach the outside, a tmpfs on /run,
// /proc and a BPF file system of its own where that is allowed, loopback up.
//
// The returned context ends when the outer half is told to stop.
//
// Errors: *Refusal where the namespaces turn out not to be usable.
func Init(ctx context.Context) (*Inner, context.Context, error) {
	if os.Getenv(envStage) == stageFirst {
		os.Exit(first())
	}
	if os.Getenv(envStage) != stageWork {
		return nil, nil, errors.New("initialise lab: this program was not started by Enter")
	}
	// Not for the programs that this one starts.
	if err := os.Unsetenv(envStage); err != nil {
		return nil, nil, fmt.Errorf("initialise lab: %w", err)
	}
	unix.CloseOnExec(workStatusFD)
	in := &Inner{status: os.NewFile(workStatusFD, "lab status")}
	ctx, in.stop = signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	err := func() error {
		notes, err := mountOwn()
		if err != nil {
			return err
		}
		in.notes = notes
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find loopback: %w", err)
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set loopback up: %w", err)
		}
		return nil
	}()
	if err != nil {
		in.stop()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			return nil, nil, refuseNamespaces(err)
		}
		return nil, nil, fmt.Errorf("initialise lab: %w", err)
	}
	return in, ctx, nil
}

// Notes are sentences on what this machine or user doesn't allow the lab to
// have, and what follows from that.
func (in *Inner) Notes() []string { return in.notes }

// Keep lets the outer half return with the given exit status while the lab stands,
// and waits until ctx ends, as it does on SIGTERM. Standard input and output
// lead nowhere from here on, so that whoever reads the outer half's output sees its end.
// Where EnterOptions.Keep was not set, the lab goes on to depend on the outer half.
func (in *Inner) Keep(ctx context.Context, exit int) error {
	if err := silence(); err != nil {
		return fmt.Errorf("keep lab: %w", err)
	}
	if _, err := fmt.Fprintf(in.status, "%s %d\n", saidKeep, exit); err != nil {
		return fmt.Errorf("keep lab: %w", err)
	}
	<-ctx.Done()
	return nil
}

// Close gives back Init's hold on signals. The caller exits soon after.
func (in *Inner) Close() error {
	in.stop()
	return in.status.Close()
}

// silence makes standard input and output lead nowhere.
func silence() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("redirect descriptor %d to %s: %w", fd, os.DevNull, err)
		}
	}
	return nil
}
