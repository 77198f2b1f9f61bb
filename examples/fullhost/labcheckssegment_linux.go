package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/slaac"
)

// segmentChecks are about the other customer's host on the segment of an on-link
// provider; at a routed one there is none.
func (r *labRun) segmentChecks() []labCheck {
	if r.options.provider != lab.OnLink {
		return nil
	}
	neighbour := r.lab.Node(lab.Neighbour)
	return append(r.gatewayChecks(), []labCheck{
		{"another customer on the segment fetches from guests", func(ctx context.Context) (bool, string) {
			return r.forGuests(r.some(), "guests", func(g *lab.Guest) error {
				at := netip.AddrPortFrom(g.IPv6(), 80)
				return same(ctx, neighbour, "http://"+g.Name()+"."+zone()+lab.PathLarge, g.Name(), lab.PathLarge, probe.FetchOptions{Addr: at})
			})
		}},
		{"guests fetch from another customer on the segment", func(ctx context.Context) (bool, string) {
			return r.forGuests(r.some(), "guests", func(g *lab.Guest) error {
				at := netip.AddrPortFrom(neighbour.IPv6(), 80)
				return same(ctx, g.Node, "http://"+lab.Neighbour+"."+zone()+lab.PathSmall, lab.Neighbour, lab.PathSmall, probe.FetchOptions{Addr: at})
			})
		}},
		{"the segment learns one MAC for all guests", func(context.Context) (bool, string) {
			return r.forGuests(r.some(), "guests", func(g *lab.Guest) error {
				for _, n := range []*lab.Node{neighbour, r.lab.Node(lab.Provider)} {
					entries, err := neighbours(n)
					if err != nil {
						return err
					}
					if mac := entries[g.IPv6()]; !mac.IsZero() && mac != lab.ServerMAC() {
						return fmt.Errorf("%s takes it to be at %s", n.Name(), mac)
					}
				}
				return nil
			})
		}},
		{"nobody answers for an address that no guest has", func(ctx context.Context) (bool, string) {
			absent := lab.ServerIPv6().Masked().Addr().Next().Next().Next()
			a := probe.TryPing(ctx, neighbour.NS(), absent, 4*time.Second)
			entries, err := neighbours(neighbour)
			if err != nil {
				return false, err.Error()
			}
			return a.Outcome != probe.Answered && entries[absent].IsZero(), a.String()
		}},
	}...)
}

// gatewayChecks are about a gateway inside the /64, whose MAC the edge learns from
// the kernel while run serves.
func (r *labRun) gatewayChecks() []labCheck {
	if r.options.recipe != recipeFullhost {
		return nil
	}
	want := macrewrite.Neighbor{Addr: r.lab.Gateway6(), MAC: slaac.MAC(lab.ProviderMAC())}
	return []labCheck{{"the edge knows the gateway in the /64 by its MAC", func(ctx context.Context) (bool, string) {
		for {
			var s macrewrite.State
			err := r.lab.Server().Do(func() (err error) { s, err = macrewrite.Capture(ctx); return err })
			if err != nil {
				return false, err.Error()
			}
			if known := s.GatewayMACs(); len(known) == 1 && known[0] == want {
				return true, fmt.Sprintf("%s is at %s", want.Addr, want.MAC)
			}
			if sleep(ctx, 50*time.Millisecond) != nil {
				return false, fmt.Sprintf("knows %v, not that %s is at %s", s.GatewayMACs(), want.Addr, want.MAC)
			}
		}
	}}}
}
