package health

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// DNS checks that a name server answers a question for the name servers of the
// root, which every resolver can answer. Any answer holds, but for SERVFAIL: a
// resolver says that when it can't reach others.
func DNS(server netip.AddrPort) Check {
	return Check{
		Name: fmt.Sprintf("name server %s answers", server),
		Run:  func(ctx context.Context) error { return askDNS(ctx, server) },
	}
}

// resend is how long an answer is waited for before the question is repeated:
// a datagram may be lost.
const resend = 300 * time.Millisecond

func askDNS(ctx context.Context, server netip.AddrPort) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", server.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	// A read is cancelled by a deadline in the past.
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	query := rootQuery(uint16(rand.Uint32()))
	buf := make([]byte, 4096)
	for {
		if err := ctx.Err(); err != nil {
			return errors.New("no answer")
		}
		if _, err := conn.Write(query); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(resend)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return errors.New("no answer")
		}
		for {
			n, err := conn.Read(buf)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			}
			if err != nil {
				return err
			}
			if rcode, ok := answerTo(query, buf[:n]); ok {
				if rcode == serverFailure {
					return errors.New("it answers that it failed (SERVFAIL)")
				}
				return nil
			}
		}
	}
}

// RFC 1035, 4.1.1 and 3.2.
const (
	headerSize    = 12
	flagResponse  = 0x80 // of the third octet
	flagRecursion = 0x01
	serverFailure = 2
	typeNS        = 2
	classIN       = 1
)

// rootQuery is a question for the root's name servers (RFC 1035, 4.1).
func rootQuery(id uint16) []byte {
	q := binary.BigEndian.AppendUint16(nil, id)
	q = append(q, flagRecursion, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	q = append(q, 0) // the root's name has no labels
	q = binary.BigEndian.AppendUint16(q, typeNS)
	return binary.BigEndian.AppendUint16(q, classIN)
}

// answerTo reports whether a message answers the query, and its response code.
// A server that refuses may leave the question out.
func answerTo(query, m []byte) (rcode int, ok bool) {
	if len(m) < headerSize || !bytes.Equal(m[:2], query[:2]) || m[2]&flagResponse == 0 {
		return 0, false
	}
	if m[4] != 0 || m[5] != 0 {
		if !bytes.HasPrefix(m[headerSize:], query[headerSize:]) {
			return 0, false
		}
	}
	return int(m[3] & 0xf), true
}
