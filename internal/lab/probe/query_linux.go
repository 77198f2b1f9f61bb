package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
)

// queryTimeout is how long Query waits where ctx sets no deadline.
const queryTimeout = 3 * time.Second

// Query asks a DNS server one question from a namespace, over UDP or TCP. Over
// UDP it asks again every second until ctx ends; ctx without a deadline means 3
// seconds. A truncated answer is returned as such. Errors match ErrNoAnswer, or
// ErrRefused where an ICMP error or a TCP reset came; a response code is not an
// error.
func Query(ctx context.Context, ns *netns.NS, server netip.AddrPort, name string, qtype uint16, tcp bool) (Answer, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, queryTimeout)
		defer cancel()
	}
	id := uint16(rand.Uint32())
	q, err := packQuery(id, name, qtype)
	if err != nil {
		return Answer{}, fmt.Errorf("ask %v: %w", server, err)
	}
	network, exchange := "udp", exchangeUDP
	if tcp {
		network, exchange = "tcp", exchangeTCP
	}
	conn, err := dial(ctx, ns, network, netip.Addr{}, server)
	if err != nil {
		return Answer{}, fmt.Errorf("ask %v for %s over %s: %w", server, name, network, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var a Answer
	err = exchange(ctx, conn, q, func(b []byte) (err error) {
		a, err = parseAnswer(b, id, name, qtype)
		return err
	})
	if err != nil {
		return Answer{}, fmt.Errorf("ask %v for %s over %s: %w", server, name, network, classify(err))
	}
	return a, nil
}

// exchangeUDP sends q again while accept finds nothing of its own.
func exchangeUDP(ctx context.Context, conn net.Conn, q []byte, accept func([]byte) error) error {
	const again = time.Second
	buf := make([]byte, 65535)
	for {
		if _, err := conn.Write(q); err != nil {
			return err
		}
		// ctx's end sets a deadline in the past; don't put it off again.
		if ctx.Err() == nil {
			conn.SetReadDeadline(time.Now().Add(again))
		}
		for {
			n, err := conn.Read(buf)
			if err != nil {
				var timeout net.Error
				if errors.As(err, &timeout) && timeout.Timeout() {
					break
				}
				return err
			}
			if err := accept(buf[:n]); !errors.Is(err, errOther) {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// exchangeTCP frames messages by their length (RFC 1035 4.2.2).
func exchangeTCP(ctx context.Context, conn net.Conn, q []byte, accept func([]byte) error) error {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)); err != nil {
		return err
	}
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return err
		}
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, b); err != nil {
			return err
		}
		if err := accept(b); !errors.Is(err, errOther) {
			return err
		}
	}
}

// Resolver looks names up at one server.
type Resolver struct {
	Server netip.AddrPort // required
	// Types lists the record types to ask for, the first that has addresses
	// wins. Default AAAA, then A.
	Types []uint16
}

// Lookup returns the addresses of a name, asked for from a namespace. A
// truncated answer is asked for again over TCP. Errors are Query's; a name
// without addresses is an error that says the response code.
func (r Resolver) Lookup(ctx context.Context, ns *netns.NS, name string) ([]netip.Addr, error) {
	types := r.Types
	if len(types) == 0 {
		types = []uint16{TypeAAAA, TypeA}
	}
	rcode := 0
	for _, qtype := range types {
		a, err := Query(ctx, ns, r.Server, name, qtype, false)
		if err == nil && a.Truncated {
			a, err = Query(ctx, ns, r.Server, name, qtype, true)
		}
		if err != nil {
			return nil, err
		}
		if addrs := a.Addrs(name, qtype); len(addrs) > 0 {
			return addrs, nil
		}
		rcode = a.RCode
	}
	return nil, fmt.Errorf("look up %s at %v: no address, response code %d", name, r.Server, rcode)
}
