package dns64

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

func squeeze(rr dnsmsg.RR) string { return strings.Join(strings.Fields(rr.String()), " ") }

func TestAnswer(t *testing.T) {
	const www = "www.example."
	q := ask(www, dnsmsg.TypeAAAA)
	qA := ask(www, dnsmsg.TypeA)
	soa := rrSOA("example.", 900, 120)
	nodata := outcome{msg: response(q, dnsmsg.RcodeSuccess, soa)}
	goodA := outcome{msg: response(qA, dnsmsg.RcodeSuccess, rrA(www, "192.0.3.1", 300))}
	servfail := func() *dnsmsg.Msg { return response(q, dnsmsg.RcodeServerFailure) }

	tests := []struct {
		name    string // with the section of RFC 6147
		prefix  string
		aaaa, a outcome
		verdict verdict
		rcode   int
		want    []string
		ad      bool
	}{
		{
			name:    "native address is kept (5.1)",
			aaaa:    outcome{msg: response(q, dnsmsg.RcodeSuccess, rrAAAA(www, "2001:db8::1", 60))},
			a:       goodA,
			verdict: native,
			want:    []string{"www.example. 60 IN AAAA 2001:db8::1"},
		},
		{
			name:    "no AAAA: synthesised, TTL of the SOA's MINIMUM (5.1.7)",
			aaaa:    nodata,
			a:       goodA,
			verdict: synthesised,
			want:    []string{"www.example. 120 IN AAAA 64:ff9b::c000:301"},
		},
		{
			name:    "TTL of the SOA record itself where shorter (5.1.7)",
			aaaa:    outcome{msg: response(q, dnsmsg.RcodeSuccess, rrSOA("example.", 30, 120))},
			a:       goodA,
			verdict: synthesised,
			want:    []string{"www.example. 30 IN AAAA 64:ff9b::c000:301"},
		},
		{
			name:    "TTL of A where shorter (5.1.7)",
			aaaa:    nodata,
			a:       outcome{msg: response(qA, dnsmsg.RcodeSuccess, rrA(www, "192.0.3.1", 7))},
			verdict: synthesised,
			want:    []string{"www.example. 7 IN AAAA 64:ff9b::c000:301"},
		},
		{
			name:    "600 s without SOA (5.1.7)",
			aaaa:    outcome{msg: response(q, dnsmsg.RcodeSuccess)},
			a:       outcome{msg: response(qA, dnsmsg.RcodeSuccess, rrA(www, "192.0.3.1", 3600))},
			verdict: synthesised,
			want:    []string{"www.example. 600 IN AAAA 64:ff9b::c000:301"},
		},
		{
			name:    "several A records (5.1.6)",
			aaaa:    nodata,
			a:       outcome{msg: response(qA, dnsmsg.RcodeSuccess, rrA(www, "192.0.3.1", 300), rrA(www, "192.0.3.2", 300))},
			verdict: synthesised,
			want:    []string{"www.example. 120 IN AAAA 64:ff9b::c000:301", "www.example. 120 IN AAAA 64:ff9b::c000:302"},
		},
		{
			name:   "prefix of 64 bits",
			prefix: "2001:db8:64::/64",
			aaaa:   nodata, a: goodA, verdict: synthesised,
			want: []string{"www.example. 120 IN AAAA 2001:db8:64:0:c0:3:100:0"},
		},
		{
			name:    "only mapped addresses: as if there were none (5.1.4)",
			aaaa:    outcome{msg: response(q, dnsmsg.RcodeSuccess, rrAAAA(www, "::ffff:192.0.3.9", 60))},
			a:       goodA,
			verdict: synthesised,
			want:    []string{"www.example. 300 IN AAAA 64:ff9b::c000:301"},
		},
		{
			name: "mapped and native: the mapped one goes, with the signature (5.1.4)",
			aaaa: outcome{msg: authentic(response(q, dnsmsg.RcodeSuccess,
				rrAAAA(www, "::ffff:192.0.3.9", 60), rrAAAA(www, "2001:db8::1", 60), rrSig(www, dnsmsg.TypeAAAA)))},
			a:       goodA,
			verdict: native,
			want:    []string{"www.example. 60 IN AAAA 2001:db8::1"},
		},
		{
			name:    "only mapped and no A: empty (5.1.4)",
			aaaa:    outcome{msg: response(q, dnsmsg.RcodeSuccess, rrAAAA(www, "::ffff:192.0.3.9", 60))},
			a:       outcome{msg: response(qA, dnsmsg.RcodeSuccess, soa)},
			verdict: native,
		},
		{
			name:    "NXDOMAIN is kept (5.1.2)",
			aaaa:    outcome{msg: response(q, dnsmsg.RcodeNameError, soa)},
			a:       goodA,
			verdict: native,
			rcode:   dnsmsg.RcodeNameError,
			want:    []string{"authority example. 900 IN SOA ns. root. 0 0 0 0 120"},
		},
		{
			name:    "SERVFAIL counts as empty (5.1.2)",
			aaaa:    outcome{msg: servfail()},
			a:       goodA,
			verdict: synthesised,
			want:    []string{"www.example. 300 IN AAAA 64:ff9b::c000:301"},
		},
		{
			name:    "NOTIMP counts as empty (5.1.2)",
			aaaa:    outcome{msg: response(q, dnsmsg.RcodeNotImplemented)},
			a:       goodA,
			verdict: synthesised,
			want:    []string{"www.example. 300 IN AAAA 64:ff9b::c000:301"},
		},
		{
			name:    "REFUSED counts as empty (5.1.2)",
			aaaa:    outcome{msg: response(q, dnsmsg.RcodeRefused)},
			a:       goodA,
			verdict: synthesised,
			want:    []string{"www.example. 300 IN AAAA 64:ff9b::c000:301"},
		},
		{
			name:    "time-out counts as empty (5.1.3)",
			a:       goodA,
			verdict: synthesised,
			want:    []string{"www.example. 300 IN AAAA 64:ff9b::c000:301"},
		},
		{
			name:    "bogus denial of AAAA: SERVFAIL (5.5)",
			aaaa:    outcome{msg: withEDE(servfail(), dnsmsg.EDEDNSBogus), bogus: true},
			a:       goodA,
			verdict: failed,
			rcode:   dnsmsg.RcodeServerFailure,
		},
		{
			name:    "bogus A: SERVFAIL (5.5)",
			aaaa:    nodata,
			a:       outcome{msg: servfail(), bogus: true},
			verdict: failed,
			rcode:   dnsmsg.RcodeServerFailure,
		},
		{
			name:    "both time out",
			verdict: failed,
			rcode:   dnsmsg.RcodeServerFailure,
		},
		{
			name:    "AAAA failed, no A records: not a proof of absence",
			aaaa:    outcome{msg: servfail()},
			a:       outcome{msg: response(qA, dnsmsg.RcodeSuccess, soa)},
			verdict: failed,
			rcode:   dnsmsg.RcodeServerFailure,
		},
		{
			name:    "AAAA failed, A says there is no such name",
			aaaa:    outcome{msg: servfail()},
			a:       outcome{msg: response(qA, dnsmsg.RcodeNameError, soa)},
			verdict: native,
			rcode:   dnsmsg.RcodeNameError,
			want:    []string{"authority example. 900 IN SOA ns. root. 0 0 0 0 120"},
		},
		{
			name:    "neither: the empty AAAA answer",
			aaaa:    nodata,
			a:       outcome{msg: response(qA, dnsmsg.RcodeSuccess, soa)},
			verdict: native,
			want:    []string{"authority example. 900 IN SOA ns. root. 0 0 0 0 120"},
		},
		{
			name:    "empty AAAA, A fails: the error on A (5.1.6)",
			aaaa:    nodata,
			a:       outcome{msg: response(qA, dnsmsg.RcodeRefused)},
			verdict: failed,
			rcode:   dnsmsg.RcodeRefused,
		},
		{
			name: "private, loopback and link-local addresses are not represented",
			aaaa: nodata,
			a: outcome{msg: response(qA, dnsmsg.RcodeSuccess,
				rrA(www, "10.0.0.1", 300), rrA(www, "127.0.0.1", 300), rrA(www, "169.254.169.254", 300))},
			verdict: native,
			want:    []string{"authority example. 900 IN SOA ns. root. 0 0 0 0 120"},
		},
		{
			name:    "private addresses go, public ones stay, under another prefix too",
			prefix:  "2001:db8:64::/96",
			aaaa:    nodata,
			a:       outcome{msg: response(qA, dnsmsg.RcodeSuccess, rrA(www, "10.0.0.1", 300), rrA(www, "192.0.3.1", 300))},
			verdict: synthesised,
			want:    []string{"www.example. 120 IN AAAA 2001:db8:64::c000:301"},
		},
		{
			name: "alias (5.1.5)",
			aaaa: outcome{msg: response(q, dnsmsg.RcodeSuccess, rrCNAME(www, "a.example.net.", 50), rrSOA("example.net.", 40, 40))},
			a: outcome{msg: response(qA, dnsmsg.RcodeSuccess,
				rrCNAME(www, "a.example.net.", 50), rrA("a.example.net.", "192.0.3.1", 300))},
			verdict: synthesised,
			want: []string{
				"www.example. 50 IN CNAME a.example.net.",
				"a.example.net. 40 IN AAAA 64:ff9b::c000:301",
			},
		},
		{
			name: "chain with DNAME, in no order, with strangers in it (5.1.5)",
			aaaa: nodata,
			a: outcome{msg: response(qA, dnsmsg.RcodeSuccess,
				rrA("other.example.", "192.0.3.66", 300),
				rrA("www.b.example.", "192.0.3.1", 300),
				rrCNAME("www.A.example.", "www.b.example.", 50),
				rrDNAME("a.example.", "b.example.", 50),
				rrCNAME("WWW.example.", "www.a.example.", 50),
				rrCNAME("loop.example.", "loop.example.", 50))},
			verdict: synthesised,
			want: []string{
				"WWW.example. 50 IN CNAME www.a.example.",
				"a.example. 50 IN DNAME b.example.",
				"www.A.example. 50 IN CNAME www.b.example.",
				"www.b.example. 120 IN AAAA 64:ff9b::c000:301",
			},
		},
		{
			name: "aliases in a circle",
			aaaa: nodata,
			a: outcome{msg: response(qA, dnsmsg.RcodeSuccess,
				rrCNAME(www, "b.example.", 50), rrCNAME("b.example.", www, 50))},
			verdict: native,
			want:    []string{"authority example. 900 IN SOA ns. root. 0 0 0 0 120"},
		},
		{
			name: "signatures over A go, over aliases stay; AD if both were authentic (5.5)",
			aaaa: outcome{msg: authentic(response(q, dnsmsg.RcodeSuccess, soa))},
			a: outcome{msg: authentic(response(qA, dnsmsg.RcodeSuccess,
				rrCNAME(www, "b.example.", 50), rrSig(www, dnsmsg.TypeCNAME),
				rrA("b.example.", "192.0.3.1", 300), rrSig("b.example.", dnsmsg.TypeA)))},
			verdict: synthesised,
			want: []string{
				"www.example. 50 IN CNAME b.example.",
				"www.example. 300 IN RRSIG CNAME 0 0 0 19700101000000 19700101000000 0 example. AAAA",
				"b.example. 120 IN AAAA 64:ff9b::c000:301",
			},
			ad: true,
		},
		{
			name:    "no AD if only A was authentic (5.5)",
			aaaa:    nodata,
			a:       outcome{msg: authentic(response(qA, dnsmsg.RcodeSuccess, rrA(www, "192.0.3.1", 300)))},
			verdict: synthesised,
			want:    []string{"www.example. 120 IN AAAA 64:ff9b::c000:301"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.prefix == "" {
				tt.prefix = "64:ff9b::/96"
			}
			got, v := testRules(t, tt.prefix).answer(q, tt.aaaa, tt.a)
			if v != tt.verdict {
				t.Errorf("verdict %d, want %d", v, tt.verdict)
			}
			if got.Rcode != tt.rcode {
				t.Errorf("response code %d, want %d", got.Rcode, tt.rcode)
			}
			if diff := cmp.Diff(tt.want, text(got)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if got.AuthenticatedData != tt.ad {
				t.Errorf("AD %v, want %v", got.AuthenticatedData, tt.ad)
			}
			if len(got.Question) != 1 || got.Question[0] != q {
				t.Errorf("question %v, want %v", got.Question, q)
			}
			if tt.verdict == failed && len(dnsmsg.EDEs(got)) == 0 {
				t.Error("failure without an extended error")
			}
		})
	}
}

func TestRepresentSpecial(t *testing.T) {
	addr := netip.MustParseAddr("10.1.2.3")
	for _, tt := range []struct {
		prefix  string
		special []netip.Prefix
		want    bool
	}{
		{"2001:db8:64::/96", nil, false},
		{"2001:db8:64::/96", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, true},
		{"64:ff9b::/96", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, false}, // RFC 6052, 3.1
	} {
		r := testRules(t, tt.prefix)
		r.special = tt.special
		if _, got := r.represent(addr); got != tt.want {
			t.Errorf("%s under %s with %v: represented %v, want %v", addr, tt.prefix, tt.special, got, tt.want)
		}
	}
}
