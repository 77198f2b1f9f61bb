package lab

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

func TestZone(t *testing.T) {
	z := newZone()
	z.set(inZone("guest1"), ServerIPv4().Addr(), netip.MustParseAddr("2001:db8:1:3::77"))
	for _, tt := range []struct {
		name  string
		qtype uint16
		rcode int
		want  []string // the answers' values
	}{
		{NameV4Only, dns.TypeA, dns.RcodeSuccess, []string{"203.0.114.10"}},
		{NameV4Only, dns.TypeAAAA, dns.RcodeSuccess, nil},
		{NameV6Only, dns.TypeA, dns.RcodeSuccess, nil},
		{NameV6Only, dns.TypeAAAA, dns.RcodeSuccess, []string{"2001:db8:2::10"}},
		{NameDual, dns.TypeA, dns.RcodeSuccess, []string{"203.0.114.10"}},
		{NameDual, dns.TypeAAAA, dns.RcodeSuccess, []string{"2001:db8:2::10"}},
		{"V4only.EXAMPLE", dns.TypeA, dns.RcodeSuccess, []string{"203.0.114.10"}},
		{NameAlias, dns.TypeA, dns.RcodeSuccess, []string{"v4only.example.", "203.0.114.10"}},
		{NameAlias, dns.TypeAAAA, dns.RcodeSuccess, []string{"v4only.example."}},
		{NameAlias, dns.TypeCNAME, dns.RcodeSuccess, []string{"v4only.example."}},
		{NameNone, dns.TypeA, dns.RcodeSuccess, nil},
		{NameMissing, dns.TypeA, dns.RcodeNameError, nil},
		{"elsewhere.test", dns.TypeAAAA, dns.RcodeNameError, nil},
		{"guest1.example", dns.TypeA, dns.RcodeSuccess, []string{"203.0.113.10"}},
		{"guest1.example", dns.TypeAAAA, dns.RcodeSuccess, []string{"2001:db8:1:3::77"}},
		{"ipv4only.arpa", dns.TypeA, dns.RcodeSuccess, []string{"192.0.0.170", "192.0.0.171"}},
		{"ipv4only.arpa", dns.TypeAAAA, dns.RcodeSuccess, nil},
		{"example", dns.TypeNS, dns.RcodeSuccess, []string{zoneAuthority}},
	} {
		q := new(dns.Msg)
		q.SetQuestion(dns.Fqdn(tt.name), tt.qtype)
		m := z.answer(q)
		var got []string
		addrs := 0
		for _, rr := range m.Answer {
			switch rr := rr.(type) {
			case *dns.A:
				got = append(got, rr.A.String())
				addrs++
			case *dns.AAAA:
				got = append(got, rr.AAAA.String())
				addrs++
			case *dns.CNAME:
				got = append(got, rr.Target)
			case *dns.NS:
				got = append(got, rr.Ns)
			}
		}
		name := tt.name + " " + dns.TypeToString[tt.qtype]
		if m.Rcode != tt.rcode || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %s %q, want %s %q", name, dns.RcodeToString[m.Rcode], got, dns.RcodeToString[tt.rcode], tt.want)
		}
		// RFC 2308 section 2: no data without an SOA is no answer to keep.
		negative := m.Rcode != dns.RcodeSuccess || addrs == 0 && tt.qtype != dns.TypeCNAME && tt.qtype != dns.TypeNS
		if has := len(m.Ns) == 1 && m.Ns[0].Header().Rrtype == dns.TypeSOA; has != negative {
			t.Errorf("%s: authority section %v", name, m.Ns)
		}
		if _, err := m.Pack(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestZoneSurvivesOddQuestions(t *testing.T) {
	z := newZone()
	for _, q := range []*dns.Msg{{}, {Question: make([]dns.Question, 2)}, {MsgHdr: dns.MsgHdr{Opcode: dns.OpcodeUpdate}}} {
		if m := z.answer(q); m.Rcode != dns.RcodeNotImplemented {
			t.Errorf("%v: %s", q, dns.RcodeToString[m.Rcode])
		}
	}
}
