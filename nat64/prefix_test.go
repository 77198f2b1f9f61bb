package nat64

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// RFC 6052, section 2.4, tables 2 and 3.
func TestVectors(t *testing.T) {
	for _, tt := range []struct{ prefix, want string }{
		{"2001:db8::/32", "2001:db8:c000:221::"},
		{"2001:db8:100::/40", "2001:db8:1c0:2:21::"},
		{"2001:db8:122::/48", "2001:db8:122:c000:2:2100::"},
		{"2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"},
		{"2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"},
		{"2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"},
		{"64:ff9b::/96", "64:ff9b::192.0.2.33"},
		{"64:ff9b:1::/48", "64:ff9b:1:c000:2:2100::"},
	} {
		p, err := ParsePrefix(tt.prefix)
		if err != nil {
			t.Fatal(err)
		}
		v4 := netip.MustParseAddr("192.0.2.33")
		got := p.Embed(v4)
		if got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s: embedded as %s, want %s", p, got, tt.want)
		}
		back, ok := p.Extract(got)
		if !ok || back != v4 {
			t.Errorf("%s: extracted %s %v from %s", p, back, ok, got)
		}
	}
}

func TestParsePrefixRefuses(t *testing.T) {
	for _, s := range []string{
		"", "64:ff9b::", "64:ff9b::/95", "64:ff9b::/128", "64:ff9b::1/96", "10.0.0.0/8", "::ffff:0.0.0.0/96",
		"2001:db8:0:0:100::/96", "2001:db8:0:0:ff00::/96", "2001:db8::%eth0/96", "2001:db8::/0",
	} {
		if p, err := ParsePrefix(s); err == nil {
			t.Errorf("%q was taken as %s", s, p)
		}
	}
}

func TestZero(t *testing.T) {
	var p Prefix
	if p.IsValid() || p.String() != "" || p.Bits() != 0 || p.Embed(netip.MustParseAddr("192.0.2.1")).IsValid() {
		t.Errorf("zero value: %+v", p)
	}
	if _, ok := p.Extract(netip.MustParseAddr("::")); ok {
		t.Error("zero value contains an address")
	}
	if WellKnown().Embed(netip.MustParseAddr("::1")).IsValid() {
		t.Error("embedded an IPv6 address")
	}
	if got := WellKnown().Embed(netip.MustParseAddr("::ffff:192.0.2.1")); got != netip.MustParseAddr("64:ff9b::c000:201") {
		t.Errorf("mapped address embedded as %s", got)
	}
}

func TestExtractRefuses(t *testing.T) {
	p := mustParse(t, "2001:db8:122::/48")
	for _, s := range []string{"2001:db8:123:c000:2:2100::", "2001:db8:122:c000:102:2100::", "192.0.2.1"} {
		if v4, ok := p.Extract(netip.MustParseAddr(s)); ok {
			t.Errorf("%s gave %s", s, v4)
		}
	}
	// The suffix is reserved, and ignored (section 2.2).
	if v4, ok := p.Extract(netip.MustParseAddr("2001:db8:122:c000:2:2100::1")); !ok || v4 != netip.MustParseAddr("192.0.2.33") {
		t.Errorf("with suffix: %s %v", v4, ok)
	}
}

func TestText(t *testing.T) {
	type config struct {
		P Prefix            `json:"p"`
		M map[Prefix]string `json:"m"`
	}
	in := config{P: WellKnown(), M: map[Prefix]string{LocalUse(): "x"}}
	b, err := json.Marshal(in)
	if err != nil || string(b) != `{"p":"64:ff9b::/96","m":{"64:ff9b:1::/48":"x"}}` {
		t.Fatalf("%s %v", b, err)
	}
	var out config
	if err := json.Unmarshal(b, &out); err != nil || out.P != in.P || out.M[LocalUse()] != "x" {
		t.Errorf("%+v %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"p":""}`), &out); err != nil || out.P.IsValid() {
		t.Errorf("empty text: %+v %v", out.P, err)
	}
	if err := json.Unmarshal([]byte(`{"p":"64:ff9b::/97"}`), &out); err == nil {
		t.Error("bad length was taken")
	}
}

func TestMayRepresent(t *testing.T) {
	for _, tt := range []struct {
		v4     string
		global bool
	}{
		{"8.8.8.8", true}, {"203.0.114.1", true}, {"100.63.255.255", true}, {"100.128.0.0", true},
		{"172.15.0.1", true}, {"172.32.0.0", true}, {"192.0.1.0", true}, {"192.0.3.0", true}, {"198.17.0.1", true}, {"198.20.0.0", true},
		{"223.255.255.255", true}, {"192.31.196.1", true},
		{"0.0.0.0", false}, {"10.1.2.3", false}, {"100.64.0.1", false}, {"127.0.0.1", false}, {"169.254.169.254", false},
		{"172.31.255.255", false}, {"192.0.0.170", false}, {"192.0.2.1", false}, {"192.88.99.1", false}, {"192.168.0.1", false},
		{"198.18.0.1", false}, {"198.19.255.255", false}, {"198.51.100.7", false}, {"203.0.113.10", false},
		{"224.0.0.1", false}, {"255.255.255.255", false},
	} {
		a := netip.MustParseAddr(tt.v4)
		if got := WellKnown().MayRepresent(a); got != tt.global {
			t.Errorf("well-known, %s: %v", a, got)
		}
		if !LocalUse().MayRepresent(a) {
			t.Errorf("local use, %s: refused", a)
		}
	}
}

// IsGlobal is written for speed; NonGlobal is the list.
func TestIsGlobalIsTheList(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	check := func(a netip.Addr) {
		want := true
		for _, p := range NonGlobal() {
			want = want && !p.Contains(a)
		}
		if IsGlobal(a) != want {
			t.Errorf("%s: %v, the list says %v", a, !want, want)
		}
	}
	for _, p := range NonGlobal() {
		last := p.Addr().As4()
		for i := p.Bits(); i < 32; i++ {
			last[i/8] |= 0x80 >> (i % 8)
		}
		check(p.Addr())
		check(netip.AddrFrom4(last))
		if b := p.Addr().Prev(); b.IsValid() {
			check(b)
		}
		if a := netip.AddrFrom4(last).Next(); a.IsValid() {
			check(a)
		}
	}
	for range 100000 {
		v := rng.Uint32()
		check(netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}))
	}
}

func FuzzPrefix(f *testing.F) {
	for _, s := range []string{"64:ff9b::/96", "64:ff9b:1::/48", "2001:db8::/32", "2001:db8:100::/40", "2001:db8:1:300::/56", "2001:db8::/64", "::/96", "1::%z/96"} {
		f.Add(s, uint32(0xc0000221))
	}
	f.Fuzz(func(t *testing.T, s string, v uint32) {
		p, err := ParsePrefix(s)
		if err != nil {
			return
		}
		if q, err := ParsePrefix(p.String()); err != nil || q != p {
			t.Errorf("%q: %s parsed again is %s, %v", s, p, q, err)
		}
		v4 := netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		v6 := p.Embed(v4)
		if !p.Contains(v6) || v6.As16()[8] != 0 {
			t.Errorf("%s in %s is %s", v4, p, v6)
		}
		if back, ok := p.Extract(v6); !ok || back != v4 {
			t.Errorf("%s in %s is %s and back %s %v", v4, p, v6, back, ok)
		}
	})
}

func mustParse(t *testing.T, s string) Prefix {
	t.Helper()
	p, err := ParsePrefix(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
