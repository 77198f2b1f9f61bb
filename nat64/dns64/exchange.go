package dns64

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

const (
	// udpSize is the EDNS payload size announced both ways: what passes every
	// IPv6 path without fragments (RFC 9715, 3.1 has at most 1400; 1232 is
	// 1280 less the headers).
	udpSize = 1232
	// maxStrays is how many datagrams that don't fit the question are looked
	// at before the question is put by TCP, where guessing is of no use.
	maxStrays = 8
)

// question is what is asked upstream. Name is canonical.
type question struct {
	dnsmsg.Question
	do, cd bool
}

// errStrays means that something answers wrongly on purpose or by defect.
var errStrays = errors.New("too many answers that don't fit the question")

// dial opens a connected socket to an upstream.
type dialFunc func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error)

// exchange puts one question to one server: by UDP from a fresh socket, so that
// the kernel chooses a random port and takes answers from that server only,
// with a random ID and a random spelling of the name; by TCP if the answer was
// cut off; without EDNS if the server does not know it (RFC 6891, 7).
func exchange(ctx context.Context, dial dialFunc, to netip.AddrPort, q question) (*dnsmsg.Msg, error) {
	opts := dnsmsg.QueryOptions{RD: true, AD: true, CD: q.cd, DO: q.do, UDPSize: udpSize}
	m, err := exchangeOpts(ctx, dial, to, q, opts)
	if err == nil && m.IsEdns0() == nil && (m.Rcode == dnsmsg.RcodeFormatError || m.Rcode == dnsmsg.RcodeNotImplemented) {
		opts.UDPSize, opts.DO = 0, false
		return exchangeOpts(ctx, dial, to, q, opts)
	}
	return m, err
}

func exchangeOpts(ctx context.Context, dial dialFunc, to netip.AddrPort, q question, opts dnsmsg.QueryOptions) (*dnsmsg.Msg, error) {
	m, err := exchangeUDP(ctx, dial, to, q, opts)
	if errors.Is(err, errStrays) || err == nil && m.Truncated {
		return exchangeTCP(ctx, dial, to, q, opts)
	}
	return m, err
}

func exchangeUDP(ctx context.Context, dial dialFunc, to netip.AddrPort, q question, opts dnsmsg.QueryOptions) (*dnsmsg.Msg, error) {
	sent, err := newQuery(q, opts)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, "udp", to)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer endWith(ctx, conn)()
	if _, err := conn.Write(sent); err != nil {
		return nil, fmt.Errorf("ask %s: %w", to, err)
	}
	buf := make([]byte, 4096)
	for range maxStrays {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, fmt.Errorf("wait for %s: %w", to, err)
		}
		if m, ok := match(sent, buf[:n], true); ok {
			return m, nil
		}
	}
	return nil, fmt.Errorf("wait for %s: %w", to, errStrays)
}

func exchangeTCP(ctx context.Context, dial dialFunc, to netip.AddrPort, q question, opts dnsmsg.QueryOptions) (*dnsmsg.Msg, error) {
	sent, err := newQuery(q, opts)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer endWith(ctx, conn)()
	if _, err := conn.Write(frame(sent)); err != nil {
		return nil, fmt.Errorf("ask %s by TCP: %w", to, err)
	}
	b, err := readFrame(conn)
	if err != nil {
		return nil, fmt.Errorf("wait for %s by TCP: %w", to, err)
	}
	m, ok := match(sent, b, false)
	if !ok {
		return nil, fmt.Errorf("ask %s by TCP: answer does not fit the question", to)
	}
	return m, nil
}

// newQuery builds the query with a random ID and, per letter of the name, a
// random case: together with the port that is what a blind forger must guess.
func newQuery(q question, opts dnsmsg.QueryOptions) ([]byte, error) {
	var random [2 + 255]byte
	crand.Read(random[:]) // never fails
	b, err := dnsmsg.Query(binary.BigEndian.Uint16(random[:]), q.Question, opts)
	if err != nil {
		return nil, err
	}
	end, err := dnsmsg.QuestionEnd(b)
	if err != nil {
		return nil, err
	}
	// Length octets are at most 63 and thus never letters.
	for i, c := range b[dnsmsg.HeaderLen : end-4] {
		if 'a' <= c && c <= 'z' && random[2+i]&1 != 0 {
			b[dnsmsg.HeaderLen+i] = c - 'a' + 'A'
		}
	}
	return b, nil
}

// match parses a response if it belongs to the query: ID, opcode and question,
// the spelling included where exact is set. The names in it get back the
// canonical spelling.
func match(query, b []byte, exact bool) (*dnsmsg.Msg, bool) {
	id, response, ok := dnsmsg.Peek(b)
	if wanted, _, _ := dnsmsg.Peek(query); !ok || !response || id != wanted {
		return nil, false
	}
	if b[2]&0x78 != query[2]&0x78 { // opcode
		return nil, false
	}
	end, err := dnsmsg.QuestionEnd(query)
	if err != nil {
		return nil, false
	}
	if binary.BigEndian.Uint16(b[4:]) == 0 {
		// A server that can't read the query can't repeat it.
		switch b[3] & 0xf {
		case dnsmsg.RcodeFormatError, dnsmsg.RcodeNotImplemented:
		default:
			return nil, false
		}
	} else {
		asked := query[dnsmsg.HeaderLen:end]
		if binary.BigEndian.Uint16(b[4:]) != 1 || len(b) < end {
			return nil, false
		}
		got := b[dnsmsg.HeaderLen:end]
		same := bytes.Equal(got, asked)
		if !exact {
			same = bytes.Equal(got[len(got)-4:], asked[len(asked)-4:]) && bytes.EqualFold(got[:len(got)-4], asked[:len(asked)-4])
		}
		if !same {
			return nil, false
		}
		lower(got[:len(got)-4])
	}
	m, err := dnsmsg.Parse(b)
	if err != nil {
		return nil, false
	}
	// A server that doesn't compress repeats the random spelling.
	if len(m.Question) == 1 {
		for _, section := range [][]dnsmsg.RR{m.Answer, m.Ns, m.Extra} {
			for _, rr := range section {
				if h := rr.Header(); strings.EqualFold(h.Name, m.Question[0].Name) {
					h.Name = m.Question[0].Name
				}
			}
		}
	}
	// One that substitutes a DNAME (RFC 6672, 2.2) carries it over into the
	// target.
	for _, rr := range m.Answer {
		d, ok := rr.(*dnsmsg.DNAME)
		for _, rr := range m.Answer {
			if c, isAlias := rr.(*dnsmsg.CNAME); ok && isAlias && dnsmsg.IsBelow(c.Hdr.Name, d.Hdr.Name) {
				c.Target = dnsmsg.CanonicalName(c.Target)
			}
		}
	}
	return m, true
}

func lower(name []byte) {
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			name[i] = c | 0x20
		}
	}
}

// endWith makes reads and writes of conn fail when ctx ends. The function it
// returns undoes that.
func endWith(ctx context.Context, conn net.Conn) (stop func()) {
	if d, ok := ctx.Deadline(); ok {
		conn.SetDeadline(d)
	}
	after := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return func() { after() }
}

// frame puts the length before a message (RFC 1035, 4.2.2), in one write's
// worth of bytes (RFC 7766, 8).
func frame(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(b)), uint16(len(b))), b...)
}

func readFrame(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return b, nil
}
