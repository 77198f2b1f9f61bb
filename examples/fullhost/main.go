// Command fullhost turns a rented server with one IPv4 address and one IPv6
// /64 into a host for IPv6-only KVM guests. It is made of this module's
// packages alone and shows how to put them together.
//
//	fullhost lab        build a practice provider and do the whole job in it
//	fullhost plan       print the steps for this machine, change nothing
//	fullhost apply      run them; taken back unless confirmed in time
//	fullhost confirm    keep the change, from any login
//	fullhost undo       take the change back now
//	fullhost run        serve: router advertisements, DNS64, NAT64, front door,
//	                    and put the network back when somebody changes it
//	fullhost edge       put the rules of the last apply in place, at boot
//	fullhost persist    show the files of the next boot; -diff, -write, -undo
//	fullhost doctor     report whether the host is as wanted, change nothing
//	fullhost zone       print the DNS records to enter at the provider
//	fullhost ra-import  print the host.yaml that says what /etc/radvd.conf says
//	fullhost guest      define, start, stop and look at guests; -h lists the verbs
//
// While run serves, br0, the host's addresses and its routes stay as they were
// when it began: what somebody else takes away or changes is put back within
// milliseconds, and the log says what it was and, where the kernel tells, who did
// it. In a fight over the same thing (more than five times in ten seconds) the
// log names the opponent, the host's own addresses and default routes are put back
// every time, and what else is fought over is left for a second, then twice as
// long each time, up to half a minute. What is only added on br0 stays.
//
// While a change by fullhost apply is open, run puts nothing back. When the change
// has been confirmed or taken back, run goes on if it would serve the same, and
// otherwise ends with status 1 or 2, so that the service manager starts it again
// with the new configuration.
//
// Editing host.yaml without apply changes nothing that could lock anybody out, at
// the next start of run and the next boot neither: confirm keeps a copy of what was
// confirmed beside it (host.yaml.confirmed), and where the file wants other
// addresses, routes or rules, or can't be read, run serves the copy and says so.
// Guests, names that they serve, name servers and the like are taken from the file.
//
// What router advertisements say (the keys ra and dns.domain, the bridge's MTU)
// run changes without a new start: after such a change, and on SIGUSR1, for which
// it reads the file again. On SIGTERM and SIGINT it tells the guests that the
// host ceases to be their router; on SIGUSR2 it ends without a word to them, as
// another run is about to begin.
//
// Every command but lab, edge and ra-import reads -f host.yaml, by default /etc/sixhost/host.yaml
// where it exists; every key in it is optional. The exit status is 0 when all
// is as asked, 1 when something failed, 2 when the input or the machine is not
// fit for it and nothing was changed, 130, 143 or 140 after SIGINT, SIGTERM or
// SIGUSR2.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/bridge/handover"
	"github.com/sixhost/sixhost/guest/hostroute"
	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/persist"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/plan/rollback"
)

func main() {
	// The watchdog and the lab's inner half are this same program, started again.
	guard := rollback.Main(handover.Restorer(), macrewrite.Restorer(), bridge.Restorer(), gateway.Restorer(), hostroute.Restorer(), persist.Restorer())
	if lab.Inside() {
		os.Exit(labInner())
	}
	os.Exit(run(guard, os.Args[1:], os.Stdout, os.Stderr))
}

// app is what every command needs.
type app struct {
	guard  *rollback.Guard
	stdout io.Writer
	stderr io.Writer
}

type command struct {
	name, summary string
	run           func(a app, ctx context.Context, args []string) error
}

