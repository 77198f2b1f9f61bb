package dns64

import (
	"context"
	"net/netip"
	"time"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

// query is a client's query, understood.
type query struct {
	raw   []byte
	key   key
	reply dnsmsg.Reply
	rd    bool
	// refusal is the response code to send at once, or -1.
	refusal int
	msg     *dnsmsg.Msg
}

// understand parses a query. limit is the longest reply the transport takes.
// If the bytes are no query, ok is false, and reply holds the error to send
// back, if any.
func understand(raw []byte, udp bool) (q query, reply []byte, ok bool) {
	_, response, enough := dnsmsg.Peek(raw)
	if !enough || response {
		return query{}, nil, false // an answer to an answer would go on for ever
	}
	m, err := dnsmsg.Parse(raw)
	if err != nil {
		return query{}, dnsmsg.ErrorReply(nil, raw, dnsmsg.RcodeFormatError), false
	}
	if m.Opcode != dnsmsg.OpcodeQuery {
		return query{}, dnsmsg.ErrorReply(nil, raw, dnsmsg.RcodeNotImplemented), false
	}
	if len(m.Question) != 1 {
		return query{}, dnsmsg.ErrorReply(nil, raw, dnsmsg.RcodeFormatError), false
	}
	q = query{raw: raw, msg: m, rd: m.RecursionDesired, refusal: -1}
	q.reply = dnsmsg.Reply{Query: raw, AD: m.AuthenticatedData, UDPSize: udpSize, Limit: 0xffff}
	if udp {
		q.reply.Limit = dnsmsg.MinUDPSize
	}
	question := m.Question[0]
	if opt := m.IsEdns0(); opt != nil {
		q.reply.EDNS = true
		q.reply.DO = opt.Do()
		q.reply.AD = q.reply.AD || opt.Do()
		if udp {
			q.reply.Limit = min(max(int(opt.UDPSize()), dnsmsg.MinUDPSize), udpSize)
		}
		if opt.Version() != 0 {
			q.refusal = dnsmsg.RcodeBadVers // RFC 6891, 6.1.3
		}
	}
	switch question.Qtype {
	case dnsmsg.TypeOPT:
		q.refusal = dnsmsg.RcodeFormatError
	case dnsmsg.TypeAXFR, dnsmsg.TypeIXFR:
		q.refusal = dnsmsg.RcodeRefused // there is no zone here
	}
	if question.Qclass != dnsmsg.ClassINET && q.refusal < 0 {
		q.refusal = dnsmsg.RcodeRefused
	}
	q.key = key{
		name:   dnsmsg.CanonicalName(question.Name),
		rrtype: question.Qtype,
		do:     q.reply.DO, cd: m.CheckingDisabled,
	}
	return q, nil, true
}

// quick answers what needs no waiting: refusals and what is cached. ok is
// false if there is more to do.
func (s *Server) quick(q query, dst []byte) (reply []byte, ok bool) {
	if q.refusal >= 0 {
		return s.refuse(q, dst, q.refusal), true
	}
	if e := s.resolver.host(q.key); e != nil {
		return s.render(q, dst, e), true
	}
	if e, hit := s.resolver.cache.get(q.key, time.Now()); hit {
		s.stats.cacheHits.Add(1)
		return s.render(q, dst, e), true
	}
	if !q.rd && s.resolver.rules.local(q.key.question().Question, q.key.plain) == nil {
		// Not asked to look further (RFC 1034, 4.3.1).
		return s.refuse(q, dst, dnsmsg.RcodeRefused), true
	}
	return nil, false
}

// slow answers by asking upstream. It returns nil if ctx ends before.
func (s *Server) slow(ctx context.Context, q query, dst []byte) []byte {
	e := s.resolver.resolve(ctx, q.key)
	if e == nil {
		return nil
	}
	return s.render(q, dst, e)
}

func (s *Server) render(q query, dst []byte, e *entry) []byte {
	r := q.reply
	r.Age = e.age(time.Now())
	start := len(dst)
	dst = e.answer.Append(dst, r)
	if dst[start+2]&0x02 != 0 {
		s.stats.truncated.Add(1)
	}
	return dst
}

func (s *Server) refuse(q query, dst []byte, rcode int) []byte {
	m := &dnsmsg.Msg{Question: q.msg.Question}
	m.Response = true
	m.Rcode = rcode
	a, err := dnsmsg.NewAnswer(m)
	if err != nil {
		return dnsmsg.ErrorReply(dst, q.raw, rcode)
	}
	return a.Append(dst, q.reply)
}

// addrOnly is how clients are told apart: without zone, IPv4 as IPv4.
func addrOnly(a netip.AddrPort) netip.Addr { return a.Addr().Unmap().WithZone("") }
