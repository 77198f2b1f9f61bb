package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/probe"
)

// segmentChecks are about the other customer's host on the segment of an on-link
// provider; at a routed one there is none.
func (r *labRun) segmentChecks() []labCheck {
	if r.options.provider != lab.OnLink {
		return nil
	}
	neighbour := r.lab.Node(lab.Neighbour)
	return []labCheck{
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
	}
}
