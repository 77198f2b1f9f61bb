package dns64

import (
	"net"
	"net/netip"
	"testing"

	"github.com/sixhost/sixhost/internal/dnsmsg"
	"github.com/sixhost/sixhost/nat64"
)

func testRules(t testing.TB, prefix string) rules {
	t.Helper()
	p, err := nat64.ParsePrefix(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return rules{prefix: p, exclude: defaultExclude()}
}

// rr parses nothing: records are built by hand so that the tests see what the
// library's structs hold.
func hdr(name string, t uint16, ttl uint32) dnsmsg.RRHeader {
	return dnsmsg.RRHeader{Name: name, Rrtype: t, Class: dnsmsg.ClassINET, Ttl: ttl}
}

func rrA(name, addr string, ttl uint32) dnsmsg.RR {
	return &dnsmsg.A{Hdr: hdr(name, dnsmsg.TypeA, ttl), A: net.IP(netip.MustParseAddr(addr).AsSlice())}
}

func rrAAAA(name, addr string, ttl uint32) dnsmsg.RR {
	return &dnsmsg.AAAA{Hdr: hdr(name, dnsmsg.TypeAAAA, ttl), AAAA: net.IP(netip.MustParseAddr(addr).AsSlice())}
}

func rrCNAME(name, target string, ttl uint32) dnsmsg.RR {
	return &dnsmsg.CNAME{Hdr: hdr(name, dnsmsg.TypeCNAME, ttl), Target: target}
}

func rrDNAME(name, target string, ttl uint32) dnsmsg.RR {
	return &dnsmsg.DNAME{Hdr: hdr(name, dnsmsg.TypeDNAME, ttl), Target: target}
}

func rrSOA(name string, ttl, minimum uint32) dnsmsg.RR {
	return &dnsmsg.SOA{Hdr: hdr(name, dnsmsg.TypeSOA, ttl), Ns: "ns.", Mbox: "root.", Minttl: minimum}
}

func rrPTR(name, target string, ttl uint32) dnsmsg.RR {
	return &dnsmsg.PTR{Hdr: hdr(name, dnsmsg.TypePTR, ttl), Ptr: target}
}

func rrSig(name string, covered uint16) dnsmsg.RR {
	return &dnsmsg.RRSIG{Hdr: hdr(name, dnsmsg.TypeRRSIG, 300), TypeCovered: covered, SignerName: "example.", Signature: "AAAA"}
}

func ask(name string, t uint16) dnsmsg.Question {
	return dnsmsg.Question{Name: name, Qtype: t, Qclass: dnsmsg.ClassINET}
}

// response builds a message; records before the SOA go to the answer section.
func response(q dnsmsg.Question, rcode int, rrs ...dnsmsg.RR) *dnsmsg.Msg {
	m := &dnsmsg.Msg{Question: []dnsmsg.Question{q}}
	m.Response, m.RecursionAvailable, m.Rcode = true, true, rcode
	for _, rr := range rrs {
		if rr.Header().Rrtype == dnsmsg.TypeSOA && q.Qtype != dnsmsg.TypeSOA {
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

func withEDE(m *dnsmsg.Msg, code uint16) *dnsmsg.Msg {
	dnsmsg.SetEDEs(m, &dnsmsg.EDE{InfoCode: code})
	return m
}

func authentic(m *dnsmsg.Msg) *dnsmsg.Msg {
	m.AuthenticatedData = true
	return m
}

// text renders the sections that matter, one record a line.
func text(m *dnsmsg.Msg) []string {
	var lines []string
	for _, rr := range m.Answer {
		lines = append(lines, squeeze(rr))
	}
	for _, rr := range m.Ns {
		lines = append(lines, "authority "+squeeze(rr))
	}
	return lines
}
