package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/nat64/gateway/fastpath"
)

// captureFast looks for the fast path, and where there is none for what keeps
// it from being made.
func (s *State) captureFast(device, guestLink int) error {
	if s.Pins == "" {
		return nil
	}
	found, err := fastpath.Find(s.Pins, device, guestLink)
	if errors.Is(err, fastpath.ErrUnavailable) {
		s.NoFast = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	if found != nil {
		s.Fast = &Fast{Settings: found.Settings, Attached: found.Attached}
		if found.Attached && found.Version == fastpath.Version() {
			return nil // it runs, so it can
		}
	}
	if err := fastpath.Probe(s.Pins); err != nil {
		s.NoFast = err.Error()
	}
	return nil
}

func attachFast(ctx context.Context, s State) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return withLink(ctx, s.Device, func(h *netlink.Handle, device netlink.Link) error {
		guests, err := h.LinkByName(s.GuestLink)
		if err != nil {
			return fmt.Errorf("find link %s: %w", s.GuestLink, err)
		}
		if err := fastpath.Attach(s.Pins, s.Fast.Settings, device.Attrs().Index, guests.Attrs().Index); err != nil {
			return fmt.Errorf("attach the fast path: %w", err)
		}
		return nil
	})
}

func detachFast(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fastpath.Detach(dir)
}

// openFast finds the programs that a plan put in place for this very gateway.
func (c Config) openFast(h *netlink.Handle) (*fastpath.Table, error) {
	no := func(err error) (*fastpath.Table, error) { return nil, fmt.Errorf("%w: %w", ErrNoFastPath, err) }
	device, err := h.LinkByName(c.Device)
	if err != nil {
		return no(fmt.Errorf("find link %s: %w", c.Device, err))
	}
	guests, err := h.LinkByName(c.GuestLink)
	if err != nil {
		return no(fmt.Errorf("find link %s: %w", c.GuestLink, err))
	}
	found, err := fastpath.Find(c.Pins, device.Attrs().Index, guests.Attrs().Index)
	switch {
	case err != nil:
		return no(err)
	case found == nil || !found.Attached:
		return no(fmt.Errorf("%w: there are no programs in %s (apply the plan first)", ErrNotSetUp, c.Pins))
	case found.Prefix != c.Prefix:
		return no(fmt.Errorf("%w: the programs in %s are for %s, not %s (apply the plan first)", ErrNotSetUp, c.Pins, found.Prefix, c.Prefix))
	}
	if err := onLink(h, c.Guests, guests); err != nil {
		return no(err)
	}
	t, err := fastpath.Open(c.Pins)
	if err != nil {
		return no(err)
	}
	return t, nil
}

// whyNone says what keeps the programs from being there, if that is the host.
func (c Config) whyNone(err error) error {
	if !errors.Is(err, ErrNotSetUp) {
		return err
	}
	if missing := fastpath.Probe(c.Pins); missing != nil {
		return fmt.Errorf("%w: %w", ErrNoFastPath, missing)
	}
	return err
}

// programs implements host.
func (k *kernel) programs(c Config) (t *fastpath.Table, err error) {
	err = k.home.Do(func() (err error) {
		t, err = c.openFast(k.h)
		return err
	})
	return t, err
}

// disarm implements host.
func (k *kernel) disarm(c Config) error {
	index := func(name string) int {
		l, err := k.h.LinkByName(name)
		if err != nil {
			return 0
		}
		return l.Attrs().Index
	}
	return k.home.Do(func() error { return fastpath.Disarm(c.Pins, index(c.Device), index(c.GuestLink)) })
}

// onLink: the programs look for every guest as a neighbour on the guests' link.
func onLink(h *netlink.Handle, guests netip.Prefix, l netlink.Link) error {
	some := guests.Addr().As16()
	some[15] |= 0xfe
	routes, err := h.RouteGet(some[:])
	if err != nil && !errors.Is(err, unix.ENETUNREACH) {
		return fmt.Errorf("find the route to %s: %w", guests, err)
	}
	for _, r := range routes {
		if r.LinkIndex == l.Attrs().Index && len(r.Gw) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s is not on the link %s itself, where the programs would look for guests", guests, l.Attrs().Name)
}
