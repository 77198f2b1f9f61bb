package dns64

import (
	"net"
	"net/netip"
	"strings"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

// outcome is how one question to the upstreams ended.
type outcome struct {
	// msg is the response; nil where none came in time.
	msg *dnsmsg.Msg
	// bogus says that the upstream has data but could not validate it.
	bogus bool
}

// verdict says what an AAAA answer was made of.
type verdict int

const (
	native      verdict = iota // the AAAA response, as it is or without mapped addresses
	synthesised                // made of A records
	failed                     // no answer that can be stood by
)

// TTL of synthesised records where no SOA record limits it (RFC 6147, 5.1.7).
const ttlWithoutSOA = 600

// needsA reports whether the AAAA outcome alone does not decide the answer
// (RFC 6147, 5.1.1 to 5.1.4): it has no AAAA record a guest may use, and it is
// neither NXDOMAIN nor a failed validation.
//
// An attacker who can spoil the AAAA answer on its way to a validating
// upstream must not thereby force a host into NAT64, so a validation failure
// is final (5.5).
func (r rules) needsA(q dnsmsg.Question, aaaa outcome) bool {
	switch {
	case aaaa.bogus:
		return false
	case aaaa.msg == nil:
		return true
	case aaaa.msg.Rcode == dnsmsg.RcodeNameError:
		return false
	case aaaa.msg.Rcode != dnsmsg.RcodeSuccess:
		return true
	}
	return !r.hasNative(aaaa.msg)
}

func (r rules) hasNative(m *dnsmsg.Msg) bool {
	for _, rr := range m.Answer {
		if v6, ok := addrOf(rr); ok && rr.Header().Rrtype == dnsmsg.TypeAAAA && !r.excluded(v6) {
			return true
		}
	}
	return false
}

// answer decides what a guest that asked for AAAA records gets, from what the
// upstreams said to the AAAA and to the A question. a is looked at only where
// needsA says so.
func (r rules) answer(q dnsmsg.Question, aaaa, a outcome) (*dnsmsg.Msg, verdict) {
	if aaaa.bogus {
		return failure(q, aaaa.msg, dnsmsg.EDEDNSBogus), failed
	}
	if !r.needsA(q, aaaa) {
		return r.withoutExcluded(aaaa.msg), native
	}
	empty := aaaa.msg != nil && aaaa.msg.Rcode == dnsmsg.RcodeSuccess
	switch {
	case a.bogus:
		return failure(q, a.msg, dnsmsg.EDEDNSBogus), failed
	case a.msg == nil:
		return failure(q, aaaa.msg, dnsmsg.EDENoReachable), failed
	case a.msg.Rcode == dnsmsg.RcodeSuccess:
		if m := r.synthesise(q, aaaa.msg, a.msg); m != nil {
			return m, synthesised
		}
		if empty {
			return r.withoutExcluded(aaaa.msg), native
		}
		// No A records don't prove that there are no AAAA records.
		return failure(q, aaaa.msg, dnsmsg.EDENoReachable), failed
	case a.msg.Rcode == dnsmsg.RcodeNameError && !empty:
		m := *a.msg // there is nothing of any type (RFC 2308, 2.1)
		m.Question = []dnsmsg.Question{q}
		return &m, native
	case a.msg.Rcode == dnsmsg.RcodeNameError:
		return r.withoutExcluded(aaaa.msg), native
	}
	// The error on A is the answer (RFC 6147, 5.1.6).
	return failure(q, a.msg, dnsmsg.EDENoReachable), failed
}

// synthesise makes the answer of the A response: its aliases as they are, its A
// records as AAAA records (RFC 6147, 5.1.5 to 5.1.7, 5.4). It returns nil if no
// A record may be represented. aaaa may be nil.
//
// Signatures over the aliases stay, those over A records don't, nor do NSEC
// records: they would prove that the very record we made does not exist. So
// authority and additional sections stay empty.
func (r rules) synthesise(q dnsmsg.Question, aaaa, a *dnsmsg.Msg) *dnsmsg.Msg {
	ttl := uint32(ttlWithoutSOA)
	if aaaa != nil {
		if soa, ok := negativeTTL(aaaa); ok {
			ttl = soa
		}
	}
	m := &dnsmsg.Msg{Question: []dnsmsg.Question{q}}
	m.Response = true
	m.AuthenticatedData = aaaa != nil && aaaa.AuthenticatedData && a.AuthenticatedData
	name, aliases := chain(q.Name, a.Answer)
	m.Answer = aliases
	made := false
	for _, rr := range a.Answer {
		v4, ok := addrOf(rr)
		if !ok || rr.Header().Rrtype != dnsmsg.TypeA || !strings.EqualFold(rr.Header().Name, name) {
			continue
		}
		v6, ok := r.represent(v4)
		if !ok {
			continue
		}
		made = true
		m.Answer = append(m.Answer, &dnsmsg.AAAA{
			Hdr: dnsmsg.RRHeader{
				Name: rr.Header().Name, Rrtype: dnsmsg.TypeAAAA, Class: dnsmsg.ClassINET,
				Ttl: min(rr.Header().Ttl, ttl),
			},
			AAAA: net.IP(v6.AsSlice()),
		})
	}
	if !made {
		return nil
	}
	return m
}

// chain follows the aliases from name through an answer section and returns
// where they end, and the DNAME and CNAME records on the way with the
// signatures over them.
func chain(name string, answer []dnsmsg.RR) (end string, aliases []dnsmsg.RR) {
	used := make([]bool, len(answer))
	take := func(i int) {
		if !used[i] {
			used[i] = true
			aliases = append(aliases, answer[i])
		}
	}
	signatures := func(owner string, covered uint16) {
		for i, rr := range answer {
			if sig, ok := rr.(*dnsmsg.RRSIG); ok && sig.TypeCovered == covered && strings.EqualFold(sig.Hdr.Name, owner) {
				take(i)
			}
		}
	}
	for {
		next := ""
		for i, rr := range answer {
			if d, ok := rr.(*dnsmsg.DNAME); ok && !used[i] && dnsmsg.IsBelow(name, d.Hdr.Name) {
				take(i)
				signatures(d.Hdr.Name, dnsmsg.TypeDNAME)
			}
		}
		for i, rr := range answer {
			if c, ok := rr.(*dnsmsg.CNAME); ok && !used[i] && strings.EqualFold(c.Hdr.Name, name) {
				take(i)
				signatures(c.Hdr.Name, dnsmsg.TypeCNAME)
				next = c.Target
				break
			}
		}
		if next == "" {
			return name, aliases
		}
		name = next
	}
}

// withoutExcluded returns the response without the AAAA records that no guest
// may be given (RFC 6147, 5.1.4), and then without the signatures over them.
func (r rules) withoutExcluded(m *dnsmsg.Msg) *dnsmsg.Msg {
	found := false
	for _, rr := range m.Answer {
		if v6, ok := addrOf(rr); ok && r.excluded(v6) {
			found = true
		}
	}
	if !found {
		return m
	}
	out := *m
	out.AuthenticatedData = false
	out.Answer = nil
	for _, rr := range m.Answer {
		if v6, ok := addrOf(rr); ok && r.excluded(v6) {
			continue
		}
		if sig, ok := rr.(*dnsmsg.RRSIG); ok && sig.TypeCovered == dnsmsg.TypeAAAA {
			continue
		}
		out.Answer = append(out.Answer, rr)
	}
	return &out
}

// addrOf returns the address in an A or AAAA record.
func addrOf(rr dnsmsg.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dnsmsg.A:
		a, ok := netip.AddrFromSlice(rr.A.To4())
		return a, ok
	case *dnsmsg.AAAA:
		return netip.AddrFromSlice(rr.AAAA.To16())
	}
	return netip.Addr{}, false
}

// failure is the reply to a question that could not be answered: the response
// code and extended errors of the upstream's response, if there is one with an
// error in it, else SERVFAIL with an extended error of ours.
func failure(q dnsmsg.Question, because *dnsmsg.Msg, ede uint16) *dnsmsg.Msg {
	m := &dnsmsg.Msg{Question: []dnsmsg.Question{q}}
	m.Response = true
	m.Rcode = dnsmsg.RcodeServerFailure
	if because != nil && because.Rcode != dnsmsg.RcodeSuccess {
		m.Rcode = because.Rcode
		if edes := dnsmsg.EDEs(because); len(edes) > 0 {
			dnsmsg.SetEDEs(m, edes...)
			return m
		}
	}
	dnsmsg.SetEDEs(m, &dnsmsg.EDE{InfoCode: ede})
	return m
}
