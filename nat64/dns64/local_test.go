package dns64

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

func TestLocal(t *testing.T) {
	const soa = "authority ipv4only.arpa. 86400 IN SOA ipv4only.arpa. nobody.invalid. 1 7200 3600 604800 3600"
	tests := []struct {
		q     dnsmsg.Question
		rcode int
		want  []string // nil: not local
	}{
		{q: ask("ipv4only.arpa.", dnsmsg.TypeAAAA), want: []string{
			"ipv4only.arpa. 86400 IN AAAA 64:ff9b::c000:aa", "ipv4only.arpa. 86400 IN AAAA 64:ff9b::c000:ab"}},
		{q: ask("ipv4only.arpa.", dnsmsg.TypeA), want: []string{
			"ipv4only.arpa. 86400 IN A 192.0.0.170", "ipv4only.arpa. 86400 IN A 192.0.0.171"}},
		{q: ask("ipv4only.arpa.", dnsmsg.TypeMX), want: []string{soa}},
		{q: ask("x.ipv4only.arpa.", dnsmsg.TypeAAAA), rcode: dnsmsg.RcodeNameError, want: []string{soa}},
		{q: ask("170.0.0.192.in-addr.arpa.", dnsmsg.TypePTR), want: []string{
			"170.0.0.192.in-addr.arpa. 86400 IN PTR ipv4only.arpa."}},
		{q: ask("171.0.0.192.in-addr.arpa.", dnsmsg.TypePTR), want: []string{
			"171.0.0.192.in-addr.arpa. 86400 IN PTR ipv4only.arpa."}},
		{q: ask("172.0.0.192.in-addr.arpa.", dnsmsg.TypePTR)},
		{q: ask("arpa.", dnsmsg.TypeSOA)},
		{q: ask("xipv4only.arpa.", dnsmsg.TypeAAAA)},
	}
	for _, tt := range tests {
		m := testRules(t, "64:ff9b::/96").local(tt.q, false)
		if m == nil || tt.want == nil {
			if m != nil || tt.want != nil {
				t.Errorf("%s: got %v, want %v", tt.q.String(), m, tt.want)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, text(m)); diff != "" || m.Rcode != tt.rcode {
			t.Errorf("%s: response code %d, want %d; records (-want +got):\n%s", tt.q.String(), m.Rcode, tt.rcode, diff)
		}
		if lifetime(m) < time.Hour {
			t.Errorf("%s: kept for %s only", tt.q.String(), lifetime(m))
		}
	}
}

func TestReverse(t *testing.T) {
	const name = "1.0.3.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa."
	r := testRules(t, "64:ff9b::/96")
	for _, tt := range []struct {
		q    dnsmsg.Question
		want string
	}{
		{ask(name, dnsmsg.TypePTR), "1.3.0.192.in-addr.arpa."},
		{ask("1.0.3.0.0.0.0.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.B.9.F.F.4.6.0.0.IP6.ARPA.", dnsmsg.TypePTR), "1.3.0.192.in-addr.arpa."},
		{ask(name, dnsmsg.TypeTXT), ""},
		{ask(name[2:], dnsmsg.TypePTR), ""},      // not a whole address
		{ask("0."+name, dnsmsg.TypePTR), ""},     // more than one
		{ask("g"+name[1:], dnsmsg.TypePTR), ""},  // no nibble
		{ask("x"+name[:71], dnsmsg.TypePTR), ""}, // no dots where they belong
		{ask("1.3.0.192.in-addr.arpa.", dnsmsg.TypePTR), ""},
		{ask("1.0.3.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.", dnsmsg.TypePTR), ""}, // 2001:db8::
	} {
		got, ok := r.reverse(tt.q)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: got %q, %v, want %q", tt.q.String(), got, ok, tt.want)
		}
	}

	q := ask(name, dnsmsg.TypePTR)
	target := ask("1.3.0.192.in-addr.arpa.", dnsmsg.TypePTR)
	m := alias(q, target.Name, outcome{msg: authentic(response(target, dnsmsg.RcodeSuccess, rrPTR(target.Name, "www.example.", 50)))})
	want := []string{name + " 600 IN CNAME 1.3.0.192.in-addr.arpa.", "1.3.0.192.in-addr.arpa. 50 IN PTR www.example."}
	if diff := cmp.Diff(want, text(m)); diff != "" || m.AuthenticatedData || m.Question[0] != q {
		t.Errorf("AD %v, question %v, records (-want +got):\n%s", m.AuthenticatedData, m.Question, diff)
	}
	if m := alias(q, target.Name, outcome{}); m.Rcode != dnsmsg.RcodeServerFailure {
		t.Errorf("nothing found: response code %d, want SERVFAIL", m.Rcode)
	}
}

func TestLifetime(t *testing.T) {
	q := ask("www.example.", dnsmsg.TypeAAAA)
	for _, tt := range []struct {
		name string
		m    *dnsmsg.Msg
		want time.Duration
	}{
		{"least TTL", response(q, 0, rrAAAA("www.example.", "2001:db8::1", 60), rrAAAA("www.example.", "2001:db8::2", 50)), 50 * time.Second},
		{"TTL 0 is not kept", response(q, 0, rrAAAA("www.example.", "2001:db8::1", 0)), 0},
		{"a day at most", response(q, 0, rrAAAA("www.example.", "2001:db8::1", 1<<30)), 24 * time.Hour},
		{"empty: SOA (RFC 2308, 5)", response(q, 0, rrSOA("example.", 900, 120)), 2 * time.Minute},
		{"empty, no SOA: not kept (RFC 2308, 5)", response(q, 0), 0},
		{"alias to nothing: SOA, TTL of the alias", response(q, 0, rrCNAME("www.example.", "x.", 60), rrSOA("example.", 900, 120)), time.Minute},
		{"NXDOMAIN, three hours at most", response(q, dnsmsg.RcodeNameError, rrSOA("example.", 86400, 86400)), 3 * time.Hour},
		{"failure (RFC 9520)", response(q, dnsmsg.RcodeServerFailure), 5 * time.Second},
	} {
		if got := lifetime(tt.m); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
