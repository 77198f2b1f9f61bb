package ra

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/ndp"
)

// Received is a router advertisement that came in.
type Received struct {
	// At is when it was read.
	At time.Time
	// Interface it was received on, and From whom, without zone.
	Interface string
	From      netip.Addr
	// HopLimit of the packet.
	HopLimit int
	// Raw is the message from its ICMPv6 type on. It is the receiver's.
	Raw []byte
	// Message is what Raw says, or nil where it can't be read.
	Message *ndp.RouterAdvertisement
	// Err says why a host must discard the advertisement (RFC 4861, section
	// 6.1.2), or is nil. It matches [ErrHopLimit], [ErrSource],
	// [ErrFragmented] or [ErrMalformed].
	Err error
}

// Listen calls fn for every router advertisement that arrives on an interface,
// invalid ones included, until ctx ends; it returns nil then. fn is called by
// the calling goroutine. Advertisements sent by this host are not seen.
//
// It needs CAP_NET_RAW in the network namespace of the calling goroutine's
// thread, which must be the same until Listen has returned or fn is called.
// Interfaces that are down are waited for, one that doesn't exist is an error.
func Listen(ctx context.Context, iface string, fn func(Received)) error {
	v := validator{}
	if v.iface(iface); v.first != nil {
		return v.first
	}
	c, err := newConn(typeAdvertisement)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", iface, err)
	}
	defer c.close()
	w, err := newWatcher(iface)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", iface, err)
	}
	index, err := w.index()
	w.close()
	if err != nil {
		return fmt.Errorf("listen on %s: %w", iface, err)
	}
	// A link without address binds the socket and joins no router's group.
	if err := c.attach(Link{Index: index}); err != nil {
		return fmt.Errorf("listen on %s: %w", iface, err)
	}
	defer context.AfterFunc(ctx, c.wake)()
	buf := make([]byte, longestMessage)
	for ctx.Err() == nil {
		p, err := c.receive(buf, time.Time{})
		if errors.Is(err, errIdle) {
			continue
		}
		if err != nil {
			return fmt.Errorf("listen on %s: %w", iface, err)
		}
		fn(received(iface, p, buf))
	}
	return nil
}

func received(iface string, p packet, buf []byte) Received {
	r := Received{
		At:        time.Now(),
		Interface: iface,
		From:      p.from,
		HopLimit:  p.hopLimit,
		Raw:       append([]byte(nil), buf[:p.n]...),
	}
	r.Message, r.Err = Parse(r.Raw)
	switch {
	case p.hopLimit != hopLimit:
		r.Err = fmt.Errorf("%w: %d", ErrHopLimit, p.hopLimit)
	case !p.from.IsLinkLocalUnicast():
		r.Err = fmt.Errorf("%w: %s is not link-local", ErrSource, p.from)
	case p.fragmented:
		r.Err = ErrFragmented
	}
	return r
}
