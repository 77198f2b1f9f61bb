package ra

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func radvdFiles(t testing.TB) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/radvd/*.conf")
	if err != nil || len(paths) < 4 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	files := make(map[string]string)
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files[p] = string(b)
	}
	return files
}

// The golden files are what is read, written as a radvd.conf with nothing left
// to defaults. SIXHOST_UPDATE=1 writes them.
func TestParseRadvdGolden(t *testing.T) {
	for path, text := range radvdFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			list, err := ParseRadvd(path, strings.NewReader(text), clockStart())
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, c := range list {
				b, err := c.FormatRadvd()
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString(b)
			}
			golden := strings.TrimSuffix(path, ".conf") + ".golden"
			if os.Getenv("SIXHOST_UPDATE") != "" {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseRadvdValues(t *testing.T) {
	list, err := ParseRadvd("x", strings.NewReader(radvdFiles(t)["testdata/radvd/everything.conf"]), clockStart())
	if err != nil || len(list) != 1 {
		t.Fatalf("%d, %v", len(list), err)
	}
	c := list[0]
	if c.MaxInterval != 100500*time.Millisecond || c.Prefixes[0].Prefix != mustPrefix("2001:db8:1:3::/64") {
		t.Errorf("%+v", c)
	}
	// radvd 2.19's default for name servers, and what it raises.
	if c.RDNSS[0].Lifetime != 100*time.Second || c.DNSSL[0].Lifetime != 100*time.Second || c.Routes[0].Lifetime != 301*time.Second {
		t.Errorf("%+v", c)
	}
	if p := c.Prefixes[2]; !p.ValidUntil.Equal(clockStart().Add(24*time.Hour)) || p.Preferred != Zero {
		t.Errorf("counts down: %+v", p)
	}
}

// radvdErrors has what radvd refuses too (refused), and what it takes and we
// can't do.
func radvdErrors() []struct {
	text    string
	line    int
	reason  string
	refused bool
} {
	in := func(s string) string { return "# comment\ninterface br0 {\n AdvSendAdvert on;\n" + s + "\n};\n" }
	return []struct {
		text    string
		line    int
		reason  string
		refused bool
	}{
		{"", 1, "no interface", true},
		{"# only\n", 2, "no interface", true},
		{"interface br0 { AdvSendAdvert on; }", 1, `want ";"`, true},
		{"interface br0 { AdvSendAdvert maybe; };", 1, "want on or off", true},
		{"interface br0 {\n\n};\ninterface br0 { };", 4, "defined in line 1", true},
		{in("NoSuchThing on;"), 4, `called "NoSuchThing"`, true},
		{in("\nMaxRtrAdvInterval ten;"), 5, "want seconds", true},
		{in("prefix 2001:db8::/129 { };"), 4, "up to 128", true},
		{in("prefix 2001:db8::/64 { AdvValidLifetime 10; AdvPreferredLifetime 20; };"), 4, "longer than", true},
		{in("prefix 2001:db8::/64 { NoSuchThing on; };"), 4, "NoSuchThing", true},
		{in("RDNSS 2001:db8::1 2001:db8::2 2001:db8::3 2001:db8::4 { };"), 4, "three", true},
		{in("DNSSL a_b.example { };"), 4, "underscore", true},
		{in("route 2001:db8::/48;"), 4, `want "{"`, true},
		{in("AdvDefaultPreference best;"), 4, "low, medium or high", true},
		{in("prefix 192.0.2.0/24 { };"), 4, "IPv6 prefix", true},
		{in("AdvLinkMTU 99999999999;"), 4, "want a number", true},

		{in("clients {\n fe80::1;\n };"), 4, "clients is not supported", false},
		{in("UnicastOnly on;"), 4, "UnicastOnly is not supported", false},
		{in("AdvRASolicitedUnicast off;"), 4, "not supported", false},
		{in("AdvIntervalOpt on;"), 4, "not supported", false},
		{in("HomeAgentLifetime 10;"), 4, "not supported", false},
		{in("AdvRAMTU 1280;"), 4, "not supported", false},
		{in("MinDelayBetweenRAs 5;"), 4, "always 3 seconds", false},
		{in("AdvRASrcAddress { fe80::1; };"), 4, "not supported", false},
		{in("abro fe80::1 { };"), 4, "not supported", false},
		{in("lowpanco { AdvContextLength 10; };"), 4, "not supported", false},
		{in("prefix ::/64 { };"), 4, "name the prefix", false},
		{in("prefix 2001:db8::/64 {\n Base6Interface eth0;\n };"), 5, "not supported", false},
		{in("prefix 2001:db8::/64 {\n AdvRouterAddr on;\n };"), 5, "not supported", false},
		{in("prefix 2001:db8::/56 { };"), 4, "AdvAutonomous off", false},
		{in("RDNSS 2001:db8::1 { FlushRDNSS off; };"), 4, "taken back at the end", false},
		{in("route 2001:db8::/48 { RemoveRoute off; };"), 4, "taken back at the end", false},
		{in("AdvDefaultLifetime 1;"), 2, "RouterLifetime", false},
		{in("MaxRtrAdvInterval 1;"), 2, "MaxInterval", false},
	}
}

func TestParseRadvdErrors(t *testing.T) {
	for _, tt := range radvdErrors() {
		list, err := ParseRadvd("radvd.conf", strings.NewReader(tt.text), clockStart())
		var re *RadvdError
		if !errors.As(err, &re) || re.Line != tt.line || !strings.Contains(re.Reason, tt.reason) || list != nil {
			t.Errorf("%q: %v, want line %d and %q", tt.text, err, tt.line, tt.reason)
		}
	}
}

// What is written is read as the same.
func TestRadvdRoundTrip(t *testing.T) {
	c := fullConfig()
	c.Prefixes[0].Preferred, c.Prefixes[0].Valid = Infinity, Infinity
	c.DNSSL[0].Domains = []string{"example.com", "lab.example.net"}
	c.Routes[1].Lifetime = Zero
	text, err := c.FormatRadvd()
	if err != nil {
		t.Fatal(err)
	}
	list, err := ParseRadvd("x", strings.NewReader(text), clockStart())
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	want, err := c.Messages(testLink(), State{}, clockStart())
	if err != nil {
		t.Fatal(err)
	}
	got, err := list[0].Messages(testLink(), State{}, clockStart())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(want, got) {
		t.Errorf("%+v\nbecame\n%+v", want[0], got[0])
	}
	// And from the message itself.
	back, err := ConfigOf("br0", want[0]).Messages(testLink(), State{}, clockStart())
	if err != nil || !reflect.DeepEqual(want, back) {
		t.Errorf("%+v, %v", back, err)
	}
}

func FuzzParseRadvd(f *testing.F) {
	for _, text := range radvdFiles(f) {
		f.Add(text)
	}
	for _, tt := range radvdErrors() {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseRadvd("x", strings.NewReader(text), clockStart())
		if err != nil {
			var re *RadvdError
			if !errors.As(err, &re) || re.Line < 1 || re.Line > 1+strings.Count(text, "\n") {
				t.Fatalf("%v", err)
			}
			return
		}
		// What is taken can be advertised and written, and means the same again.
		for _, c := range list {
			for i := range c.Prefixes { // a date is not written
				c.Prefixes[i].PreferredUntil, c.Prefixes[i].ValidUntil = time.Time{}, time.Time{}
			}
			written, err := c.FormatRadvd()
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseRadvd("x", strings.NewReader(written), clockStart())
			if err != nil {
				t.Fatalf("%v in\n%s", err, written)
			}
			want, werr := c.Messages(testLink(), State{}, clockStart())
			got, gerr := again[0].Messages(testLink(), State{}, clockStart())
			if werr != nil || gerr != nil || !reflect.DeepEqual(want, got) {
				t.Fatalf("%v %v\n%s", werr, gerr, written)
			}
		}
	})
}
