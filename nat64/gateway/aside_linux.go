package gateway

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nldump"
)

// routes hears of routes in the namespace of New.
type routes struct {
	guests  netip.Prefix
	link    int // the guests'
	updates chan netlink.RouteUpdate
	done    chan struct{}
}

// hearRoutes begins to listen, and then says what there is.
func (k *kernel) hearRoutes(guests netip.Prefix, each func(ownRoute, bool)) error {
	l, err := k.h.LinkByName(k.link)
	if err != nil {
		return fmt.Errorf("find link %s: %w", k.link, err)
	}
	r := &routes{guests: guests, link: l.Attrs().Index, updates: make(chan netlink.RouteUpdate, 64), done: make(chan struct{})}
	if err := netlink.RouteSubscribeWithOptions(r.updates, r.done, netlink.RouteSubscribeOptions{ReceiveBufferSize: 1 << 20}); err != nil {
		return fmt.Errorf("listen for changes of routes: %w", err)
	}
	k.routes = r
	all, err := nldump.Retry(func() ([]netlink.Route, error) {
		return k.h.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return fmt.Errorf("list routes to guests: %w", err)
	}
	for _, one := range all {
		if own, ok := r.own(one); ok {
			each(own, r.leadsAside(one))
		}
	}
	return nil
}

// followRoutes tells of what changes until ctx ends.
func (k *kernel) followRoutes(ctx context.Context, each func(ownRoute, bool)) error {
	if k.routes == nil {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case u, ok := <-k.routes.updates:
			if !ok {
				return fmt.Errorf("changes of routes are not heard any more")
			}
			if own, ok := k.routes.own(u.Route); ok {
				each(own, u.Type == unix.RTM_NEWROUTE && k.routes.leadsAside(u.Route))
			}
		}
	}
}

func (r *routes) close() {
	close(r.done)
	for range r.updates {
		// until its reader has ended
	}
}

// own names a route to a part of the guests' prefix. The host's own addresses are
// no guests.
func (r *routes) own(one netlink.Route) (ownRoute, bool) {
	dst, ok := prefixOf(one.Dst)
	if !ok || one.Table == unix.RT_TABLE_LOCAL || dst.Bits() <= r.guests.Bits() || !r.guests.Contains(dst.Addr()) {
		return ownRoute{}, false
	}
	return ownRoute{dst, one.Table, one.Priority}, true
}

// leadsAside reports whether a route leads elsewhere than to a neighbour on the
// guests' link, or by a narrower way.
func (r *routes) leadsAside(one netlink.Route) bool {
	return one.Type != unix.RTN_UNICAST || one.LinkIndex != r.link || len(one.Gw) > 0 || one.Via != nil || len(one.MultiPath) > 0 || one.MTU > 0 && one.MTU < mtu6
}
