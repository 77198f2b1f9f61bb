package dns64

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

const exampleZone = `$TTL 300
@       IN SOA ns root 1 7200 3600 604800 120
@       IN NS ns
ns      IN A 192.0.3.53
v4      IN A 192.0.3.1
v4two   IN A 192.0.3.1
v4two   IN A 192.0.3.2
v6      IN AAAA 2001:db8::6
dual    IN A 192.0.3.1
dual    IN AAAA 2001:db8::6
mapped  IN AAAA ::ffff:192.0.3.9
mapped  IN A 192.0.3.1
mixed   IN AAAA ::ffff:192.0.3.9
mixed   IN AAAA 2001:db8::6
mixed   IN A 192.0.3.1
alias   IN CNAME v4
alias2  IN CNAME alias
away    IN CNAME www.tree
tree    IN DNAME forest
www.forest IN A 192.0.3.7
private IN A 10.0.0.1
mail    IN MX 10 v4
txt     IN TXT "hello"
short   7 IN A 192.0.3.8
`

const reverseZone = `$TTL 300
@ IN SOA ns.example. root.example. 1 7200 3600 604800 120
@ IN NS ns.example.
1 IN PTR v4.example.
`

func bigZone() string {
	var b strings.Builder
	b.WriteString("big IN TXT")
	for range 40 {
		b.WriteString(` "` + strings.Repeat("x", 100) + `"`)
	}
	return b.String() + "\n"
}

// authority runs a named that knows the test zones and says it can recurse.
func authority(t testing.TB, ns *netns.NS) netip.AddrPort {
	return named(t, ns, "5301", `options {`+namedOptions+`
	listen-on port 5301 { 127.0.0.1; }; recursion yes; empty-zones-enable no; dnssec-validation no;
	forwarders { 127.0.0.1 port 9; }; forward only;
	};
	zone "example" { type primary; file "example.zone"; };
	zone "3.0.192.in-addr.arpa" { type primary; file "reverse.zone"; };`,
		map[string]string{"example.zone": exampleZone + bigZone(), "reverse.zone": reverseZone})
}

// dig asks as a guest and returns the status and the sorted records of the
// answer, white space squeezed.
func dig(t testing.TB, ns *netns.NS, server netip.AddrPort, args ...string) (status string, answer []string, whole string) {
	t.Helper()
	all := append([]string{"@" + server.Addr().String(), "-p", portOf(server)}, args...)
	if server.Addr().Is6() {
		all = append(all, "-b", guestAddr)
	}
	whole = nstest.Output(t, ns, "dig", append(all, "+time=6", "+tries=1")...)
	section := ""
	for line := range strings.Lines(whole) {
		line = strings.TrimSpace(line)
		switch {
		case strings.Contains(line, "status: "):
			status, _, _ = strings.Cut(line[strings.Index(line, "status: ")+8:], ",")
		case strings.HasPrefix(line, ";;") && strings.Contains(line, "SECTION"):
			section = line
		case strings.HasPrefix(section, ";; ANSWER") && line != "" && !strings.HasPrefix(line, ";"):
			answer = append(answer, strings.Join(strings.Fields(line), " "))
		case line == "":
			section = ""
		}
	}
	slices.Sort(answer)
	return status, answer, whole
}

func portOf(a netip.AddrPort) string {
	s := a.String()
	return s[strings.LastIndexByte(s, ':')+1:]
}

