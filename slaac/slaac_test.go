package slaac

import (
	"bytes"
	"crypto/sha1"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mac(t testing.TB, s string) MAC {
	t.Helper()
	m, err := ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMAC(t *testing.T) {
	for _, s := range []string{"90:1B:0E:12:34:56", "90-1b-0e-12-34-56", "901b.0e12.3456"} {
		if got := mac(t, s).String(); got != "90:1b:0e:12:34:56" {
			t.Errorf("ParseMAC(%q) = %s", s, got)
		}
	}
	for _, s := range []string{"", "90:1b:0e:12:34", "90:1b:0e:12:34:5g", "02:00:5e:10:00:00:00:01", "hello"} {
		if m, err := ParseMAC(s); err == nil {
			t.Errorf("ParseMAC(%q) = %s, want an error", s, m)
		}
	}
	if _, err := MACFrom(net.HardwareAddr{1, 2, 3}); err == nil {
		t.Error("MACFrom took three octets")
	}
	if m := mac(t, "52:54:00:00:00:01"); !m.IsLocal() || m.IsMulticast() || m.IsZero() {
		t.Errorf("%s: local %t, multicast %t, zero %t", m, m.IsLocal(), m.IsMulticast(), m.IsZero())
	}
	if m := mac(t, "33:33:00:00:00:01"); !m.IsMulticast() {
		t.Errorf("%s is not multicast", m)
	}
	if m := mac(t, "90:1b:0e:12:34:56"); m.IsLocal() {
		t.Errorf("%s is local", m)
	}
}

func TestMACText(t *testing.T) {
	var (
		_ encoding.TextMarshaler   = MAC{}
		_ encoding.TextUnmarshaler = &MAC{}
	)
	in := map[MAC]MAC{mac(t, "52:54:00:12:34:56"): mac(t, "90:1b:0e:12:34:56")}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"52:54:00:12:34:56":"90:1b:0e:12:34:56"}`; string(b) != want {
		t.Errorf("marshalled to %s, want %s", b, want)
	}
	var out map[MAC]MAC
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("came back otherwise (-want +got):\n%s", diff)
	}
	m := mac(t, "52:54:00:12:34:56")
	if err := m.UnmarshalText([]byte("x")); err == nil || m.IsZero() {
		t.Errorf("a bad text gave error %v and MAC %s", err, m)
	}
}

func TestAddr(t *testing.T) {
	for _, tc := range []struct{ prefix, mac, addr, linkLocal, group, groupMAC string }{
		// RFC 2464, section 4, has this MAC and its identifier.
		{"2001:db8::/64", "34:56:78:9a:bc:de", "2001:db8::3656:78ff:fe9a:bcde", "fe80::3656:78ff:fe9a:bcde", "ff02::1:ff9a:bcde", "33:33:ff:9a:bc:de"},
		{"2001:db8:1:3::/64", "90:1b:0e:12:34:56", "2001:db8:1:3:921b:eff:fe12:3456", "fe80::921b:eff:fe12:3456", "ff02::1:ff12:3456", "33:33:ff:12:34:56"},
		{"2001:db8:1:3::2/64", "52:54:00:00:00:01", "2001:db8:1:3:5054:ff:fe00:1", "fe80::5054:ff:fe00:1", "ff02::1:ff00:1", "33:33:ff:00:00:01"},
		{"fe80::/64", "02:00:00:00:00:00", "fe80::ff:fe00:0", "fe80::ff:fe00:0", "ff02::1:ff00:0", "33:33:ff:00:00:00"},
	} {
		m := mac(t, tc.mac)
		a, err := Addr(netip.MustParsePrefix(tc.prefix), m)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{a.String(), LinkLocal(m).String(), SolicitedNode(a).String(), MulticastMAC(SolicitedNode(a)).String()}
		want := []string{tc.addr, tc.linkLocal, tc.group, tc.groupMAC}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s in %s (-want +got):\n%s", tc.mac, tc.prefix, diff)
		}
	}
}

func TestAddrErrors(t *testing.T) {
	m := mac(t, "52:54:00:00:00:01")
	for _, p := range []netip.Prefix{
		{},
		netip.MustParsePrefix("2001:db8::/48"),
		netip.MustParsePrefix("2001:db8::/65"),
		netip.MustParsePrefix("192.0.2.0/24"),
		netip.PrefixFrom(netip.MustParseAddr("192.0.2.0"), 64),
	} {
		if a, err := Addr(p, m); !errors.Is(err, ErrPrefixLength) {
			t.Errorf("Addr(%s) = %s, %v; want ErrPrefixLength", p, a, err)
		}
		if _, err := Stable(StableParams{Prefix: p, Secret: make([]byte, 16)}); !errors.Is(err, ErrPrefixLength) {
			t.Errorf("Stable(%s): %v, want ErrPrefixLength", p, err)
		}
		if _, err := KernelStable(p, m, netip.IPv6LinkLocalAllNodes(), 0); !errors.Is(err, ErrPrefixLength) {
			t.Errorf("KernelStable(%s): %v, want ErrPrefixLength", p, err)
		}
	}
	if a, err := Addr(netip.MustParsePrefix("2001:db8::/64"), mac(t, "33:33:00:00:00:01")); !errors.Is(err, ErrGroupMAC) {
		t.Errorf("Addr of a group MAC = %s, %v; want ErrGroupMAC", a, err)
	}
}

func TestMACFromAddrWithoutOne(t *testing.T) {
	for _, s := range []string{
		"192.0.2.1",
		"::ffff:254.1.2.3", // mapped IPv4 that has ff:fe in the right place
		"2001:db8::2",
		"2001:db8::1:ff:ff00:1",
		"2001:db8::5354:ff:fe00:1", // 51:54:…, a group address
		"ff05::5054:ff:fe00:1",
	} {
		if m, ok := MACFromAddr(netip.MustParseAddr(s)); ok {
			t.Errorf("MACFromAddr(%s) = %s, want none", s, m)
		}
	}
	if _, ok := MACFromAddr(netip.Addr{}); ok {
		t.Error("the zero Addr has a MAC")
	}
	if m, ok := MACFromAddr(netip.MustParseAddr("fe80::5054:ff:fe00:1%br0")); !ok || m != mac(t, "52:54:00:00:00:01") {
		t.Errorf("with a zone: %s, %t", m, ok)
	}
}

func TestMulticastOfOthers(t *testing.T) {
	for _, s := range []string{"192.0.2.1", "::ffff:192.0.2.1"} {
		if g := SolicitedNode(netip.MustParseAddr(s)); g.IsValid() {
			t.Errorf("SolicitedNode(%s) = %s", s, g)
		}
	}
	for _, s := range []string{"224.0.0.1", "2001:db8::1"} {
		if m := MulticastMAC(netip.MustParseAddr(s)); !m.IsZero() {
			t.Errorf("MulticastMAC(%s) = %s", s, m)
		}
	}
	if m := MulticastMAC(netip.MustParseAddr("ff02::1")); m != mac(t, "33:33:00:00:00:01") {
		t.Errorf("all nodes: %s", m)
	}
}

// The golden values were computed by another program from the documented
// formula. They must never change: addresses and DNS records follow from them.
func TestGuestMAC(t *testing.T) {
	for name, want := range map[string]string{
		"web":    "52:54:00:b0:72:7b",
		"mail":   "52:54:00:3b:a9:a8",
		"guest1": "52:54:00:47:03:e0",
		"Web":    "52:54:00:63:f3:d9",
		"":       "52:54:00:e3:8d:ce",
	} {
		if got := GuestMAC(name).String(); got != want {
			t.Errorf("GuestMAC(%q) = %s, want %s", name, got, want)
		}
	}
}

// Golden values as in TestGuestMAC.
func TestStable(t *testing.T) {
	secret := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	base := StableParams{Prefix: netip.MustParsePrefix("2001:db8:1:3::/64"), Interface: "br0", Secret: secret}
	again, home := base, base
	again.DADCounter, home.NetworkID = 1, "home"
	for want, p := range map[string]StableParams{
		"2001:db8:1:3:ae71:fbcf:92a6:4ce1": base,
		"2001:db8:1:3:6745:39e2:c068:9a55": again,
		"2001:db8:1:3:2543:480e:962:d7fa":  home,
	} {
		if got, err := Stable(p); err != nil || got != netip.MustParseAddr(want) {
			t.Errorf("Stable(%+v) = %s, %v; want %s", p, got, err, want)
		}
	}
	// Lengths keep the parts apart.
	a, _ := Stable(StableParams{Prefix: base.Prefix, Interface: "ab", NetworkID: "c", Secret: secret})
	b, _ := Stable(StableParams{Prefix: base.Prefix, Interface: "a", NetworkID: "bc", Secret: secret})
	if a == b {
		t.Errorf("ab+c and a+bc both give %s", a)
	}
	base.Secret = secret[:15]
	if _, err := Stable(base); !errors.Is(err, ErrSecretLength) {
		t.Errorf("15 octets of secret: %v, want ErrSecretLength", err)
	}
}

func TestReserved(t *testing.T) {
	for n, want := range map[uint64]bool{
		0: true, 1: false,
		0x02005efffdffffff: false, 0x02005efffe000000: true, 0x02005efffe005213: true, 0x02005efffeffffff: true, 0x02005effff000000: false,
		0xfdffffffffffff7f: false, 0xfdffffffffffff80: true, 0xfdffffffffffffff: true, 0xfe00000000000000: false,
	} {
		if got := Reserved([8]byte(binary.BigEndian.AppendUint64(nil, n))); got != want {
			t.Errorf("Reserved(%016x) = %t", n, got)
		}
	}
	id := firstFree(7, func(counter uint32) [8]byte {
		if counter < 9 {
			return [8]byte{}
		}
		return [8]byte{7: byte(counter)}
	})
	if id != [8]byte{7: 9} {
		t.Errorf("after two reserved identifiers: %x", id)
	}
}

// A message of 64 octets and its padding block, by our compression function,
// must be the standard library's SHA-1.
func TestSHA1Block(t *testing.T) {
	msg := [64]byte([]byte("The quick brown fox jumps over the lazy dog, and then once more."))
	pad := [64]byte{0: 0x80, 62: 0x02} // 512 bits
	var got bytes.Buffer
	for _, w := range sha1Block(sha1Block(sha1Init(), &msg), &pad) {
		got.Write(binary.BigEndian.AppendUint32(nil, w))
	}
	if want := sha1.Sum(msg[:]); !bytes.Equal(got.Bytes(), want[:]) {
		t.Errorf("got %x, want %x", got.Bytes(), want)
	}
}

func FuzzAddrAndBack(f *testing.F) {
	f.Add([]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, 3}, []byte{0x90, 0x1b, 0xe, 0x12, 0x34, 0x56})
	f.Add([]byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0}, []byte{0, 0, 0, 0, 0, 0})
	f.Add([]byte{0xff, 2, 0, 0, 0, 0, 0, 0}, []byte{1, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0}, []byte{2, 0, 0xff, 1, 2, 3})
	f.Fuzz(func(t *testing.T, upper, hw []byte) {
		if len(upper) != 8 || len(hw) != 6 {
			t.Skip()
		}
		m := MAC(hw)
		p := netip.PrefixFrom(join([8]byte(upper), [8]byte{1}), 64)
		a, err := Addr(p, m)
		if m.IsMulticast() {
			if !errors.Is(err, ErrGroupMAC) {
				t.Fatalf("Addr(%s, %s): %v", p, m, err)
			}
			return
		}
		if err != nil || !p.Contains(a) {
			t.Fatalf("Addr(%s, %s) = %s, %v", p, m, a, err)
		}
		// ::/64 is no prefix of any link; in it lie the mapped IPv4 addresses.
		none := a.IsMulticast() || a.Is4In6()
		if back, ok := MACFromAddr(a); ok == none || ok && back != m {
			t.Fatalf("MACFromAddr(%s) = %s, %t; want %s", a, back, ok, m)
		}
		if back, ok := MACFromAddr(LinkLocal(m)); !ok || back != m {
			t.Fatalf("MACFromAddr(%s) = %s, %t; want %s", LinkLocal(m), back, ok, m)
		}
		if none {
			return
		}
		g := SolicitedNode(a)
		if want := (MAC{0x33, 0x33, 0xff, m[3], m[4], m[5]}); !g.IsLinkLocalMulticast() || MulticastMAC(g) != want {
			t.Fatalf("group of %s: %s at %s", a, g, MulticastMAC(g))
		}
	})
}

func FuzzParseMAC(f *testing.F) {
	f.Add("52:54:00:12:34:56")
	f.Add("5254.0012.3456")
	f.Add("02:00:5e:10:00:00:00:01")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMAC(s)
		if err != nil {
			return
		}
		if again, err := ParseMAC(m.String()); err != nil || again != m {
			t.Fatalf("ParseMAC(%q) = %s, which parses to %s, %v", s, m, again, err)
		}
	})
}
