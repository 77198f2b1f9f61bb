package gateway

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/plan"
)

// WithFreePool returns c with a Pool that collides with no route or address of
// this host: the one that is in use already, else the first free of
// [DefaultPool] and the blocks of its size behind it. A Pool that is configured
// stays, and is judged by State. The error is a *plan.Refusal that matches
// ErrOverlap where all are taken.
func (c Config) WithFreePool(ctx context.Context) (Config, error) {
	if c.Pool != (netip.Prefix{}) {
		return c, nil
	}
	scope := c.Scope()
	scope.Pool = poolCandidates()
	there, err := Capture(ctx, scope)
	if err != nil {
		return c, fmt.Errorf("choose a pool: %w", err)
	}
	c.Pool, err = freePool(there)
	return c, err
}

// poolCandidates is where a pool is looked for.
func poolCandidates() netip.Prefix { return netip.PrefixFrom(DefaultPool().Addr(), 10) }

// freePool chooses from what a scope of all candidates has captured.
func freePool(there State) (netip.Prefix, error) {
	for _, r := range there.Routes {
		if r.Dst.Bits() == DefaultPool().Bits() && there.Pool.Contains(r.Dst.Addr()) {
			return r.Dst, nil
		}
	}
	for p := DefaultPool(); there.Pool.Contains(p.Addr()); {
		if !slices.ContainsFunc(there.InUse, func(u InUse) bool { return u.Prefix.Overlaps(p) }) {
			return p, nil
		}
		b := p.Addr().As4()
		b[1]++
		p = netip.PrefixFrom(netip.AddrFrom4(b), p.Bits())
	}
	return netip.Prefix{}, &plan.Refusal{Subject: "pool", Err: ErrOverlap,
		Reason: fmt.Sprintf("no block of /%d in %s is free on this host; name one that is", DefaultPool().Bits(), there.Pool)}
}
