package main

import (
	"context"
	"fmt"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/plan"
)

// probeEdge loads the rules where there is nothing that they could hit.
func (d *doctor) probeEdge(ctx context.Context) error {
	want, err := d.host.edgeConfig(d.host.wanted.Addrs).State()
	if err != nil {
		return err
	}
	p, err := macrewrite.Plan(macrewrite.State{}, want)
	if err != nil {
		return err
	}
	ns, err := netns.New()
	if err != nil {
		return fmt.Errorf("%w: %v", errNoNamespace, err)
	}
	defer ns.Close()
	return ns.Do(func() error { return p.Run(ctx, plan.Apply, nil) })
}
