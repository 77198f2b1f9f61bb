package handover

import (
	"context"
	"fmt"

	"github.com/sixhost/sixhost/plan"
)

type change interface {
	fmt.Stringer
	do(ctx context.Context) error
}

type (
	keepOff struct{ State }
	takeOff struct{ State }
	putOn   struct{ State }
)

func (c keepOff) String() string {
	return fmt.Sprintf("keep systemd-networkd off %s and what helps to make it (%s)", c.Bridge, runtimeFile)
}

func (c takeOff) String() string {
	return fmt.Sprintf("take systemd-networkd off %s and %s until confirmed (%s)", c.Uplink, c.Bridge, runtimeFile)
}

func (c putOn) String() string {
	if c.Netplan {
		return fmt.Sprintf("have netplan generate its files, and give %s and %s to systemd-networkd", c.Uplink, c.Bridge)
	}
	return fmt.Sprintf("give %s and %s to systemd-networkd", c.Uplink, c.Bridge)
}

func step(c change) plan.Step {
	return plan.Step{Phase: plan.Apply, Part: Part, Text: c.String(), Do: c.do}
}

// Restorer takes a manager back to a captured State.
func Restorer() plan.Restorer {
	return plan.RestorerOf(Part, func(ctx context.Context, like State) (State, error) { return Capture(ctx, like.Scope) }, Plan)
}
