package macrewrite

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/sixhost/sixhost/slaac"
)

// detectTries is how often is asked: a router may answer few packets a second.
const detectTries = 3

// Detect finds out the provider's kind by trying, in the calling goroutine's
// network namespace: it sends an echo request with hop limit 1 from a fresh
// address of the /64 that nobody has, to a destination far away, to the
// provider's router. If the router's Time Exceeded (or Destination Unreachable)
// comes straight to the NIC's MAC, the /64 is routed; if the segment is asked for the fresh address, it is
// on-link; if neither happens it is unknown, which is no error.
//
// It needs CAP_NET_RAW, sends nothing with another source MAC than the NIC's,
// and changes nothing.
func Detect(ctx context.Context, c DetectConfig) (Detection, error) {
	if err := c.check(); err != nil {
		return Detection{}, err
	}
	if !c.Destination.IsValid() {
		c.Destination = netip.MustParseAddr("2001:500:2f::f")
	}
	if c.Wait == 0 {
		c.Wait = time.Second
	}
	if c.random == nil {
		c.random = func() (id [8]byte) { rand.Read(id[:]); return id }
	}
	c.Gateway = c.Gateway.WithZone("")
	w, err := openWire(c.Uplink, typeUnreachable, typeTimeExceeded, typeSolicitation, typeAdvertisement)
	if err != nil {
		return Detection{}, fmt.Errorf("find out the provider's kind: %w", err)
	}
	defer w.Close()

	d := Detection{How: fmt.Sprintf("the router %s does not answer neighbour solicitations on %s", c.Gateway, c.Uplink)}
	for range detectTries {
		var gateway slaac.MAC
		found, err := w.exchange(ctx, c.Wait, solicitation(c.MAC, slaac.LinkLocal(c.MAC), c.Gateway), func(f []byte) bool {
			p, ok := parsePacket(f)
			if !ok {
				return false
			}
			target, ok := p.target(typeAdvertisement)
			if !ok || target != c.Gateway {
				return false
			}
			var has bool
			if gateway, has = p.option(optionTarget); !has {
				gateway = p.srcMAC
			}
			return !gateway.IsMulticast() && !gateway.IsZero()
		})
		if err != nil {
			return Detection{}, fmt.Errorf("find out the provider's kind: ask for the router %s: %w", c.Gateway, err)
		}
		if !found {
			continue
		}
		probe := c.probeAddr()
		id := make([]byte, 2)
		rand.Read(id)
		n := binary.BigEndian.Uint16(id)
		d = Detection{Probe: probe, How: fmt.Sprintf(
			"the router %s (%s) neither answered a packet from %s nor asked the segment for it; the configuration has to say whether the provider is routed or on-link", c.Gateway, gateway, probe)}
		answered := Detection{}
		found, err = w.exchange(ctx, c.Wait, c.question(probe, gateway, n), func(f []byte) (ok bool) {
			answered, ok = c.judge(f, probe, n)
			return ok
		})
		if err != nil {
			return Detection{}, fmt.Errorf("find out the provider's kind: ask from %s: %w", probe, err)
		}
		if found {
			return answered, nil
		}
	}
	return d, nil
}

// exchange sends a packet and hands over what comes until done is satisfied or
// the time is up.
func (w *wire) exchange(ctx context.Context, wait time.Duration, p packet, done func([]byte) bool) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := w.f.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return false, err
	}
	stop := w.until(ctx)
	defer stop()
	if err := w.send(p.frame()); err != nil {
		return false, err
	}
	buf := make([]byte, 4096)
	for {
		n, err := w.receive(buf)
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return false, nil
		case err != nil:
			return false, err
		case done(buf[:n]):
			return true, nil
		}
	}
}
