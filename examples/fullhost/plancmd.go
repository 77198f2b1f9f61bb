package main

import "context"

// plan prints what apply and confirm would do here.
func (a app) plan(ctx context.Context, args []string) error {
	c, _, err := a.hostCommand("plan", args, nil)
	if err != nil {
		return err
	}
	ch, err := prepare(ctx, c)
	if err != nil {
		return err
	}
	if err := ch.host.refuseTaken(ctx); err != nil {
		return err
	}
	ch.host.describe(a.stdout)
	return ch.plan.WriteText(a.stdout)
}
