package siit

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/nat64"
)

func eam(v4, v6 string) EAM { return EAM{netip.MustParsePrefix(v4), netip.MustParsePrefix(v6)} }

// The table of RFC 7757, section 3.2 (figure 1), with what it says about
// overlaps and lengths.
func testEAMs(t *testing.T) EAMs {
	t.Helper()
	m, err := NewEAMs(nat64.WellKnown(),
		eam("192.0.2.1/32", "2001:db8:aaaa::/128"),
		eam("192.0.2.2/32", "2001:db8:bbbb::b/128"),
		eam("192.0.2.16/28", "2001:db8:cccc::/124"),
		eam("192.0.2.128/26", "2001:db8:dddd::/64"),
		eam("192.0.2.192/29", "2001:db8:eeee:8::/62"),
		eam("192.0.2.224/31", "64:ff9b::/127"),
		eam("198.18.0.0/15", "2001:db8:f000::/48"),
		eam("198.18.7.0/24", "2001:db8:f007::/120"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEAM(t *testing.T) {
	m := testEAMs(t)
	for _, tt := range []struct {
		v4, v6 string
	}{
		{"192.0.2.1", "2001:db8:aaaa::"},
		{"192.0.2.2", "2001:db8:bbbb::b"},
		{"192.0.2.16", "2001:db8:cccc::"},
		{"192.0.2.24", "2001:db8:cccc::8"},
		{"192.0.2.31", "2001:db8:cccc::f"},
		{"192.0.2.128", "2001:db8:dddd::"},
		{"192.0.2.152", "2001:db8:dddd:0:6000::"},
		{"192.0.2.183", "2001:db8:dddd:0:dc00::"},
		{"192.0.2.192", "2001:db8:eeee:8::"},
		{"192.0.2.195", "2001:db8:eeee:9:8000::"},
		{"192.0.2.199", "2001:db8:eeee:b:8000::"},
		{"192.0.2.224", "64:ff9b::"},
		{"192.0.2.225", "64:ff9b::1"},
		// The longer prefix counts.
		{"198.18.6.1", "2001:db8:f000:300:8000::"},
		{"198.18.7.1", "2001:db8:f007::1"},
		// And the rest by the translator's prefix.
		{"203.0.114.9", "64:ff9b::203.0.114.9"},
	} {
		if got, r := m.To6(addr(tt.v4), Source); r != Translated || got != addr(tt.v6) {
			t.Errorf("%s: %s %v, want %s", tt.v4, got, r, tt.v6)
		}
		if got, r := m.To4(addr(tt.v6), Source); r != Translated || got != addr(tt.v4) {
			t.Errorf("%s: %s %v, want %s", tt.v6, got, r, tt.v4)
		}
	}
	// Bits that IPv4 has no room for are ignored (section 3.3.2).
	if got, r := m.To4(addr("2001:db8:dddd:0:6000::1"), Source); r != Translated || got != addr("192.0.2.152") {
		t.Errorf("superfluous bits: %s %v", got, r)
	}
	if _, r := m.To4(addr("2001:db8:1::1"), Source); r != NotMapped {
		t.Errorf("a stranger: %v", r)
	}
	if n := testing.AllocsPerRun(100, func() { m.To6(addr4, Source); m.To4(addr6, Source) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEAMRefuses(t *testing.T) {
	for _, tt := range []struct {
		all  []EAM
		want string
	}{
		{[]EAM{{}}, "want an IPv4 prefix"},
		{[]EAM{eam("2001:db8::/64", "2001:db8::/64")}, "want an IPv4 prefix"},
		{[]EAM{eam("192.0.2.1/24", "2001:db8::/64")}, "want an IPv4 prefix"},
		{[]EAM{eam("192.0.2.0/24", "192.0.2.0/24")}, "want an IPv6 prefix"},
		{[]EAM{eam("192.0.2.0/24", "2001:db8::/121")}, "more addresses"},
		{[]EAM{eam("192.0.2.0/24", "2001:db8::/64"), eam("192.0.2.0/24", "2001:db8:1::/64")}, "mapped twice"},
		{[]EAM{eam("192.0.2.0/24", "2001:db8::/64"), eam("192.0.3.0/24", "2001:db8::/64")}, "mapped twice"},
	} {
		if _, err := NewEAMs(nat64.Prefix{}, tt.all...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.all, err, tt.want)
		}
	}
}

// Two nodes with explicit mappings talk by their IPv4 addresses, and an error
// finds its way back (RFC 7757, section 4).
func TestHairpin(t *testing.T) {
	m, err := NewEAMs(nat64.WellKnown(), eam("203.0.114.1/32", "2001:db8:a::1/128"), eam("203.0.114.2/32", "2001:db8:b::2/128"))
	if err != nil {
		t.Fatal(err)
	}
	in := &Translator{Map: m, ID: func() uint16 { return 7 }}
	back := &Translator{Map: m.Hairpin()}
	turn := func(src []byte) []byte {
		t.Helper()
		via, out := make([]byte, 1500), make([]byte, 1500)
		n, res := in.To4(via, src, Offload{})
		if res.Reason != Translated || !m.Hairpins(netip.AddrFrom4([4]byte(via[16:]))) {
			t.Fatalf("to IPv4: %+v", res)
		}
		n, res = back.To6(out, via[:n], Offload{})
		if res.Reason != Translated {
			t.Fatalf("back: %+v", res)
		}
		return out[:n]
	}
	const a, b, a64, b64 = "2001:db8:a::1", "2001:db8:b::2", "64:ff9b::203.0.114.1", "64:ff9b::203.0.114.2"
	sent := ip6{src: a, dst: b64, next: 17, payload: sealed(a, b64, 17, udp(20))}
	got := turn(sent.bytes())
	want := ip6{src: a64, dst: b, hops: 62, next: 17, payload: sealed(a64, b, 17, udp(20))}.bytes()
	if !bytes.Equal(got, want) {
		t.Errorf("there:\n% x\n% x", got, want)
	}
	// b answers with port unreachable.
	got = turn(ip6{src: b, dst: a64, next: 58, payload: sealed(b, a64, 58, icmpErr(1, 4, 0, got))}.bytes())
	sent.hops = 62
	want = ip6{src: b64, dst: a, hops: 62, next: 58, payload: sealed(b64, a, 58, icmpErr(1, 4, 0, sent.bytes()))}.bytes()
	if !bytes.Equal(got, want) {
		t.Errorf("error:\n% x\n% x", got, want)
	}
	if m.Hairpins(addr("203.0.114.3")) {
		t.Error("an address without mapping hairpins")
	}
}

// Hop limits that end in the IPv6 network are told from an address of the pool
// (RFC 6791).
func TestErrorPool(t *testing.T) {
	pool := netip.MustParsePrefix("198.51.100.64/29")
	m := ErrorPool{Mapper: ByPrefix{nat64.WellKnown()}, Pool: pool}
	seen := map[netip.Addr]bool{}
	router := addr("2001:db8:ffff::1")
	for range 100 {
		a, r := m.To4(router, ErrorSource)
		if again, _ := m.To4(router, ErrorSource); r != Translated || !pool.Contains(a) || a != again {
			t.Fatalf("%s: %s %v, then %s", router, a, r, again)
		}
		seen[a] = true
		router = router.Next()
	}
	if len(seen) < 6 {
		t.Errorf("100 routers share %d addresses of 8", len(seen))
	}
	if a, r := m.To4(addr("64:ff9b::8.8.8.8"), ErrorSource); r != Translated || a != addr("8.8.8.8") {
		t.Errorf("one with a counterpart: %s %v", a, r)
	}
	if _, r := m.To4(router, Source); r != NotMapped {
		t.Errorf("not an error: %v", r)
	}
	one := ErrorPool{Mapper: ByPrefix{nat64.WellKnown()}, Pool: netip.MustParsePrefix("198.51.100.7/32")}
	if a, _ := one.To4(router, ErrorSource); a != addr("198.51.100.7") {
		t.Errorf("pool of one: %s", a)
	}
}