func commands() []command {
	return []command{
		{"lab", "build a practice provider in namespaces and do the whole job in it", app.lab},
		{"plan", "print the steps for this machine and change nothing", app.plan},
		{"apply", "run the steps, and take them back unless confirmed in time", app.apply},
		{"confirm", "keep the change that waits for it (works from any login)", app.confirm},
		{"undo", "take back the change that waits for confirmation", app.undo},
		{"run", "serve router advertisements, DNS64, NAT64 and the IPv4 front door, and keep the network as it is", app.serve},
		{"edge", "put the edge's rules from a file in place (what the boot runs)", app.edge},
		{"persist", "show the files of the next boot as steps or -diff; -write or -undo them", app.persist},
		{"doctor", "report whether the host is as wanted, now and at the next boot", app.doctor},
		{"zone", "print the DNS records of host and guests, or bring them to a name server", app.zone},
		{"ra-import", "print the host.yaml that says what a radvd.conf says", app.raImport},
		{"guest", "define, start, stop and look at guests by libvirt", app.guest},
	}
}

func run(guard *rollback.Guard, args []string, stdout, stderr io.Writer) int {
	a := app{guard: guard, stdout: stdout, stderr: stderr}
	if len(args) == 0 || args[0] == "-h" || args[0] == "-help" || args[0] == "--help" || args[0] == "help" {
		usage(stdout)
		if len(args) == 0 {
			return 2
		}
		return 0
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		ctx, stop, caught := signalContext()
		defer stop()
		return exitStatus(c.run(a, ctx, args[1:]), caught, stderr)
	}
	fmt.Fprintf(stderr, "fullhost: unknown command %q; fullhost -h lists them\n", args[0])
	return 2
}

func usage(w io.Writer) {
	fmt.Fprint(w, "fullhost makes a rented server a host for IPv6-only guests.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  fullhost %-9s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nfullhost COMMAND -h lists a command's flags.\n")
}

// signalContext returns a context that ends on SIGINT and SIGTERM, and a
// function that tells which of them came. SIGHUP is ignored: losing the
// terminal must change nothing.
func signalContext() (ctx context.Context, stop func(), caught func() syscall.Signal) {
	signal.Ignore(syscall.SIGHUP)
	ctx, cancel := context.WithCancelCause(context.Background())
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM, restartSignal)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-ch:
			cancel(signalError{s.(syscall.Signal)})
		case <-done:
		}
		signal.Stop(ch) // a second Ctrl-C ends the program the hard way
	}()
	return ctx, func() { close(done); cancel(nil) }, func() syscall.Signal {
		var se signalError
		if errors.As(context.Cause(ctx), &se) {
			return se.Signal
		}
		return 0
	}
}

type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return e.Signal.String() }

// statusError ends the program with a status of its own; what there was to
// say has been said.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// exitStatus prints an error and turns it into the program's exit status.
func exitStatus(err error, caught func() syscall.Signal, stderr io.Writer) int {
	var (
		status  statusError
		refusal *plan.Refusal
		usage   usageError
	)
	switch {
	case errors.As(err, &status):
		return int(status)
	case caught() != 0:
		if err != nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintf(stderr, "fullhost: %v\n", err)
		}
		return 128 + int(caught())
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "fullhost: %v\n", err)
		return 2
	case errors.As(err, &refusal):
		fmt.Fprintf(stderr, "fullhost: %v\n", refusal)
		return 2
	default:
		fmt.Fprintf(stderr, "fullhost: %v\n", err)
		return 1
	}
}

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// flags parses a command's flags; the set prints nothing itself but help.
func (a app) flags(name string, args []string, define func(*flag.FlagSet)) error {
	fs := flag.NewFlagSet("fullhost "+name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	define(fs)
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(a.stdout, "Usage of fullhost %s:\n", name)
		fs.SetOutput(a.stdout)
		fs.PrintDefaults()
		return err
	case err != nil:
		return usageError{fmt.Sprintf("%s: %v; fullhost %s -h lists the flags", name, err, name)}
	case fs.NArg() > 0:
		return usageError{fmt.Sprintf("%s: unexpected argument %q", name, fs.Arg(0))}
	}
	return nil
}

// configFlag is the -f every command but lab, edge and ra-import has.
func configFlag(fs *flag.FlagSet, path *string) {
	fs.StringVar(path, "f", "", "the `file` that describes the host; default "+defaultFile+" where it exists")
}
