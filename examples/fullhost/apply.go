package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/plan/rollback"
)

// apply runs the apply phase under a watchdog and waits for somebody to
// confirm that the host is still reachable.
func (a app) apply(ctx context.Context, args []string) error {
	var (
		within         time.Duration
		check, healthy bool
	)
	c, path, err := a.hostCommand("apply", args, func(fs *flag.FlagSet) {
		fs.DurationVar(&within, "confirm-within", 0, "take everything back unless confirmed in this time; default 120s or the file's confirm_within")
		fs.BoolVar(&check, "check", false, "take everything back at once if a gateway, a name server or the session that this was started from answered before the change and does not after it")
		fs.BoolVar(&healthy, "confirm-if-healthy", false, "check, and confirm if all holds for 10s; for installations without a person: it proves that the neighbours answer, not that a new login is possible")
	})
	if err != nil {
		return err
	}
	if within < 0 {
		return usageError{fmt.Sprintf("apply: -confirm-within: want a length of time above zero, not %s", within)}
	}
	if within > 0 {
		c.ConfirmWithin = within
	}
	// A change that was cut off with all its processes is taken back before
	// the next one is thought about.
	if err := a.recover(ctx, c); err != nil {
		return err
	}
	// A host that another apply is at work on is not worth planning for.
	if s, err := rollback.Status(c.StateDir); err == nil && s.Phase != rollback.Waiting {
		return refuseBusy(&rollback.BusyError{PID: s.PID, Watchdog: s.Watchdog})
	}
	ch, err := prepare(ctx, c)
	if err != nil {
		return err
	}
	if err := ch.host.refuseTaken(ctx); err != nil {
		return err
	}
	ch.host.describe(a.stdout)
	if err := ch.plan.WriteText(a.stdout); err != nil {
		return err
	}
	if ch.plan.Phase(plan.Apply).Empty() {
		if ch.plan.Empty() {
			return nil
		}
		fmt.Fprintf(a.stdout, "The apply phase is done; what is left runs with: %s\n", confirmCommand(path))
		return nil
	}
	var checks *checkup
	if check || healthy {
		checks = &checkup{checks: ch.host.checks(ctx)}
		checks.begin(ctx, a.stdout)
	}
	if healthy {
		if err := checks.enough(ch.host); err != nil {
			return err
		}
	}
	open, err := a.guard.Begin(ctx, rollback.Options{StateDir: c.StateDir, Timeout: c.ConfirmWithin}, ch.captured)
	if err != nil {
		return refuseBusy(err)
	}
	// The change's own context ends with ctx, and when the watchdog restores.
	if err := ch.plan.Run(open.Context(), plan.Apply, func(n, of int, s plan.Step) {
		fmt.Fprintf(a.stdout, "[%d/%d] %s\n", n, of, s.Text)
	}); err != nil {
		return errors.Join(err, a.takeBack(ctx, open))
	}
	if err := open.Applied(ctx); err != nil {
		return errors.Join(fmt.Errorf("tell the watchdog that all steps are done: %w", err), a.takeBack(ctx, open))
	}
	deadline := time.Now().Add(c.ConfirmWithin)
	if checks != nil {
		confirmed, err := a.check(ctx, open, c, checks, healthy)
		if err != nil {
			return errors.Join(err, a.takeBack(ctx, open))
		}
		if confirmed {
			return a.finish(ctx, c)
		}
	}
	return a.awaitConfirm(ctx, open, c, path, deadline)
}

// check judges the applied change by what held before it.
func (a app) check(ctx context.Context, open *rollback.Change, c config, checks *checkup, confirm bool) (confirmed bool, err error) {
	// What is printed is also what the session's peer has to acknowledge.
	fmt.Fprintln(a.stdout, "All steps are done. Checks after the change:")
	if err := checks.again(open.Context(), a.stdout, afterPatience); err != nil || !confirm {
		return false, err
	}
	return a.confirmIfHealthy(ctx, open, c, checks)
}

// recover takes back a change whose processes have all died.
func (a app) recover(ctx context.Context, c config) error {
	restored, err := a.guard.Recover(ctx, c.StateDir)
	if err != nil {
		return fmt.Errorf("earlier change: %w", err)
	}
	if restored {
		fmt.Fprintln(a.stdout, "An earlier change was cut off; the network from before it is back.")
	}
	return nil
}

// takeBack undoes an open change even though ctx may have ended: that is often
// why.
func (a app) takeBack(ctx context.Context, open *rollback.Change) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := open.Undo(ctx); err != nil {
		return fmt.Errorf("take the change back: %w", err)
	}
	fmt.Fprintln(a.stdout, "Everything is taken back.")
	return nil
}

