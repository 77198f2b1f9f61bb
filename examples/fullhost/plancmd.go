package main

import (
	"context"
	"flag"
)

// plan prints what apply and confirm would do here.
func (a app) plan(ctx context.Context, args []string) error {
	var path string
	if err := a.flags("plan", args, func(fs *flag.FlagSet) { configFlag(fs, &path) }); err != nil {
		return err
	}
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	// The kernel shows nftables' rules to root alone.
	if err := checkPrivilege(); err != nil {
		return err
	}
	ch, err := prepare(ctx, c)
	if err != nil {
		return err
	}
	ch.host.describe(a.stdout)
	return ch.plan.WriteText(a.stdout)
}
