package probe

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unhex reads hexadecimal with blanks.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPackQuery(t *testing.T) {
	got, err := packQuery(0x1234, "v4.Example.", TypeAAAA)
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(t, "1234 0100 0001 0000 0000 0000  02 7634 07 4578616d706c65 00  001c 0001")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := packQuery(1, ".", TypeNS); err != nil || len(got) != 17 {
		t.Errorf("root: %x, %v", got, err)
	}
	for _, name := range []string{"a..b", strings.Repeat("a", 64), strings.Repeat("a.", 128)} {
		if _, err := packQuery(1, name, TypeA); err == nil {
			t.Errorf("no error for %q", name)
		}
	}
}

func TestParseAnswer(t *testing.T) {
	const question = "02 7634 07 6578616d706c65 00 001c 0001"
	for _, tc := range []struct {
		name    string
		in      string
		want    Answer
		wantErr bool
		other   bool
	}{
		{
			name: "synthesised behind a CNAME",
			in: "1234 81a0 0001 0002 0000 0000" + question +
				"c00c 0005 0001 0000003c 0006 03 777777 c00f" +
				"c028 001c 0001 0000003c 0010 0064ff9b 00000000 00000000 cb007205",
			want: Answer{
				RecursionAvailable: true, Authenticated: true,
				Records: []Record{
					{Name: "v4.example", Type: TypeCNAME, TTL: 60, Target: "www.example"},
					{Name: "www.example", Type: TypeAAAA, TTL: 60, Addr: netip.MustParseAddr("64:ff9b::cb00:7205")},
				},
			},
		},
		{name: "refused", in: "1234 8005 0001 0000 0000 0000" + question, want: Answer{RCode: Refused}},
		{name: "refused without question", in: "1234 8005 0000 0000 0000 0000", want: Answer{RCode: Refused}},
		{name: "no data, authoritative", in: "1234 8500 0001 0000 0000 0000" + question, want: Answer{Authoritative: true}},
		{
			name: "truncated inside a record", in: "1234 8380 0001 0001 0000 0000" + question + "c00c 001c 00",
			want: Answer{Truncated: true, RecursionAvailable: true},
		},
		{
			name: "address of version 4", in: "1234 8180 0001 0001 0000 0000" + question + "c00c 0001 0001 00000001 0004 cb007205",
			want: Answer{RecursionAvailable: true, Records: []Record{{Name: "v4.example", Type: TypeA, TTL: 1, Addr: netip.MustParseAddr("203.0.114.5")}}},
		},
		{name: "other ID", in: "1235 8180 0001 0000 0000 0000" + question, other: true},
		{name: "a question", in: "1234 0100 0001 0000 0000 0000" + question, other: true},
		{name: "other question", in: "1234 8180 0001 0000 0000 0000 02 7635 07 6578616d706c65 00 001c 0001", other: true},
		{name: "other type", in: "1234 8180 0001 0000 0000 0000 02 7634 07 6578616d706c65 00 0001 0001", other: true},
		{name: "short", in: "1234", other: true},
		{name: "cut record", in: "1234 8180 0001 0001 0000 0000" + question + "c00c 001c", wantErr: true},
		{name: "cut data", in: "1234 8180 0001 0001 0000 0000" + question + "c00c 001c 0001 00000001 0010 00", wantErr: true},
		{name: "pointer to itself", in: "1234 8180 0001 0001 0000 0000" + question + "c01c 001c 0001 00000001 0000", wantErr: true},
		{name: "pointer loop", in: "1234 8180 0001 0001 0000 0000" + question + "01 61 c01c 001c 0001 00000001 0000", wantErr: true},
		{name: "wrong size of AAAA", in: "1234 8180 0001 0001 0000 0000" + question + "c00c 001c 0001 00000001 0004 00000000", wantErr: true},
		{name: "rest behind CNAME", in: "1234 8180 0001 0001 0000 0000" + question + "c00c 0005 0001 00000001 0003 c00c 00", wantErr: true},
		{name: "extended label", in: "1234 8180 0001 0001 0000 0000" + question + "41 00", wantErr: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseAnswer(unhex(t, tc.in), 0x1234, "v4.example", TypeAAAA)
			if (err != nil) != (tc.wantErr || tc.other) || errors.Is(err, errOther) != tc.other {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err == nil && diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnswerAddrs(t *testing.T) {
	one, two := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	a := Answer{Records: []Record{
		{Name: "b.example", Type: TypeAAAA, Addr: one},
		{Name: "a.example", Type: TypeCNAME, Target: "b.example"},
		{Name: "other.example", Type: TypeAAAA, Addr: two},
		{Name: "loop.example", Type: TypeCNAME, Target: "loop.example"},
	}}
	for name, want := range map[string][]netip.Addr{
		"A.example.": {one}, "b.example": {one}, "other.example": {two}, "loop.example": nil, "none.example": nil,
	} {
		if diff := cmp.Diff(want, a.Addrs(name, TypeAAAA), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(unhex(f, "1234 81a0 0001 0002 0000 0000 02 7634 07 6578616d706c65 00 001c 0001"+
		"c00c 0005 0001 0000003c 0006 03 777777 c00f c028 001c 0001 0000003c 0010 0064ff9b 00000000 00000000 cb007205"))
	f.Add(unhex(f, "1234 8180 0000 0001 0000 0000 01 61 c00c 001c 0001 00000001 0000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAnswer(b, 0x1234, "v4.example", TypeAAAA)
		if err != nil {
			return
		}
		for _, r := range a.Records {
			if len(r.Name) > 255+63 || len(r.Target) > 255+63 {
				t.Errorf("name of %d, target of %d bytes", len(r.Name), len(r.Target))
			}
		}
		a.Addrs("v4.example", TypeAAAA)
	})
}

func FuzzParseEcho(f *testing.F) {
	f.Add(packEcho(nil, echo{id: 1, cookie: 2, seq: 3, sent: 4}, true), true)
	f.Add(append(make([]byte, 20), packEcho(nil, echo{id: 1}, false)...), false)
	f.Fuzz(func(t *testing.T, b []byte, six bool) { parseEcho(b, six) })
}

func TestEcho(t *testing.T) {
	e := echo{id: 0xbeef, cookie: 1<<63 + 1, seq: 70000, sent: 123456789}
	for _, six := range []bool{false, true} {
		b := packEcho(nil, e, six)
		if len(b) != echoSize {
			t.Errorf("%d bytes, want %d", len(b), echoSize)
		}
		if _, ok := parseEcho(b, six); ok {
			t.Error("a request passes for a reply")
		}
		if six {
			b[0] = echoReply6
		} else {
			if sum := checksum(b); sum != 0 {
				t.Errorf("sum over the whole is %#x, want 0", sum)
			}
			b[0] = echoReply4
			b = append(append([]byte{0x45}, make([]byte, 19)...), b...)
		}
		got, ok := parseEcho(b, six)
		if !ok || got != e {
			t.Errorf("got %+v %t, want %+v", got, ok, e)
		}
	}
}

// ExampleUnanswered shows how attempts are judged.
func ExampleUnanswered() {
	err := Unanswered(
		Attempt{What: "TCP", To: "[2001:db8::1]:80", Outcome: Silent, Err: ErrNoAnswer},
		Attempt{What: "ping", To: "64:ff9b::a00:1", Outcome: RefusedBy, Err: ErrRefused},
		Attempt{What: "DNS", To: "[2001:db8::1]:53", Outcome: Answered, Detail: "response code 0, 1 records"},
	)
	fmt.Println(err)
	// Output: DNS to [2001:db8::1]:53: answered, response code 0, 1 records
}