// awaitConfirm waits for Enter here, fullhost confirm elsewhere, or the end of
// the countdown, which the watchdog keeps; deadline is when that will be.
func (a app) awaitConfirm(ctx context.Context, open *rollback.Change, c config, path string, deadline time.Time) error {
	fmt.Fprintf(a.stdout, "Applied. Log in again to be sure, then run: %s\n", confirmCommand(path))
	entered := make(chan struct{})
	terminal := isTerminal(os.Stdin)
	if terminal {
		fmt.Fprintln(a.stdout, "Or press Enter here. Ctrl-C takes everything back.")
		// The read can't be cancelled; it ends with the program.
		go func() {
			if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err == nil {
				close(entered)
			}
		}()
	}
	type result struct {
		outcome rollback.Outcome
		err     error
	}
	// Not ended by ctx, or an interrupt could be taken for the change's own end.
	waitCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	done := make(chan result, 1)
	go func() {
		o, err := open.Wait(waitCtx)
		done <- result{o, err}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(a.stdout)
			return errors.Join(ctx.Err(), a.takeBack(ctx, open))
		case <-entered:
			if err := rollback.Confirm(ctx, c.StateDir); err != nil {
				return err
			}
			<-done
			return a.finish(ctx, c)
		case r := <-done:
			if terminal {
				fmt.Fprintln(a.stdout)
			}
			switch {
			case r.err != nil:
				return fmt.Errorf("wait for confirmation: %w", r.err)
			case r.outcome == rollback.Confirmed:
				fmt.Fprintln(a.stdout, "Confirmed from another login.")
				return nil
			}
			fmt.Fprintln(a.stdout, "Not confirmed: the network from before the change is back.")
			return statusError(1)
		case <-tick.C:
			if terminal {
				fmt.Fprintf(a.stdout, "\rTaken back in %3d s ", int(time.Until(deadline).Seconds()))
			}
		}
	}
}

// confirm disarms the watchdog and runs the confirm phase.
func (a app) confirm(ctx context.Context, args []string) error {
	c, _, err := a.hostCommand("confirm", args, nil)
	if err != nil {
		return err
	}
	switch err := rollback.Confirm(ctx, c.StateDir); {
	case errors.Is(err, rollback.ErrNoChange):
		fmt.Fprintln(a.stdout, "No change waits for confirmation.")
	case err != nil:
		return err
	default:
		fmt.Fprintln(a.stdout, "Confirmed: nothing will be taken back.")
	}
	return a.finish(ctx, c)
}

// finish runs the confirm phase of a host whose apply phase is done. What
// somebody has set otherwise since then, as NetworkManager does with parameters of
// links when it ends, is set again first.
func (a app) finish(ctx context.Context, c config) error {
	ch, err := prepare(ctx, c)
	if err != nil {
		return err
	}
	if err := ch.ready("confirm"); err != nil {
		return err
	}
	if err := ch.confirmable(ctx); err != nil {
		return err
	}
	for _, phase := range []plan.Phase{plan.Apply, plan.Confirm} {
		if err := ch.plan.Run(ctx, phase, func(n, of int, s plan.Step) {
			fmt.Fprintf(a.stdout, "[%d/%d] %s\n", n, of, s.Text)
		}); err != nil {
			return err
		}
	}
	return rememberConfirmed(c)
}

// confirmable refuses a file that was edited since it was applied.
func (ch change) confirmable(ctx context.Context) error {
	last, err := loadConfirmed(ch.host.config.path)
	if last == nil || err != nil || ch.inForce() {
		return nil // nothing, or nothing legible, to compare with
	}
	confirmed, err := prepare(ctx, *last)
	if err != nil {
		return nil
	}
	return ch.unconfirmed("confirm", confirmed)
}

// undo takes the open change back.
func (a app) undo(ctx context.Context, args []string) error {
	c, _, err := a.hostCommand("undo", args, nil)
	if err != nil {
		return err
	}
	switch err := rollback.Undo(ctx, c.StateDir); {
	case errors.Is(err, rollback.ErrNoChange), errors.Is(err, rollback.ErrUnfinished):
		// Its processes may all be gone, the captured state still there.
		restored, err := a.guard.Recover(ctx, c.StateDir)
		if err != nil {
			return err
		}
		if !restored {
			return &plan.Refusal{Subject: "undo", Reason: "no change waits for confirmation, so there is nothing to take back"}
		}
	case err != nil:
		return err
	}
	fmt.Fprintln(a.stdout, "The network from before the change is back.")
	return nil
}

func confirmCommand(path string) string {
	if path == "" {
		return "fullhost confirm"
	}
	return "fullhost confirm -f " + path
}

// refuseBusy turns "another change is open" into a refusal: nothing was changed.
func refuseBusy(err error) error {
	var busy *rollback.BusyError
	if errors.As(err, &busy) {
		return &plan.Refusal{Subject: "apply", Reason: err.Error() + "; confirm or undo that one first", Err: err}
	}
	return err
}
