package macrewrite

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/sixhost/sixhost/internal/nft"
)

// meets reports whether octets of a network header are what the matches want.
func meets(t *testing.T, header []byte, exprs []nft.Expr) bool {
	t.Helper()
	for _, e := range exprs {
		data, err := hex.DecodeString(e.Data)
		if err != nil || e.Kind != nft.KindPayload || e.Base != nft.NetworkHeader || len(data) > 4 {
			t.Fatalf("%+v is no word of the network header: %v", e, err)
		}
		mask, err := hex.DecodeString(e.DataMask)
		if err != nil {
			t.Fatal(err)
		}
		got := bytes.Clone(header[e.Offset:][:len(data)])
		for i := range mask {
			got[i] &= mask[i]
		}
		if bytes.Equal(got, data) == e.Not {
			return false
		}
	}
	return true
}

// TestWords: words match what a prefix of the same length, or of 64 bits, has.
func TestWords(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		var a, b [16]byte
		for i := range a {
			a[i] = byte(r.Uint32())
		}
		// Most differ in one bit only.
		b = a
		if n := r.IntN(140); n < 128 {
			b[n/8] ^= 0x80 >> (n % 8)
		}
		p := netip.PrefixFrom(netip.AddrFrom16(a), 1+r.IntN(128)).Masked()
		header := make([]byte, 40)
		at := []uint32{saddrAt, daddrAt}[r.IntN(2)]
		copy(header[at:], b[:])
		want := netip.PrefixFrom(p.Addr(), min(p.Bits(), 64)).Contains(netip.AddrFrom16(b))
		if got := meets(t, header, words(at, p)); got != want {
			t.Fatalf("words of %s match %s: %v", p, netip.AddrFrom16(b), got)
		}
	}
}

// TestNear: whoever has an address of here is led elsewhere, also with NAT64
// prefixes of every length that RFC 6052, section 2.2 has.
func TestNear(t *testing.T) {
	c := sample()
	c.NAT64 = nil
	for _, p := range []string{"2001:db8:100::/32", "2001:dc0:100::/40", "2001:dc1:122::/48", "2001:dc2:122:300::/56", "2001:dc3:122:344::/64", "64:ff9b::/96"} {
		c.NAT64 = append(c.NAT64, netip.MustParsePrefix(p).Masked())
	}
	c = c.withDefaults()
	near := func(a netip.Addr) bool {
		header := make([]byte, 40)
		copy(header[daddrAt:], a.AsSlice())
		for _, r := range c.near(daddrAt, nft.Drop()) {
			if meets(t, header, r.Exprs[:len(r.Exprs)-1]) {
				return true
			}
		}
		return false
	}
	for _, p := range append([]netip.Prefix{c.Prefix, netip.MustParsePrefix("fe80::/10")}, c.NAT64...) {
		for _, a := range []netip.Addr{p.Addr(), lastOf(p)} {
			if !near(a) {
				t.Errorf("%s of %s is not led elsewhere", a, p)
			}
		}
	}
	for _, a := range c.Host {
		if a.Is6() && !near(a) {
			t.Errorf("the host's %s is not led elsewhere", a)
		}
	}
	for _, a := range []string{"2001:db9::1", "2606:4700::1111", "2001:dc1:123::1"} {
		if near(ip(a)) {
			t.Errorf("%s is led elsewhere", a)
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	for i := p.Bits(); i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom16(b)
}
