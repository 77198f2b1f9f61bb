package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/plan"
)

// Plan leads from one state to another, of the same Scope: rules stand before
// there is anything to guard, the device before the routes to it; the way back
// is the other way round. All steps are of the Apply phase.
func Plan(from, to State) (plan.Plan, error) {
	if from.Scope != to.Scope {
		return plan.Plan{}, fmt.Errorf("plan gateway: states are about different things: %+v and %+v", from.Scope, to.Scope)
	}
	var p plan.Plan
	step := func(do func(ctx context.Context) error, format string, args ...any) {
		p.Steps = append(p.Steps, plan.Step{Phase: plan.Apply, Part: Part, Text: fmt.Sprintf(format, args...), Do: do})
	}
	dev := to.Device

	for _, t := range []struct{ from, to *nft.Table }{{from.Table, to.Table}, {from.Stamp, to.Stamp}} {
		if t.to == nil || nft.Equal(t.from, t.to) {
			continue
		}
		if err := t.to.Check(); err != nil {
			return plan.Plan{}, fmt.Errorf("plan gateway rules: %w", err)
		}
		n := 0
		for _, c := range t.to.Chains {
			n += len(c.Rules)
		}
		step(func(ctx context.Context) error { return nft.Replace(ctx, t.to) },
			"put the gateway's rules in place (nftables table %s %s, %s, in one transaction)", t.to.Family, t.to.Name, ruleCount(n))
	}

	if text, do, ok := leavesFast(from, to); ok {
		step(do, "%s", text)
	}
	// A device of another make can't be changed into the wanted one.
	have := from.Link
	if have != nil && (to.Link == nil || have.make() != to.Link.make()) {
		step(func(ctx context.Context) error { return removeLink(ctx, dev) }, "remove the device %s", dev)
		have = nil
	}
	if to.Link != nil && have == nil {
		if !to.Link.ours() {
			return plan.Plan{}, fmt.Errorf("plan gateway: can't make %s a device like %+v", dev, *to.Link)
		}
		step(func(ctx context.Context) error { return createLink(ctx, dev) }, "make the persistent TUN device %s", dev)
		have = &Link{Kind: kindTun, Tun: true, Persistent: true, MultiQueue: true}
	}
	fresh := have != nil && (from.Link == nil || have != from.Link)

	// The device's own parameters before it is up; the others are there or the
	// step says that they are not.
	keys := slices.SortedFunc(maps.Keys(to.Sysctls), func(a, b string) int {
		if x, y := ofLink(a, dev), ofLink(b, dev); x != y {
			return map[bool]int{true: -1, false: 1}[x]
		}
		return strings.Compare(a, b)
	})
	for _, key := range keys {
		value := to.Sysctls[key]
		switch {
		case ofLink(key, dev) && to.Link == nil:
		case from.Sysctls[key] != value, ofLink(key, dev) && fresh:
			step(func(ctx context.Context) error { return setSysctl(ctx, key, value) }, "set sysctl %s = %s", key, value)
		}
	}
	if to.Link != nil {
		if have.MTU != to.Link.MTU {
			mtu := to.Link.MTU
			step(func(ctx context.Context) error { return setMTU(ctx, dev, mtu) }, "set the MTU of %s to %d", dev, mtu)
		}
		if have.Up != to.Link.Up {
			up := to.Link.Up
			step(func(ctx context.Context) error { return setUp(ctx, dev, up) }, "set %s %s", dev, map[bool]string{true: "up", false: "down"}[up])
		}
	}

	// Routes went with a device that was removed, or down.
	there := from.Routes
	if fresh || to.Link == nil || from.Link == nil || !from.Link.Up {
		there = nil
	}
	for _, r := range there {
		if !slices.Contains(to.Routes, r) {
			step(func(ctx context.Context) error { return removeRoute(ctx, dev, r) }, "remove the route %s", r.describe(dev))
		}
	}
	for _, r := range to.Routes {
		if !slices.Contains(there, r) && to.Link != nil {
			step(func(ctx context.Context) error { return addRoute(ctx, dev, r) }, "route %s", r.describe(dev))
		}
	}

	if text, do, ok := entersFast(from, to, fresh); ok {
		step(do, "%s", text)
	}
	for _, t := range []struct{ from, to *nft.Table }{{from.Stamp, to.Stamp}, {from.Table, to.Table}} {
		if t.to == nil && t.from != nil {
			step(func(ctx context.Context) error { return nft.Delete(ctx, t.from.Family, t.from.Name) },
				"remove the gateway's rules (nftables table %s %s)", t.from.Family, t.from.Name)
		}
	}
	if from.Kept && !to.Kept {
		step(func(ctx context.Context) error { return removeFile(ctx, from.Mappings) }, "forget the mappings kept in %s", from.Mappings)
	}
	return p, nil
}

func ruleCount(n int) string {
	if n == 1 {
		return "1 rule"
	}
	return fmt.Sprintf("%d rules", n)
}

func removeFile(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the mappings kept: %w", err)
	}
	return nil
}

// make is what of a device can't be changed.
func (l Link) make() Link {
	l.MTU, l.Up = 0, false
	return l
}

func ofLink(key, link string) bool {
	return strings.HasPrefix(key, "net/ipv4/conf/"+link+"/") || strings.HasPrefix(key, "net/ipv6/conf/"+link+"/")
}

func (r Route) describe(dev string) string {
	s := fmt.Sprintf("%s to %s", r.Dst, dev)
	if r.MTU != 0 {
		s += fmt.Sprintf(" with MTU %d", r.MTU)
	}
	if r.Table != mainTable {
		s += fmt.Sprintf(" in table %d", r.Table)
	}
	return s
}

// Restorer takes the gateway back to a captured state.
func Restorer() plan.Restorer {
	return plan.RestorerOf(Part, func(ctx context.Context, like State) (State, error) { return Capture(ctx, like.Scope) }, Plan)
}
