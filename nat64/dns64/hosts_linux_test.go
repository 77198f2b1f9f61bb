package dns64

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/dnsmsg"
	"github.com/sixhost/sixhost/internal/nstest"
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// digCase is a question and what comes back.
type digCase struct {
	args, status string
	want         []string
}

func TestHosts(t *testing.T) {
	ns := namespace(t)
	up := authority(t, ns)
	s, at := serve(t, ns, Config{Upstreams: []netip.AddrPort{up}, Hosts: []Host{
		{Name: "Web.Example", Addrs: addrs("2001:db8:1:3::77")},
		{Name: "www.example.", Addrs: addrs("2001:db8:1:3::77")},
		{Name: "mail.example", Addrs: addrs("2001:db8:1:3::78", "203.0.113.77")},
		{Name: "old.example", Addrs: addrs("198.51.100.1", "192.0.3.44")},
		{Name: "nobody.example"},
	}})
	check := func(cases []digCase) {
		t.Helper()
		for _, tt := range cases {
			status, answer, whole := dig(t, ns, at, strings.Fields(tt.args)...)
			if d := cmp.Diff(tt.want, steady(answer)); d != "" || status != tt.status {
				t.Errorf("%s: %s, want %s (-want +got)\n%s\n%s", tt.args, status, tt.status, d, whole)
			}
		}
	}
	// Kept from before it is a host.
	check([]digCase{{args: "later.example AAAA", status: "NXDOMAIN"}, {args: "v4.example AAAA", status: "NOERROR", want: []string{"v4.example. IN AAAA 64:ff9b::c000:301"}}})

	check([]digCase{
		{"web.example AAAA", "NOERROR", []string{"web.example. 10 IN AAAA 2001:db8:1:3::77"}},
		{"WEB.example AAAA +tcp", "NOERROR", []string{"WEB.example. 10 IN AAAA 2001:db8:1:3::77"}},
		{"web.example AAAA +norecurse", "NOERROR", []string{"web.example. 10 IN AAAA 2001:db8:1:3::77"}},
		{"web.example A", "NOERROR", nil},
		{"www.example AAAA", "NOERROR", []string{"www.example. 10 IN AAAA 2001:db8:1:3::77"}},
		// A name that the upstream has other records of.
		{"mail.example A", "NOERROR", []string{"mail.example. 10 IN A 203.0.113.77"}},
		{"mail.example MX", "NOERROR", []string{"mail.example. IN MX 10 v4.example."}},
		// One that it does not have at all.
		{"web.example TXT", "NOERROR", nil},
		{"nowhere.example TXT", "NXDOMAIN", nil},
		// IPv4 alone: synthesised as anybody's, and no documentation address.
		{"old.example AAAA", "NOERROR", []string{"old.example. 10 IN AAAA 64:ff9b::c000:32c"}},
		{"-x 2001:db8:1:3::77", "NOERROR", []string{ptrOf("2001:db8:1:3::77") + " 10 IN PTR web.example."}},
		{"-x 203.0.113.77", "NOERROR", []string{"77.113.0.203.in-addr.arpa. 10 IN PTR mail.example."}},
		// Who validates by himself hears the world's word.
		{"web.example AAAA +dnssec +cdflag", "NXDOMAIN", nil},
	})

	if err := s.SetHosts([]Host{{Name: "later.example", Addrs: addrs("2001:db8:1:3::79")}, {Name: "v4.example", Addrs: addrs("2001:db8:1:3::80")}}); err != nil {
		t.Fatal(err)
	}
	check([]digCase{
		{"later.example AAAA", "NOERROR", []string{"later.example. 10 IN AAAA 2001:db8:1:3::79"}},
		{"v4.example AAAA", "NOERROR", []string{"v4.example. 10 IN AAAA 2001:db8:1:3::80"}},
		{"web.example AAAA", "NXDOMAIN", nil},
	})
	if err := s.SetHosts([]Host{{Name: "web.example", Addrs: addrs("2001:db8:1:3::77")}, {Name: "a b.example"}}); err == nil {
		t.Error("a name with a blank is taken")
	}
	check([]digCase{{"later.example AAAA", "NOERROR", []string{"later.example. 10 IN AAAA 2001:db8:1:3::79"}}})
	if err := s.SetHosts(nil); err != nil {
		t.Fatal(err)
	}
	check([]digCase{
		{args: "later.example AAAA", status: "NXDOMAIN"},
		{args: "v4.example AAAA", status: "NOERROR", want: []string{"v4.example. IN AAAA 64:ff9b::c000:301"}},
	})
}

