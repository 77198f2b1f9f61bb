package dnsmsg

import (
	"bytes"
	"errors"
	"net"
	"testing"
)

func answerFor(t testing.TB, m *Msg) *Answer {
	t.Helper()
	a, err := NewAnswer(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func aRecord(name string, ttl uint32) RR {
	return &A{Hdr: RRHeader{Name: name, Rrtype: TypeA, Class: ClassINET, Ttl: ttl}, A: net.IPv4(192, 0, 2, 1)}
}

func testMessage(records int) *Msg {
	m := &Msg{Question: []Question{{Name: "www.example.", Qtype: TypeA, Qclass: ClassINET}}}
	m.Response = true
	for i := range records {
		m.Answer = append(m.Answer, aRecord("www.example.", uint32(10*i+10)))
	}
	return m
}

func TestAnswerAppend(t *testing.T) {
	query, err := Query(0x1234, Question{Name: "wWw.eXample.", Qtype: TypeA, Qclass: ClassINET}, QueryOptions{RD: true, CD: true})
	if err != nil {
		t.Fatal(err)
	}
	m := testMessage(2)
	m.AuthenticatedData, m.Authoritative = true, true
	SetEDEs(m, &EDE{InfoCode: EDEOther, ExtraText: "why"})
	a := answerFor(t, m)
	for _, tt := range []struct {
		name      string
		r         Reply
		truncated bool
		ad        bool
		ttls      []uint32
	}{
		{name: "plain", r: Reply{Limit: 512}, ttls: []uint32{10, 20}},
		{name: "aged", r: Reply{Limit: 512, Age: 15, AD: true}, ttls: []uint32{0, 5}, ad: true},
		{name: "EDNS", r: Reply{Limit: 512, EDNS: true, UDPSize: 1232, DO: true}, ttls: []uint32{10, 20}},
		{name: "too long", r: Reply{Limit: 60}, truncated: true},
		{name: "too long with EDNS", r: Reply{Limit: 80, EDNS: true, UDPSize: 1232}, truncated: true},
		{name: "too long even for the extended error", r: Reply{Limit: 45, EDNS: true, UDPSize: 1232}, truncated: true},
	} {
		tt.r.Query = query
		b := a.Append([]byte("before"), tt.r)
		if !bytes.HasPrefix(b, []byte("before")) || len(b)-6 > tt.r.Limit {
			t.Errorf("%s: % x", tt.name, b)
		}
		got, err := Parse(b[6:])
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got.Id != 0x1234 || got.Question[0].Name != "wWw.eXample." || !got.RecursionDesired || !got.CheckingDisabled ||
			!got.RecursionAvailable || got.Authoritative || got.Truncated != tt.truncated || got.AuthenticatedData != tt.ad {
			t.Errorf("%s: %v", tt.name, got)
		}
		var ttls []uint32
		for _, rr := range got.Answer {
			ttls = append(ttls, rr.Header().Ttl)
			if rr.Header().Name != "wWw.eXample." {
				t.Errorf("%s: owner %s", tt.name, rr.Header().Name)
			}
		}
		if len(ttls) != len(tt.ttls) || len(ttls) == 2 && (ttls[0] != tt.ttls[0] || ttls[1] != tt.ttls[1]) {
			t.Errorf("%s: TTLs %v, want %v", tt.name, ttls, tt.ttls)
		}
		opt := got.IsEdns0()
		if (opt != nil) != tt.r.EDNS || opt != nil && (opt.UDPSize() != 1232 || opt.Do() != tt.r.DO) {
			t.Errorf("%s: OPT %v", tt.name, opt)
		}
		if edes := EDEs(got); tt.r.EDNS && tt.r.Limit > 45 && (len(edes) != 1 || edes[0].ExtraText != "why") {
			t.Errorf("%s: extended errors %v", tt.name, edes)
		}
	}
	back, err := a.Message(5)
	if err != nil || len(back.Answer) != 2 || back.Answer[0].Header().Ttl != 5 || !back.AuthenticatedData || len(EDEs(back)) != 1 {
		t.Errorf("back as a message: %v, %v", back, err)
	}
}

func TestParseIsStrict(t *testing.T) {
	good, err := testMessage(1).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(good); err != nil {
		t.Error(err)
	}
	counts := func(i int, n byte) []byte {
		b := bytes.Clone(good)
		b[i] = n
		return b
	}
	opt := appendOPT(nil, 0, 1232, false, nil)
	for name, b := range map[string][]byte{
		"nothing":              nil,
		"half a header":        good[:7],
		"half a question":      good[:15],
		"half a record":        good[:len(good)-3],
		"a byte too many":      append(bytes.Clone(good), 0),
		"records missing":      counts(7, 2),
		"questions missing":    counts(5, 9),
		"OPT in the answer":    append(counts(7, 2), opt...),
		"two OPT":              append(append(counts(11, 2), opt...), opt...),
		"OPT with a name":      append(append(counts(11, 1), 1, 'a'), opt...),
		"label of another age": append(append(bytes.Clone(good[:12]), 0x40), good[13:]...),
	} {
		if m, err := Parse(b); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func TestDNSSECFailed(t *testing.T) {
	for code, want := range map[uint16]bool{0: false, 1: false, 2: false, 3: false, 5: true, 6: true, 7: true, 12: true, 13: false, 22: false, 25: true, 27: true} {
		m := testMessage(0)
		SetEDEs(m, &EDE{InfoCode: 22}, &EDE{InfoCode: code})
		if got := DNSSECFailed(m); got != want {
			t.Errorf("code %d: %v", code, got)
		}
	}
}

// FuzzParse: what is parsed can be made an answer that is parsed again, or is
// refused; the walk over records agrees with the library.
func FuzzParse(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		b, err := testMessage(n).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		records := 0
		if _, err := walk(b, func(record) error { records++; return nil }); err != nil {
			t.Fatal(err)
		}
		if got := len(m.Answer) + len(m.Ns) + len(m.Extra); got != records {
			t.Fatalf("%d records walked, %d parsed", records, got)
		}
		a, err := NewAnswer(m)
		if err != nil {
			return
		}
		if _, err := a.Message(1); err != nil {
			t.Fatalf("%v\n% x", err, a.wire)
		}
	})
}
