// Command bridgeplan prints the steps that would move a NIC's identity onto a
// bridge on this machine, and changes nothing.
//
//	bridgeplan
//	bridgeplan -uplink enp2s0 -address slaac
//	bridgeplan -uplink enp2s0 -apply
//	bridgeplan -uplink enp2s0 -confirm
//
// With -apply it takes the steps of the apply phase, with -confirm those of the
// confirm phase. It has no rollback: what goes wrong stays wrong, and the next
// boot knows nothing of it. On a server that can't be reached otherwise use
// fullhost, which takes the change back unless it is confirmed.
//
// Printing needs no privileges; -apply and -confirm need CAP_NET_ADMIN. It exits
// with status 2 if what it is told can't be served, else with 1 if it fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/plan"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	var refusal *plan.Refusal
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.As(err, &refusal):
		fmt.Fprintln(os.Stderr, refusal)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bridgeplan:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, phases, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if len(phases) > 0 {
		if err := bridge.CheckPrivilege(); err != nil {
			return err
		}
	}
	if c.Uplink == "" {
		if c.Uplink, err = bridge.DefaultUplink(ctx); err != nil {
			return err
		}
	}
	there, err := bridge.Capture(ctx, c.Scope())
	if err != nil {
		return err
	}
	want, err := c.State(there)
	if err != nil {
		return err
	}
	p, err := bridge.Plan(there, want)
	if err != nil {
		return err
	}
	if err := p.WriteText(stdout); err != nil {
		return err
	}
	// Reading may fail for want of privileges, which a dry run doesn't need.
	if m, err := bridge.Manager(ctx, c.Uplink); err == nil && m != "" {
		fmt.Fprintf(stderr, "%s is in charge of %s and will undo these steps, at the latest after its next restart.\n", m, c.Uplink)
	}
	for _, ph := range phases {
		if p.Phase(ph).Empty() {
			continue
		}
		fmt.Fprintf(stderr, "Running the %s phase. Nothing will take it back if it fails.\n", ph)
		if err := p.Run(ctx, ph, nil); err != nil {
			return err
		}
	}
	return nil
}

// parse reads the arguments; phases are those to run, none to print only.
func parse(args []string, stderr io.Writer) (c bridge.Config, phases []plan.Phase, err error) {
	var prefix string
	fs := flag.NewFlagSet("bridgeplan", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&c.Uplink, "uplink", "", "`interface` towards the provider (default: that of the default routes)")
	fs.StringVar(&c.Bridge, "bridge", bridge.DefaultName, "`name` of the bridge")
	fs.StringVar(&prefix, "prefix", "", "the guests' `/64` (default: the only one on the uplink)")
	fs.TextVar(&c.Address, "address", bridge.KeepAddress(), "the host's own `address` in the /64: keep, slaac, or one")
	fs.BoolVar(&c.Static, "static", false, "make addresses that have a lifetime permanent")
	apply := fs.Bool("apply", false, "take the steps of the apply phase, without rollback")
	confirm := fs.Bool("confirm", false, "take the steps of the confirm phase, without rollback")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return c, nil, err
		}
		return c, nil, &plan.Refusal{Reason: err.Error(), Err: err}
	}
	if fs.NArg() > 0 {
		return c, nil, &plan.Refusal{Subject: "argument " + fs.Arg(0), Reason: "is unknown"}
	}
	if prefix != "" {
		if c.Prefix, err = netip.ParsePrefix(prefix); err != nil {
			return c, nil, &plan.Refusal{Subject: "prefix", Reason: err.Error(), Err: err}
		}
	}
	if *apply {
		phases = append(phases, plan.Apply)
	}
	if *confirm {
		phases = append(phases, plan.Confirm)
	}
	return c, phases, nil
}
