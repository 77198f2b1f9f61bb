package dnsmsg

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// Answer is a response in wire form that can be sent any number of times, to
// different clients. It is immutable and safe for concurrent use.
type Answer struct {
	wire        []byte // without an OPT record
	questionEnd int
	ttls        []int  // offsets of the records' TTLs in wire
	options     []byte // EDNS options for clients that speak EDNS
	extRcode    byte   // upper eight bits of the response code
	authentic   bool
}

// NewAnswer makes an answer of a response with one question. Records
// that belong to one hop only are left out, but for the extended errors in the
// OPT record.
func NewAnswer(m *Msg) (*Answer, error) {
	if len(m.Question) != 1 {
		return nil, fmt.Errorf("%w: %d questions in an answer", ErrMessage, len(m.Question))
	}
	out := Msg{
		MsgHdr:   Header{Response: true, RecursionAvailable: true, Rcode: m.Rcode & 0xf},
		Compress: true,
		Question: m.Question,
		Answer:   withoutHop(m.Answer),
		Ns:       withoutHop(m.Ns),
		Extra:    withoutHop(m.Extra),
	}
	a := &Answer{extRcode: byte(m.Rcode >> 4), authentic: m.AuthenticatedData}
	var err error
	if a.wire, err = out.Pack(); err != nil {
		return nil, fmt.Errorf("pack answer for %s: %w", m.Question[0].Name, err)
	}
	// The library reads records whose data ends early, and writes them as
	// something it can't read any more. Nobody shall be sent that.
	if _, err := Parse(a.wire); err != nil {
		return nil, fmt.Errorf("read back answer for %s: %w", m.Question[0].Name, err)
	}
	nameEnd, err := skipName(a.wire, headerLen)
	if err != nil {
		return nil, err
	}
	a.questionEnd = nameEnd + 4
	if _, err := walk(a.wire, func(r record) error {
		a.ttls = append(a.ttls, r.ttl)
		return nil
	}); err != nil {
		return nil, err
	}
	for _, e := range EDEs(m) {
		// RFC 8914, 2: INFO-CODE and EXTRA-TEXT.
		a.options = binary.BigEndian.AppendUint16(a.options, dns.EDNS0EDE)
		a.options = binary.BigEndian.AppendUint16(a.options, uint16(2+len(e.ExtraText)))
		a.options = binary.BigEndian.AppendUint16(a.options, e.InfoCode)
		a.options = append(a.options, e.ExtraText...)
	}
	return a, nil
}

// withoutHop leaves out the records that belong to one hop only: OPT, and the
// signatures of transactions (RFC 8945, 5.3; RFC 2931, 3).
func withoutHop(rrs []RR) []RR {
	hop := func(rr RR) bool {
		switch rr.Header().Rrtype {
		case TypeOPT, TypeTSIG, dns.TypeTKEY, dns.TypeSIG:
			return true
		}
		return false
	}
	if !slices.ContainsFunc(rrs, hop) {
		return rrs
	}
	return slices.DeleteFunc(slices.Clone(rrs), hop)
}

// Rcode returns the response code.
func (a *Answer) Rcode() int { return int(a.extRcode)<<4 | int(a.wire[3]&0xf) }

// Size returns about how many bytes of memory the answer holds.
func (a *Answer) Size() int {
	const structs = 160 // the struct itself and its slices' slack
	return structs + len(a.wire) + 8*len(a.ttls) + len(a.options)
}

// Message returns the answer as a message, age seconds taken off its TTLs.
func (a *Answer) Message(age uint32) (*Msg, error) {
	return Parse(a.Append(nil, Reply{
		Query: a.wire, EDNS: true, AD: true, Limit: 1 << 17, Age: age,
	}))
}

// Reply says to which query an answer is sent.
type Reply struct {
	// Query is the query in wire form; ID and the spelling of the name are
	// taken from it, so it must ask the question that the answer answers.
	Query []byte
	// AD says that the client wants to know whether the data is authentic: it
	// set the AD or the DO bit (RFC 6840, 5.7 and 5.8).
	AD bool
	// EDNS says that the query had an OPT record; UDPSize is the payload size
	// of our own to announce, DO the bit to echo.
	EDNS    bool
	UDPSize uint16
	DO      bool
	// Limit is the longest reply the way back takes.
	Limit int
	// Age in seconds is taken off every TTL.
	Age uint32
}

// Append appends the answer to dst as the reply to a query. If it would be
// longer than the limit, it is cut down to the question, with TC set.
func (a *Answer) Append(dst []byte, r Reply) []byte {
	const optLen = 11
	start := len(dst)
	need := len(a.wire)
	if r.EDNS {
		need += optLen + len(a.options)
	}
	options := a.options
	truncated := need > r.Limit
	if truncated {
		dst = append(dst, a.wire[:a.questionEnd]...)
		clear(dst[start+6 : start+headerLen]) // no answer, authority, additional
		if a.questionEnd+optLen+len(options) > r.Limit {
			options = nil
		}
	} else {
		dst = append(dst, a.wire...)
	}
	m := dst[start:]
	m[0], m[1] = r.Query[0], r.Query[1]
	m[2] |= r.Query[2] & 0x01 // RD
	m[3] |= r.Query[3] & 0x10 // CD (RFC 4035, 3.2.2)
	if truncated {
		m[2] |= 0x02
	}
	if a.authentic && r.AD {
		m[3] |= 0x20
	}
	nameEnd := a.questionEnd - 4
	if len(r.Query) >= a.questionEnd {
		copy(m[headerLen:nameEnd], r.Query[headerLen:nameEnd])
	}
	if !truncated && r.Age > 0 {
		for _, off := range a.ttls {
			ttl := binary.BigEndian.Uint32(m[off:])
			binary.BigEndian.PutUint32(m[off:], ttl-min(ttl, r.Age))
		}
	}
	if r.EDNS {
		dst = appendOPT(dst, a.extRcode, r.UDPSize, r.DO, options)
		m = dst[start:]
		binary.BigEndian.PutUint16(m[10:], binary.BigEndian.Uint16(m[10:])+1)
	}
	return dst
}

// appendOPT appends an OPT record (RFC 6891, 6.1.2 and 6.1.3), version 0.
func appendOPT(dst []byte, extRcode byte, udpSize uint16, do bool, options []byte) []byte {
	dst = append(dst, 0, 0, byte(TypeOPT))
	dst = binary.BigEndian.AppendUint16(dst, udpSize)
	flags := byte(0)
	if do {
		flags = 0x80
	}
	dst = append(dst, extRcode, 0, flags, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(options)))
	return append(dst, options...)
}
