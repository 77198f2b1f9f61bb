package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/sixhost/sixhost/internal/netns"
)

// in runs fn in a namespace, nil being that of the calling thread.
func in(ns *netns.NS, fn func() error) error {
	if ns == nil {
		return fn()
	}
	return ns.Do(fn)
}

// dial connects from a namespace. The address is a literal and FallbackDelay
// negative, so that the dialer makes its socket on the thread that calls it.
func dial(ctx context.Context, ns *netns.NS, network string, local netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{FallbackDelay: -1}
	if local.IsValid() {
		from := netip.AddrPortFrom(local, 0)
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(from)
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(from)
		}
	}
	var c net.Conn
	err := in(ns, func() error {
		var err error
		c, err = d.DialContext(ctx, network, to.String())
		return err
	})
	if err != nil {
		return nil, classify(fmt.Errorf("connect: %w", err))
	}
	return c, nil
}
