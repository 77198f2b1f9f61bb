package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/slaac"
)

// neighbors reads whom the kernel has heard on the bridge.
func (h host) neighbors(ctx context.Context) ([]neighbor, error) {
	fail := func(err error) ([]neighbor, error) {
		return nil, fmt.Errorf("read the neighbor table of %s: %w", h.bridgeName, err)
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fail(err)
	}
	defer nl.Close()
	l, err := nl.LinkByName(h.bridgeName)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return fail(err)
	}
	for {
		table, err := nl.NeighList(l.Attrs().Index, netlink.FAMILY_V6)
		if errors.Is(err, netlink.ErrDumpInterrupted) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return fail(err)
		}
		const heard = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE
		var list []neighbor
		for _, n := range table {
			a, ok := netip.AddrFromSlice(n.IP)
			mac, err := slaac.MACFrom(n.HardwareAddr)
			if ok && err == nil && n.State&heard != 0 {
				list = append(list, neighbor{a, mac})
			}
		}
		return list, nil
	}
}

// solicit has the kernel look for an address on its link: it wants to send
// something there.
func solicit(a netip.Addr) error {
	// The discard service (RFC 863), and nobody minds if there is none.
	c, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9)))
	if err != nil {
		return fmt.Errorf("look for %s: %w", a, err)
	}
	defer c.Close()
	if _, err := c.Write([]byte{0}); err != nil && !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.EHOSTUNREACH) && !os.IsTimeout(err) {
		return fmt.Errorf("look for %s: %w", a, err)
	}
	return nil
}
