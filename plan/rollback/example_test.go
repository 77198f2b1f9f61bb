package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/plan/rollback"
)

// mtu is the state of a pretended part of the host, with the verbs that every
// package of this module has for its own.
type mtu int

func captureMTU(context.Context, mtu) (mtu, error) { return 1500, nil }

func planMTU(from, to mtu) (plan.Plan, error) {
	if from == to {
		return plan.Plan{}, nil
	}
	return plan.Plan{Steps: []plan.Step{{Part: "mtu", Text: fmt.Sprintf("set the MTU to %d", to), Do: func(context.Context) error { return nil }}}}, nil
}

// A whole program: it changes the host, and waits until another login confirms
// or two minutes have passed.
func Example() {
	main := func() error {
		guard := rollback.Main(plan.RestorerOf("mtu", captureMTU, planMTU))

		ctx := context.Background()
		if restored, err := guard.Recover(ctx, ""); err != nil || restored {
			return errors.Join(err, errors.New("an earlier change had to be taken back"))
		}
		there, _ := captureMTU(ctx, 0)
		p, _ := planMTU(there, 1480)
		captured, _ := plan.Capture("mtu", there)

		change, err := guard.Begin(ctx, rollback.Options{Timeout: 2 * time.Minute}, []plan.Captured{captured})
		if err != nil {
			return err
		}
		if err := p.Run(change.Context(), plan.Apply, nil); err != nil {
			return errors.Join(err, change.Undo(ctx))
		}
		if err := change.Applied(ctx); err != nil {
			return errors.Join(err, change.Undo(ctx))
		}
		outcome, err := change.Wait(ctx)
		if err != nil {
			return err
		}
		fmt.Println("The change", outcome)
		if outcome.Restored() {
			return nil
		}
		return p.Run(ctx, plan.Confirm, nil)
	}
	_ = main // it would change the host
}

// The other login.
func ExampleConfirm() {
	confirm := func() {
		if err := rollback.Confirm(context.Background(), rollback.DefaultStateDir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	_ = confirm // there is nothing to confirm here
}