// ptrOf is the name of an address's PTR record.
func ptrOf(a string) string {
	b := netip.MustParseAddr(a).As16()
	const digits = "0123456789abcdef"
	var name strings.Builder
	for i := 15; i >= 0; i-- {
		name.WriteString(string(digits[b[i]&15]) + "." + string(digits[b[i]>>4]) + ".")
	}
	return name.String() + "ip6.arpa."
}

// One client gets nothing synthesised, and others are not held to it.
func TestNoSynthesis(t *testing.T) {
	ns := namespace(t)
	_, at := serve(t, ns, Config{
		Upstreams:   []netip.AddrPort{authority(t, ns)},
		NoSynthesis: []netip.Prefix{netip.MustParsePrefix(guestAddr + "/128")},
		Hosts:       []Host{{Name: "old.example", Addrs: addrs("192.0.3.44")}},
	})
	// Whoever asks first must not decide for the other: both orders.
	for range 2 {
		for _, tt := range []digCase{
			{"v4.example AAAA", "NOERROR", nil},
			{"v4.example A", "NOERROR", []string{"v4.example. IN A 192.0.3.1"}},
			{"v4.example AAAA +tcp", "NOERROR", nil},
			{"dual.example AAAA", "NOERROR", []string{"dual.example. IN AAAA 2001:db8::6"}},
			{"ipv4only.arpa AAAA", "NOERROR", nil},
			{"old.example AAAA", "NOERROR", nil},
		} {
			status, answer, whole := dig(t, ns, at, strings.Fields(tt.args)...)
			if d := cmp.Diff(tt.want, steady(answer)); d != "" || status != tt.status {
				t.Errorf("%s: %s, want %s (-want +got)\n%s\n%s", tt.args, status, tt.status, d, whole)
			}
		}
		out := nstest.Output(t, ns, "dig", "@"+at.Addr().String(), "-p", portOf(at), "-b", strangerOfThePrefix, "+short", "+time=6", "+tries=1", "v4.example", "AAAA")
		if strings.TrimSpace(out) != "64:ff9b::c000:301" {
			t.Errorf("another client gets %q", out)
		}
	}
}

// strangerOfThePrefix is another client: the server's own address.
const strangerOfThePrefix = serverAddr

// steady leaves the TTL out of records of which a cache has taken time off: all
// but those of hosts.
func steady(answer []string) (out []string) {
	for _, record := range answer {
		if f := strings.Fields(record); f[1] != strconv.Itoa(hostTTL) {
			record = strings.Join(append(f[:1:1], f[2:]...), " ")
		}
		out = append(out, record)
	}
	return out
}

func FuzzHosts(f *testing.F) {
	f.Add("web.example", "WEB.example.", uint16(28))
	f.Add("a..b", ".", uint16(12))
	f.Add("7.113.0.203.in-addr.arpa", "7.113.0.203.in-addr.arpa.", uint16(12))
	f.Fuzz(func(t *testing.T, name, asked string, qtype uint16) {
		all, err := newHosts([]Host{{Name: name, Addrs: addrs("2001:db8::7", "203.0.113.7")}})
		if err != nil {
			return
		}
		for _, n := range []string{name, asked} {
			m := all.answer(testRules(t, "64:ff9b::/96"), ask(dnsmsg.CanonicalName(n), qtype), false)
			if m == nil {
				continue
			}
			if _, err := dnsmsg.NewAnswer(m); err != nil {
				t.Errorf("%q: %v", n, err)
			}
		}
	})
}

// What of a list is there is there as a whole: names of one list have addresses
// of the same list.
func TestHostsChangeAsAWhole(t *testing.T) {
	lists := [2][]Host{}
	for i := range lists {
		for _, n := range []string{"a.example", "b.example"} {
			lists[i] = append(lists[i], Host{Name: n, Addrs: addrs([]string{"2001:db8::1", "2001:db8::2"}[i])})
		}
	}
	ns := namespace(t)
	s, _ := serve(t, ns, Config{Upstreams: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}, Hosts: lists[0]})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			if err := s.SetHosts(lists[i%2]); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 2000 {
		// A reader takes the list once, and all it knows is of it.
		h := s.resolver.hosts.Load()
		if a, b := h.names["a.example."], h.names["b.example."]; len(a) != 1 || len(b) != 1 || a[0] != b[0] || h.back[a[0]] != "a.example." {
			t.Fatalf("%v and %v", a, b)
		}
		if s.resolver.host(key{name: "a.example.", rrtype: dnsmsg.TypeAAAA}) == nil {
			t.Fatal("for a moment there is no such name")
		}
	}
	cancel()
	<-done
}
