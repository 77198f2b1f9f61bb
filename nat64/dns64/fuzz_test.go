package dns64

import (
	"testing"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

func mustQuery(f *testing.F, q dnsmsg.Question, o dnsmsg.QueryOptions) []byte {
	f.Helper()
	b, err := dnsmsg.Query(7, q, o)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// FuzzQuery: whatever a client sends, the reply fits what it takes, repeats ID
// and question, and can be parsed.
func FuzzQuery(f *testing.F) {
	f.Add(mustQuery(f, ask("www.example.", dnsmsg.TypeAAAA), dnsmsg.QueryOptions{RD: true}))
	f.Add(mustQuery(f, ask("WWW.example.", dnsmsg.TypeTXT), dnsmsg.QueryOptions{RD: true, CD: true, DO: true, UDPSize: 1232}))
	f.Add(mustQuery(f, ask("ipv4only.arpa.", dnsmsg.TypeAAAA), dnsmsg.QueryOptions{UDPSize: 1}))
	r := testRules(f, "64:ff9b::/96")
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, udp := range []bool{true, false} {
			q, reply, ok := understand(b, udp)
			if !ok {
				if len(reply) != 0 && (len(reply) != dnsmsg.HeaderLen || reply[0] != b[0] || reply[1] != b[1] || reply[2]&0x80 == 0) {
					t.Fatalf("error reply % x to % x", reply, b)
				}
				continue
			}
			if q.refusal >= 0 {
				back, err := dnsmsg.Parse((&Server{}).refuse(q, nil, q.refusal))
				if err != nil || back.Id != q.msg.Id {
					t.Fatalf("refusal of % x: %v, %v", b, back, err)
				}
				continue
			}
			question := q.key.question().Question
			m := r.local(question, false)
			if m == nil {
				m = response(question, dnsmsg.RcodeSuccess)
				for range 40 {
					m.Answer = append(m.Answer, rrAAAA(question.Name, "2001:db8::1", 60))
				}
			}
			a, err := dnsmsg.NewAnswer(m)
			if err != nil {
				t.Fatalf("pack the answer to % x: %v", b, err)
			}
			out := a.Append(nil, q.reply)
			if len(out) > q.reply.Limit {
				t.Fatalf("%d bytes where %d fit", len(out), q.reply.Limit)
			}
			back, err := dnsmsg.Parse(out)
			if err != nil {
				t.Fatalf("reply % x: %v", out, err)
			}
			if back.Id != q.msg.Id || !back.Response || !back.RecursionAvailable || back.Question[0] != q.msg.Question[0] {
				t.Fatalf("query %v\nreply %v", q.msg, back)
			}
			if (back.IsEdns0() != nil) != q.reply.EDNS {
				t.Fatalf("EDNS: query %v, reply %v", q.reply.EDNS, back.IsEdns0() != nil)
			}
		}
	})
}

// FuzzResponse: whatever an upstream sends, the answer made of it can be packed,
// sent and parsed, holds no excluded address, and no signature over what was
// changed.
func FuzzResponse(f *testing.F) {
	q := question{Question: ask("www.example.", dnsmsg.TypeAAAA)}
	sent, err := newQuery(q, dnsmsg.QueryOptions{RD: true})
	if err != nil {
		f.Fatal(err)
	}
	sent[0], sent[1] = 0, 7
	lower(sent[dnsmsg.HeaderLen:])
	for _, m := range []*dnsmsg.Msg{
		response(q.Question, 0, rrCNAME("www.example.", "b.example.", 60), rrA("b.example.", "192.0.3.1", 60)),
		response(q.Question, 0, rrDNAME("example.", "test.", 60), rrCNAME("www.example.", "www.test.", 60), rrAAAA("www.test.", "::ffff:1.2.3.4", 60), rrSig("www.test.", dnsmsg.TypeAAAA)),
		response(q.Question, dnsmsg.RcodeNameError, rrSOA("example.", 60, 60)),
		withEDE(response(q.Question, dnsmsg.RcodeServerFailure), dnsmsg.EDEDNSBogus),
	} {
		m.Id = 7
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b)
	}
	r := testRules(f, "64:ff9b::/96")
	f.Fuzz(func(t *testing.T, aaaaBytes, aBytes []byte) {
		var aaaa, a outcome
		aaaa.msg, _ = match(sent, aaaaBytes, true)
		a.msg, _ = match(sent, aBytes, true)
		for _, o := range []outcome{aaaa, a} {
			if o.msg != nil && len(o.msg.Question) != 1 {
				return // a header alone; the exchange deals with it
			}
		}
		m, v := r.answer(q.Question, aaaa, a)
		for _, rr := range m.Answer {
			if v6, ok := addrOf(rr); ok && r.excluded(v6) {
				t.Fatalf("excluded address in %v", m)
			}
			if sig, ok := rr.(*dnsmsg.RRSIG); ok && v == synthesised && sig.TypeCovered != dnsmsg.TypeCNAME && sig.TypeCovered != dnsmsg.TypeDNAME {
				t.Fatalf("signature over what was made up in %v", m)
			}
		}
		answer, err := dnsmsg.NewAnswer(m)
		if err != nil {
			return // what the library reads and can't write becomes SERVFAIL
		}
		if _, err := answer.Message(30); err != nil {
			t.Fatalf("%v\nfrom %v", err, m)
		}
		if lifetime(m) < 0 {
			t.Fatalf("lifetime %s", lifetime(m))
		}
	})
}

func FuzzIP6Arpa(f *testing.F) {
	f.Add("1.0.3.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa.")
	f.Add("ip6.arpa.")
	f.Fuzz(func(t *testing.T, name string) {
		if a, ok := parseIP6Arpa(name); ok && !a.Is6() {
			t.Errorf("%q is %s", name, a)
		}
	})
}
