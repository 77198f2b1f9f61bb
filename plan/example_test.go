package plan_test

import (
	"context"
	"fmt"
	"os"

	"github.com/sixhost/sixhost/plan"
)

// A package that changes the host compares two states and returns steps.
func Example() {
	forwarding := "0" // what is there
	planTo := func(from, to string) (plan.Plan, error) {
		if from == to {
			return plan.Plan{}, nil
		}
		return plan.Plan{Steps: []plan.Step{{
			Part: "bridge",
			Text: "set net.ipv6.conf.all.forwarding to " + to,
			Do:   func(context.Context) error { forwarding = to; return nil },
		}}}, nil
	}
	there := func(context.Context, string) (string, error) { return forwarding, nil }
	ctx := context.Background()

	// What was there is kept, the way to what is wanted printed and run.
	before, _ := plan.Capture("bridge", forwarding)
	p, _ := planTo(forwarding, "1")
	p.WriteText(os.Stdout)
	if err := p.Run(ctx, plan.Apply, nil); err != nil {
		fmt.Println(err)
	}

	// A second plan is empty.
	p, _ = planTo(forwarding, "1")
	p.WriteText(os.Stdout)

	// The way back is a plan as well.
	err := plan.Restore(ctx, []plan.Captured{before}, []plan.Restorer{plan.RestorerOf("bridge", there, planTo)})
	fmt.Println("forwarding is", forwarding, "again, error", err)
	// Output:
	// apply:
	//    1. bridge      set net.ipv6.conf.all.forwarding to 1
	// Nothing to do: the host is as wanted.
	// forwarding is 0 again, error <nil>
}
