package health_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/plan/rollback"
	"github.com/sixhost/sixhost/plan/rollback/health"
)

// Between the steps and the confirmation: whatever answered before must answer
// still.
func Example() {
	apply := func(ctx context.Context, guard *rollback.Guard, p plan.Plan, captured []plan.Captured) error {
		checks := []health.Check{
			health.Gateway(netip.MustParseAddr("203.0.113.1"), "br0", "enp2s0"),
			health.Gateway(netip.MustParseAddr("fe80::1"), "br0", "enp2s0"),
			health.DNS(netip.MustParseAddrPort("[2001:db8::53]:53")),
		}
		if session, err := health.SessionOf(ctx, os.Getpid()); err == nil {
			checks = append(checks, health.Session(session))
		}
		before := health.Run(ctx, checks, 2*time.Second)

		change, err := guard.Begin(ctx, rollback.Options{}, captured)
		if err != nil {
			return err
		}
		if err := p.Run(change.Context(), plan.Apply, nil); err != nil {
			return change.Undo(ctx)
		}
		if err := change.Applied(ctx); err != nil {
			return change.Undo(ctx)
		}
		for _, r := range before.Broken(health.Run(ctx, checks, 5*time.Second)) {
			fmt.Printf("%s no longer: %v\n", r.Name, r.Err)
			return change.Undo(ctx)
		}
		_, err = change.Wait(ctx) // for somebody's confirmation
		return err
	}
	_ = apply // it would change the host
}
