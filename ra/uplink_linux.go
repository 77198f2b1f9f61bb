package ra

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// DefaultRoute is an [Uplink] that is up while the kernel's main table has an
// IPv6 default route that leads somewhere. It has to be closed.
type DefaultRoute struct{ ask, events *netlink.Conn }

var _ Uplink = &DefaultRoute{}

// NewDefaultRoute opens one in the network namespace of the calling goroutine's
// thread. It needs no privilege. On systems other than Linux the error matches
// errors.ErrUnsupported.
func NewDefaultRoute() (*DefaultRoute, error) {
	ask, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("watch the default route: open route netlink: %w", err)
	}
	events, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		ask.Close()
		return nil, fmt.Errorf("watch the default route: open route netlink: %w", err)
	}
	if err := events.JoinGroup(unix.RTNLGRP_IPV6_ROUTE); err != nil {
		ask.Close()
		events.Close()
		return nil, fmt.Errorf("watch the default route: join group: %w", err)
	}
	return &DefaultRoute{ask: ask, events: events}, nil
}

// Close releases the sockets.
func (d *DefaultRoute) Close() error { return errors.Join(d.ask.Close(), d.events.Close()) }

// Up reports whether there is a default route.
func (d *DefaultRoute) Up() (bool, error) {
	req := make([]byte, unix.SizeofRtMsg)
	req[0] = unix.AF_INET6
	msgs, err := d.ask.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETROUTE, Flags: netlink.Request | netlink.Dump},
		Data:   req,
	})
	if err != nil {
		return false, fmt.Errorf("ask for default routes: %w", err)
	}
	for _, m := range msgs {
		if isDefaultRoute(m.Data) {
			return true, nil
		}
	}
	return false, nil
}

// isDefaultRoute reads a struct rtmsg and its attributes.
func isDefaultRoute(b []byte) bool {
	if len(b) < unix.SizeofRtMsg || b[0] != unix.AF_INET6 || b[1] != 0 || b[7] != unix.RTN_UNICAST {
		return false
	}
	a := attributes(b[unix.SizeofRtMsg:])
	table := int32(b[4])
	if t, ok := a.int32(unix.RTA_TABLE); ok {
		table = t
	}
	// A cached copy, or one whose link has no carrier, leads nowhere.
	const nowhere = unix.RTM_F_CLONED | unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN
	return table == unix.RT_TABLE_MAIN && binary.NativeEndian.Uint32(b[8:])&nowhere == 0
}

// Wait returns when a default route came or went.
func (d *DefaultRoute) Wait(ctx context.Context) error {
	if err := d.events.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("watch the default route: %w", err)
	}
	defer context.AfterFunc(ctx, func() { d.events.SetReadDeadline(time.Unix(1, 0)) })()
	for ctx.Err() == nil {
		msgs, err := d.events.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			return nil // events were lost: look
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != nil:
			return fmt.Errorf("watch the default route: %w", err)
		}
		for _, m := range msgs {
			if len(m.Data) >= unix.SizeofRtMsg && m.Data[1] == 0 {
				return nil
			}
		}
	}
	return nil
}
