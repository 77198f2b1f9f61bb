package main

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/wire"
	"github.com/sixhost/sixhost/slaac"
)

// arrival is how a guest came to its address, from its link's coming up on.
//
// The kernel first makes a link-local address, waits a random time of up to a
// second (RFC 4862, 5.4.2) and looks for duplicates for a second more. Only then
// it solicits routers. When an advertisement has come it does the same once
// more for the global address. So what the advertiser answers for is what lies
// between. An advertisement that comes before it was asked for makes that
// nothing. Events are seen about 0.1 ms after they happen.
type arrival struct {
	total  time.Duration // until the global address was usable, and a default route there
	local  time.Duration // until the link-local address was usable
	answer time.Duration // from there until a default route was set
	global time.Duration // from there until the global address was usable
	end    time.Time     // when that was
}

// kernel is the kernel's own part.
func (a arrival) kernel() time.Duration { return a.total - a.answer }

// addGuest starts a guest that is watched by the kernel's own events: asking a
// hundred guests over and over would be what is measured. The channel gets its
// arrival; it is closed without one when ctx ends.
func (s *site) addGuest(ctx context.Context, i int) (*lab.Guest, <-chan arrival, error) {
	name := guestName(i)
	g, err := s.AddGuest(ctx, name, wire.MAC(slaac.GuestMAC(name)), lab.ArticleBridge)
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	addrs, routes := make(chan netlink.AddrUpdate, 16), make(chan netlink.RouteUpdate, 64)
	done := make(chan struct{})
	err = g.Do(func() error {
		// ListExisting: nothing is missed between the start and here.
		if err := netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{ListExisting: true}); err != nil {
			return fmt.Errorf("watch addresses of %s: %w", name, err)
		}
		if err := netlink.RouteSubscribeWithOptions(routes, done, netlink.RouteSubscribeOptions{ListExisting: true}); err != nil {
			return fmt.Errorf("watch routes of %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		close(done)
		return nil, nil, err
	}
	out := make(chan arrival, 1)
	go func() {
		defer close(out)
		a, ok := follow(ctx, g, addrs, routes)
		close(done)
		// Both senders are let go: they end when their sockets do.
		for range addrs {
		}
		for range routes {
		}
		if ok {
			out <- a
		}
	}()
	return g, out, nil
}

// follow waits for the three events.
func follow(ctx context.Context, g *lab.Guest, addrs <-chan netlink.AddrUpdate, routes <-chan netlink.RouteUpdate) (arrival, bool) {
	var local, route, global time.Time
	for local.IsZero() || route.IsZero() || global.IsZero() {
		select {
		case u, open := <-addrs:
			if !open {
				return arrival{}, false
			}
			ip := u.LinkAddress.IP
			if !u.NewAddr || ip.To4() != nil || u.Flags&unix.IFA_F_TENTATIVE != 0 {
				continue
			}
			switch {
			case ip.IsLinkLocalUnicast() && local.IsZero():
				local = time.Now()
			case ip.Equal(g.IPv6().AsSlice()) && global.IsZero():
				global = time.Now()
			}
		case u, open := <-routes:
			if !open {
				return arrival{}, false
			}
			if u.Type == unix.RTM_NEWROUTE && route.IsZero() && u.Gw != nil && u.Gw.To4() == nil && isDefault(u.Route) {
				route = time.Now()
			}
		case <-ctx.Done():
			return arrival{}, false
		}
	}
	end := global
	if route.After(end) {
		end = route
	}
	return arrival{
		total:  end.Sub(g.Started()),
		local:  local.Sub(g.Started()),
		answer: max(0, route.Sub(local)),
		global: global.Sub(route),
		end:    end,
	}, true
}

func isDefault(r netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0
}

// addGuests starts guests one right after the other and waits for the last.
func (s *site) addGuests(ctx context.Context, n int) (guests []*lab.Guest, arrivals []arrival, err error) {
	var waits []<-chan arrival
	for i := range n {
		g, wait, err := s.addGuest(ctx, i)
		if err != nil {
			return nil, nil, err
		}
		guests, waits = append(guests, g), append(waits, wait)
	}
	for i, wait := range waits {
		a, ok := <-wait
		if !ok {
			// Says what the guest has instead.
			if _, err := guests[i].WaitAddress(ctx); err != nil {
				return nil, nil, err
			}
			return nil, nil, fmt.Errorf("guest %s has its address, but not all events of it came", guests[i].Name())
		}
		arrivals = append(arrivals, a)
	}
	return guests, arrivals, nil
}