func TestDigThroughServer(t *testing.T) {
	ns := namespace(t)
	up := authority(t, ns)
	s, at := serve(t, ns, Config{Upstreams: []netip.AddrPort{up}})
	for _, tt := range []struct {
		args   string
		status string
		want   []string
		has    []string
	}{
		{args: "v4.example AAAA", status: "NOERROR", want: []string{"v4.example. 120 IN AAAA 64:ff9b::c000:301"}, has: []string{" ra", " qr"}},
		{args: "V4.eXample AAAA", status: "NOERROR", want: []string{"V4.eXample. 120 IN AAAA 64:ff9b::c000:301"}},
		{args: "+tcp v4two.example AAAA", status: "NOERROR", want: []string{
			"v4two.example. 120 IN AAAA 64:ff9b::c000:301", "v4two.example. 120 IN AAAA 64:ff9b::c000:302"}},
		{args: "v4.example A", status: "NOERROR", want: []string{"v4.example. 300 IN A 192.0.3.1"}},
		{args: "mapped.example AAAA", status: "NOERROR", want: []string{"mapped.example. 300 IN AAAA 64:ff9b::c000:301"}},
		{args: "private.example AAAA", status: "NOERROR", has: []string{"SOA"}},
		{args: "private.example A", status: "NOERROR", want: []string{"private.example. 300 IN A 10.0.0.1"}},
		{args: "none.example AAAA", status: "NXDOMAIN", has: []string{"SOA"}},
		{args: "ipv4only.arpa AAAA", status: "NOERROR", want: []string{
			"ipv4only.arpa. 86400 IN AAAA 64:ff9b::c000:aa", "ipv4only.arpa. 86400 IN AAAA 64:ff9b::c000:ab"}},
		{args: "-x 64:ff9b::c000:aa", status: "NOERROR", want: []string{
			"170.0.0.192.in-addr.arpa. 86400 IN PTR ipv4only.arpa.",
			"a.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa. 600 IN CNAME 170.0.0.192.in-addr.arpa."}},
		{args: "-x 64:ff9b::c000:301", status: "NOERROR", want: []string{
			"1.0.3.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa. 600 IN CNAME 1.3.0.192.in-addr.arpa.",
			"1.3.0.192.in-addr.arpa. 300 IN PTR v4.example."}},
		{args: "mail.example MX", status: "NOERROR", want: []string{"mail.example. 300 IN MX 10 v4.example."}},
		{args: "+dnssec +cdflag v4.example AAAA", status: "NOERROR", has: []string{" cd", "flags: do"}},
		{args: "+ignore +bufsize=512 big.example TXT", status: "NOERROR", has: []string{" tc"}},
		{args: "+noedns +ignore big.example TXT", status: "NOERROR", has: []string{" tc"}},
		{args: "+bufsize=4096 +ignore big.example TXT", status: "NOERROR", has: []string{" tc"}},
		{args: "big.example TXT", status: "NOERROR", has: []string{"xxxx", "(TCP)"}},
		{args: "+edns=1 +noednsneg v4.example AAAA", status: "BADVERS"},
		{args: "+opcode=notify v4.example SOA", status: "NOTIMP"},
		{args: "CH version.bind TXT", status: "REFUSED"},
		{args: "+norec uncached.example A", status: "REFUSED"},
		{args: "+tcp example AXFR", has: []string{"Transfer failed"}},
	} {
		status, answer, whole := dig(t, ns, at, strings.Fields(tt.args)...)
		if status != tt.status {
			t.Errorf("dig %s: status %s, want %s\n%s", tt.args, status, tt.status, whole)
		}
		if diff := cmp.Diff(tt.want, answer); diff != "" && (tt.want != nil || len(tt.has) == 0) {
			t.Errorf("dig %s: answer (-want +got):\n%s", tt.args, diff)
		}
		for _, h := range tt.has {
			if !strings.Contains(whole, h) {
				t.Errorf("dig %s: no %q in\n%s", tt.args, h, whole)
			}
		}
	}
	if st := s.Stats(); st.Synthesised == 0 || st.Local == 0 || st.Reverse == 0 || st.Truncated == 0 || st.TCPQueries == 0 || st.CacheEntries == 0 {
		t.Errorf("counters were not counted: %+v", st)
	}
}

// TestSameAsBIND asks BIND's own DNS64 and ours about the same data. They must
// agree except where listed, and then for the reason given.
func TestSameAsBIND(t *testing.T) {
	ns := namespace(t)
	up := authority(t, ns)
	bind := named(t, ns, "5302", `options {`+namedOptions+`
	listen-on port 5302 { 127.0.0.1; }; recursion yes; empty-zones-enable no; dnssec-validation no;
	forwarders { 127.0.0.1 port 5301; }; forward only;
	dns64 64:ff9b::/96 { clients { any; }; exclude { ::ffff:0:0/96; }; };
	};`, map[string]string{})
	_, ours := serve(t, ns, Config{Upstreams: []netip.AddrPort{up}})
	differs := map[string]string{
		"private.example AAAA": "RFC 1918 addresses are not synthesised here",
	}
	begun := time.Now()
	for _, question := range []string{
		"v4.example AAAA", "v4two.example AAAA", "v6.example AAAA", "dual.example AAAA", "mapped.example AAAA",
		"mixed.example AAAA", "alias.example AAAA", "alias2.example AAAA", "away.example AAAA", "www.tree.example AAAA",
		"private.example AAAA", "none.example AAAA", "short.example AAAA", "txt.example AAAA", "txt.example TXT",
		"v4.example A", "mail.example MX", "example SOA", "example NS", "tree.example DNAME",
		"+dnssec v4.example AAAA", "+dnssec dual.example AAAA",
		"+cdflag v4.example AAAA", "-x 64:ff9b::c000:301", "-x 192.0.3.1",
	} {
		args := strings.Fields(question)
		wantStatus, want, _ := dig(t, ns, bind, args...)
		status, got, whole := dig(t, ns, ours, args...)
		same := wantStatus == status && sameRecords(want, got, 2*time.Second+time.Since(begun))
		if why, ok := differs[question]; ok {
			if same {
				t.Errorf("%s: same as BIND, although %s", question, why)
			}
			continue
		}
		if !same {
			t.Errorf("%s: status %s (BIND) and %s, answer (-BIND +ours):\n%s\n%s", question, wantStatus, status, cmp.Diff(want, got), whole)
		}
	}
}

// sameRecords compares records as dig prints them. TTLs may be some time apart:
// each server's cache counts down from when it asked.
func sameRecords(a, b []string, apart time.Duration) bool {
	return slices.EqualFunc(a, b, func(a, b string) bool {
		x, y := strings.Fields(a), strings.Fields(b)
		if len(x) < 2 || len(y) < 2 {
			return a == b
		}
		xTTL, err1 := strconv.Atoi(x[1])
		yTTL, err2 := strconv.Atoi(y[1])
		x[1], y[1] = "", ""
		return err1 == nil && err2 == nil && max(xTTL-yTTL, yTTL-xTTL) <= int(apart.Seconds()) && slices.Equal(x, y)
	})
}
