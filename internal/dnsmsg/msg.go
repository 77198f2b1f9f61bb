package dnsmsg

import (
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// The library's types that callers handle. Everything else of it stays behind
// this package.
type (
	Msg      = dns.Msg
	Header   = dns.MsgHdr
	Question = dns.Question
	RR       = dns.RR
	RRHeader = dns.RR_Header
	A        = dns.A
	AAAA     = dns.AAAA
	CNAME    = dns.CNAME
	DNAME    = dns.DNAME
	NS       = dns.NS
	PTR      = dns.PTR
	RRSIG    = dns.RRSIG
	SOA      = dns.SOA
	OPT      = dns.OPT
	EDE      = dns.EDNS0_EDE
)

// Types, classes and codes.
const (
	TypeA       = dns.TypeA
	TypeAAAA    = dns.TypeAAAA
	TypeANY     = dns.TypeANY
	TypeAXFR    = dns.TypeAXFR
	TypeCNAME   = dns.TypeCNAME
	TypeDNAME   = dns.TypeDNAME
	TypeIXFR    = dns.TypeIXFR
	TypeMX      = dns.TypeMX
	TypeNS      = dns.TypeNS
	TypeNSEC    = dns.TypeNSEC
	TypeNSEC3   = dns.TypeNSEC3
	TypeOPT     = dns.TypeOPT
	TypePTR     = dns.TypePTR
	TypeRRSIG   = dns.TypeRRSIG
	TypeSOA     = dns.TypeSOA
	TypeTSIG    = dns.TypeTSIG
	TypeTXT     = dns.TypeTXT
	ClassINET   = dns.ClassINET
	OpcodeQuery = dns.OpcodeQuery

	RcodeSuccess        = dns.RcodeSuccess
	RcodeFormatError    = dns.RcodeFormatError
	RcodeServerFailure  = dns.RcodeServerFailure
	RcodeNameError      = dns.RcodeNameError
	RcodeNotImplemented = dns.RcodeNotImplemented
	RcodeRefused        = dns.RcodeRefused
	RcodeBadVers        = dns.RcodeBadVers
)

// Extended DNS errors (RFC 8914, 4) that this project sends or decides by.
const (
	EDEOther               = dns.ExtendedErrorCodeOther
	EDEDNSSECIndeterminate = dns.ExtendedErrorCodeDNSSECIndeterminate
	EDEDNSBogus            = dns.ExtendedErrorCodeDNSBogus
	EDENoReachable         = dns.ExtendedErrorCodeNoReachableAuthority
	EDENetworkError        = dns.ExtendedErrorCodeNetworkError
	EDENotAuthoritative    = dns.ExtendedErrorCodeNotAuthoritative
)

// MinUDPSize is what every UDP client takes (RFC 1035, 4.2.1).
const MinUDPSize = 512

// headerLen is the length of a message's header (RFC 1035, 4.1.1).
const headerLen = 12

// ErrMessage means that bytes are no DNS message.
var ErrMessage = errors.New("malformed DNS message")

// Parse unpacks a message, and is stricter than the library: every record the
// header counts must be there, nothing may follow the last one, and there is
// at most one OPT record, in the additional section and owned by the root
// (RFC 6891, 6.1.1). The error matches ErrMessage.
func Parse(b []byte) (*Msg, error) {
	opts := 0
	end, err := walk(b, func(r record) error {
		if r.rrtype != TypeOPT {
			return nil
		}
		if opts++; r.section != additional || opts > 1 || b[r.name] != 0 {
			return fmt.Errorf("%w: misplaced OPT record", ErrMessage)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if end != len(b) {
		return nil, fmt.Errorf("%w: %d bytes after the last record", ErrMessage, len(b)-end)
	}
	var m Msg
	if err := m.Unpack(b); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMessage, err)
	}
	return &m, nil
}

// Peek reads what can be told from a header alone: the ID and whether the
// message is a response. ok is false for less than a header.
func Peek(b []byte) (id uint16, response, ok bool) {
	if len(b) < headerLen {
		return 0, false, false
	}
	return uint16(b[0])<<8 | uint16(b[1]), b[2]&0x80 != 0, true
}

// ErrorReply is the answer to a message that can't be parsed: the header alone
// with the ID, opcode and RD bit of the query, and a response code. query holds
// a header at least.
func ErrorReply(dst, query []byte, rcode int) []byte {
	return append(dst,
		query[0], query[1],
		0x80|query[2]&0x79, 0x80|byte(rcode&0xf), // QR, opcode, RD; RA
		0, 0, 0, 0, 0, 0, 0, 0)
}

// EDEs returns the extended DNS errors of a message.
func EDEs(m *Msg) []*EDE {
	opt := m.IsEdns0()
	if opt == nil {
		return nil
	}
	var all []*EDE
	for _, o := range opt.Option {
		if e, ok := o.(*EDE); ok {
			all = append(all, e)
		}
	}
	return all
}

// DNSSECFailed reports whether a message carries an extended DNS error that
// says validation failed. RFC 8914's codes 1 and 2 (unsupported algorithms)
// make data insecure, not bogus, so they don't count on their own.
func DNSSECFailed(m *Msg) bool {
	for _, e := range EDEs(m) {
		switch c := e.InfoCode; {
		case c >= dns.ExtendedErrorCodeDNSSECIndeterminate && c <= dns.ExtendedErrorCodeNSECMissing,
			c == 25, // Signature Expired before Valid
			c == 27: // Unsupported NSEC3 Iterations Value
			return true
		}
	}
	return false
}

// SetEDEs gives a message extended DNS errors.
func SetEDEs(m *Msg, edes ...*EDE) {
	opt := m.IsEdns0()
	if opt == nil {
		opt = &OPT{Hdr: RRHeader{Name: ".", Rrtype: TypeOPT}}
		m.Extra = append(m.Extra, opt)
	}
	for _, e := range edes {
		opt.Option = append(opt.Option, e)
	}
}

// CanonicalName returns a name in lower case, with its final dot.
func CanonicalName(name string) string { return dns.CanonicalName(name) }

// IsBelow reports whether a name lies below another, and is not that name
// itself.
func IsBelow(name, parent string) bool {
	return len(name) > len(parent) && dns.IsSubDomain(parent, name)
}

// TypeString names a record type: "AAAA", or "TYPE65280".
func TypeString(t uint16) string { return dns.Type(t).String() }

// QueryOptions are the header and EDNS bits of a query.
type QueryOptions struct {
	RD, AD, CD bool
	// UDPSize announces EDNS with this payload size; 0 sends no OPT record.
	UDPSize uint16
	// DO needs EDNS.
	DO bool
}

// Query builds a query in wire form.
func Query(id uint16, q Question, o QueryOptions) ([]byte, error) {
	m := Msg{
		MsgHdr:   Header{Id: id, RecursionDesired: o.RD, AuthenticatedData: o.AD, CheckingDisabled: o.CD},
		Question: []Question{q},
	}
	b, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack query for %s %s: %w", q.Name, TypeString(q.Qtype), err)
	}
	if o.UDPSize > 0 {
		b = appendOPT(b, 0, o.UDPSize, o.DO, nil)
		b[11] = 1
	}
	return b, nil
}

// QuestionEnd returns the offset after the first question of a message.
func QuestionEnd(b []byte) (int, error) {
	end, err := skipName(b, min(headerLen, len(b)))
	if err != nil {
		return 0, err
	}
	if end += 4; end > len(b) {
		return 0, fmt.Errorf("%w: question is cut off", ErrMessage)
	}
	return end, nil
}

// HeaderLen is the offset of the question in a message.
const HeaderLen = headerLen
