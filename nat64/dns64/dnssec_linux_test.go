package dns64

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/nstest"
)

// signZone signs a zone with the BIND tools and returns it, one record a line,
// and a trust anchor for it.
func signZone(t *testing.T, origin, content string) (signed, anchor string) {
	t.Helper()
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		cmd := exec.Command(nstest.Tool(t, name), args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	key := run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "-n", "ZONE", origin)
	if err := os.WriteFile(filepath.Join(dir, "zone"), []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	run("dnssec-signzone", "-q", "-z", "-S", "-O", "full", "-o", origin, "-f", "signed", "zone")
	b, err := os.ReadFile(filepath.Join(dir, "signed"))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile(filepath.Join(dir, key+".key"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`DNSKEY (\d+) (\d+) (\d+) (.+)`).FindStringSubmatch(string(pub))
	if m == nil {
		t.Fatalf("no key in\n%s", pub)
	}
	return string(b), origin + " static-key " + m[1] + " " + m[2] + " " + m[3] + ` "` + strings.ReplaceAll(m[4], " ", "") + `";`
}

// spoil breaks the signatures over one type of one name.
func spoil(t *testing.T, zone, name, covered string) string {
	t.Helper()
	re := regexp.MustCompile(`(?m)^(` + regexp.QuoteMeta(name) + `\s.*RRSIG\s+` + covered + `\s.*\s)(\S{10})(\S+=*)$`)
	if !re.MatchString(zone) {
		t.Fatalf("no signature over %s %s in\n%s", name, covered, zone)
	}
	return re.ReplaceAllStringFunc(zone, func(line string) string {
		m := re.FindStringSubmatch(line)
		return m[1] + "AAAAAAAAAA" + m[3]
	})
}

// TestDNSSEC puts a validating BIND before the server, which sends no extended
// errors for failed validation, and asks as the kinds of clients of RFC 6147, 5.5.
func TestDNSSEC(t *testing.T) {
	ns := namespace(t)
	zone, anchor := signZone(t, "signed.", `$TTL 300
@      IN SOA ns root 1 7200 3600 604800 120
@      IN NS ns
ns     IN A 192.0.3.53
v4     IN A 192.0.3.1
v6     IN AAAA 2001:db8::6
alias  IN CNAME v4
denial IN A 192.0.3.2
bada   IN A 192.0.3.3
`)
	zone = spoil(t, zone, "denial.signed.", "NSEC")
	zone = spoil(t, zone, "bada.signed.", "A")
	named(t, ns, "5301", `options {`+namedOptions+`
	listen-on port 5301 { 127.0.0.1; }; recursion yes; empty-zones-enable no; dnssec-validation no;
	forwarders { 127.0.0.1 port 9; }; forward only;
	};
	zone "signed" { type primary; file "signed.zone"; };
	zone "example" { type primary; file "example.zone"; };`,
		map[string]string{"signed.zone": zone, "example.zone": exampleZone})
	validator := named(t, ns, "5302", `options {`+namedOptions+`
	listen-on port 5302 { 127.0.0.1; }; recursion yes; empty-zones-enable no; dnssec-validation yes;
	forwarders { 127.0.0.1 port 5301; }; forward only;
	};
	trust-anchors { `+anchor+` };`, map[string]string{})
	s, at := serve(t, ns, Config{Upstreams: []netip.AddrPort{validator}})
	for _, tt := range []struct {
		args   string
		status string
		want   []string
		ad     bool
		no     string
	}{
		{args: "v4.signed AAAA", status: "NOERROR", want: []string{"v4.signed. 120 IN AAAA 64:ff9b::c000:301"}, ad: true}, // dig sets AD
		{args: "+noadflag v4.signed AAAA", status: "NOERROR", want: []string{"v4.signed. 120 IN AAAA 64:ff9b::c000:301"}},
		{args: "+dnssec v4.signed AAAA", status: "NOERROR", want: []string{"v4.signed. 120 IN AAAA 64:ff9b::c000:301"}, ad: true, no: "RRSIG"},
		{args: "+dnssec v4.example AAAA", status: "NOERROR", want: []string{"v4.example. 120 IN AAAA 64:ff9b::c000:301"}},
		{args: "+dnssec +cdflag v4.signed AAAA", status: "NOERROR", want: nil},
		{args: "+dnssec +cdflag v4.example AAAA", status: "NOERROR", want: nil},
		{args: "+cdflag v4.signed AAAA", status: "NOERROR", want: []string{"v4.signed. 120 IN AAAA 64:ff9b::c000:301"}},
		{args: "denial.signed AAAA", status: "SERVFAIL"},
		{args: "+dnssec denial.signed AAAA", status: "SERVFAIL"},
		{args: "denial.signed A", status: "NOERROR", want: []string{"denial.signed. 300 IN A 192.0.3.2"}, ad: true},
		{args: "bada.signed AAAA", status: "SERVFAIL"},
		{args: "bada.signed A", status: "SERVFAIL"},
		{args: "+cdflag bada.signed A", status: "NOERROR", want: []string{"bada.signed. 300 IN A 192.0.3.3"}},
		{args: "zzz.signed AAAA", status: "NXDOMAIN", ad: true},
	} {
		status, answer, whole := dig(t, ns, at, strings.Fields(tt.args)...)
		if status != tt.status {
			t.Errorf("dig %s: status %s, want %s\n%s", tt.args, status, tt.status, whole)
		}
		if !sameRecords(tt.want, answer, 2*time.Second) {
			t.Errorf("dig %s: answer (-want +got):\n%s", tt.args, cmp.Diff(tt.want, answer))
		}
		// Unchecked data may be known to be authentic from an earlier question.
		if got := regexp.MustCompile(`flags:[a-z ]* ad[ ;]`).MatchString(whole); got != tt.ad && !strings.Contains(tt.args, "cdflag") {
			t.Errorf("dig %s: AD %v, want %v\n%s", tt.args, got, tt.ad, whole)
		}
		if tt.no != "" && strings.Contains(whole, tt.no) {
			t.Errorf("dig %s: there is %s in\n%s", tt.args, tt.no, whole)
		}
	}
	if st := s.Stats(); st.Bogus == 0 {
		t.Errorf("counters: %+v", st)
	}

	// A client that validates by itself, behind us.
	anchors := filepath.Join(t.TempDir(), "anchors")
	if err := os.WriteFile(anchors, []byte("trust-anchors { "+anchor+" };\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for question, want := range map[string]string{
		"v4.signed A":     "; fully validated",
		"v6.signed AAAA":  "; fully validated",
		"alias.signed A":  "; fully validated",
		"v4.signed AAAA":  "; negative response, fully validated",
		"zzz.signed AAAA": "; negative response, fully validated",
	} {
		args := append([]string{"@" + at.Addr().String(), "-p", portOf(at), "-b", guestAddr, "-a", anchors, "+root=signed", "+cdflag"}, strings.Fields(question)...)
		if out := nstest.Output(t, ns, "delv", args...); !strings.Contains(out, want) {
			t.Errorf("delv %s: no %q in\n%s", question, want, out)
		}
	}
}
