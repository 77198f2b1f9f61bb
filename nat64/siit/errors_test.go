package siit

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// v4 errors about a packet of the guest's that went out, and what the guest is
// told (RFC 7915, section 4.2).
func TestErrorTo6(t *testing.T) {
	out4 := ip4{src: pool4, dst: web4, proto: 17, ttl: 9, id: 0x4321, payload: sealed(pool4, web4, 17, udp(40))}
	// What the guest had sent, as far as it can be told.
	in6 := ip6{src: guest6, dst: web6, next: 17, hops: 9, payload: sealed(guest6, web6, 17, udp(40))}
	for _, tt := range []struct {
		name      string
		typ, code byte
		info      uint32
		want      ICMP
		mtu4      int
		mtu6      int
	}{
		{"net unreachable", 3, 0, 0, ICMP{1, 0, 0}, 0, 0},
		{"host unreachable", 3, 1, 0, ICMP{1, 0, 0}, 0, 0},
		{"protocol unreachable", 3, 2, 0, ICMP{4, 1, 6}, 0, 0},
		{"port unreachable", 3, 3, 0, ICMP{1, 4, 0}, 0, 0},
		{"frag needed", 3, 4, 1400, ICMP{2, 0, 1420}, 0, 0},
		{"frag needed, low", 3, 4, 576, ICMP{2, 0, 1280}, 0, 0},
		{"frag needed, own links lower", 3, 4, 9000, ICMP{2, 0, 1500}, 0, 1500},
		{"frag needed, own IPv4 link lower", 3, 4, 9000, ICMP{2, 0, 1420}, 1400, 1500},
		{"frag needed, unused bits set", 3, 4, 0xffff0000 | 1400, ICMP{2, 0, 1420}, 0, 0},
		{"source route failed", 3, 5, 0, ICMP{1, 0, 0}, 0, 0},
		{"net unknown", 3, 6, 0, ICMP{1, 0, 0}, 0, 0},
		{"host unknown", 3, 7, 0, ICMP{1, 0, 0}, 0, 0},
		{"isolated", 3, 8, 0, ICMP{1, 0, 0}, 0, 0},
		{"net prohibited", 3, 9, 0, ICMP{1, 1, 0}, 0, 0},
		{"host prohibited", 3, 10, 0, ICMP{1, 1, 0}, 0, 0},
		{"net TOS", 3, 11, 0, ICMP{1, 0, 0}, 0, 0},
		{"host TOS", 3, 12, 0, ICMP{1, 0, 0}, 0, 0},
		{"prohibited", 3, 13, 0, ICMP{1, 1, 0}, 0, 0},
		{"precedence violation", 3, 14, 0, ICMP{}, 0, 0},
		{"precedence cutoff", 3, 15, 0, ICMP{1, 1, 0}, 0, 0},
		{"unknown unreachable", 3, 16, 0, ICMP{}, 0, 0},
		{"source quench", 4, 0, 0, ICMP{}, 0, 0},
		{"redirect", 5, 1, 0, ICMP{}, 0, 0},
		{"time exceeded", 11, 0, 0, ICMP{3, 0, 0}, 0, 0},
		{"reassembly time", 11, 1, 0, ICMP{3, 1, 0}, 0, 0},
		{"time, unknown", 11, 2, 0, ICMP{}, 0, 0},
		{"pointer version", 12, 0, 0 << 24, ICMP{4, 0, 0}, 0, 0},
		{"pointer TOS", 12, 0, 1 << 24, ICMP{4, 0, 1}, 0, 0},
		{"pointer length", 12, 2, 2 << 24, ICMP{4, 0, 4}, 0, 0},
		{"pointer length, low", 12, 0, 3 << 24, ICMP{4, 0, 4}, 0, 0},
		{"pointer id", 12, 0, 4 << 24, ICMP{}, 0, 0},
		{"pointer flags", 12, 0, 6 << 24, ICMP{}, 0, 0},
		{"pointer TTL", 12, 0, 8 << 24, ICMP{4, 0, 7}, 0, 0},
		{"pointer protocol", 12, 0, 9 << 24, ICMP{4, 0, 6}, 0, 0},
		{"pointer checksum", 12, 0, 10 << 24, ICMP{}, 0, 0},
		{"pointer source", 12, 0, 15 << 24, ICMP{4, 0, 8}, 0, 0},
		{"pointer destination", 12, 0, 16 << 24, ICMP{4, 0, 24}, 0, 0},
		{"pointer options", 12, 0, 20 << 24, ICMP{}, 0, 0},
		{"missing option", 12, 1, 0, ICMP{}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTranslator()
			tr.MTU4, tr.MTU6 = tt.mtu4, tt.mtu6
			src := ip4{src: "198.51.100.1", proto: 1, payload: sealed(web4, pool4, 1, icmpErr(tt.typ, tt.code, tt.info, out4.bytes()))}.bytes()
			dst := make([]byte, 1500)
			n, res := tr.To6(dst, src, Offload{})
			if tt.want.IsZero() {
				if n != 0 || res != (Result{Reason: Unsupported}) {
					t.Errorf("got %d %+v", n, res)
				}
				return
			}
			want := ip6{src: "64:ff9b::198.51.100.1", dst: guest6, hops: 63, next: 58,
				payload: sealed("64:ff9b::198.51.100.1", guest6, 58, icmpErr(tt.want.Type, tt.want.Code, tt.want.Info, in6.bytes()))}.bytes()
			if res != (Result{}) || !bytes.Equal(dst[:n], want) {
				t.Errorf("%+v, got\n% x\nwant\n% x", res, dst[:n], want)
			}
		})
	}
}

// A router older than RFC 1191 tells no MTU: the plateau below the packet's
// length stands for it.
func TestPlateaus(t *testing.T) {
	for _, tt := range []struct{ inner, want int }{{1500, 1512}, {1493, 1512}, {1492, 1280}, {2003, 2022}, {9000, 8186}, {65535, 32020}, {600, 1280}} {
		inner := ip4{src: pool4, dst: web4, proto: 17, payload: udp(tt.inner - 28)}.bytes()
		src := ip4{proto: 1, payload: sealed(web4, pool4, 1, icmpErr(3, 4, 0, inner[:100]))}.bytes()
		dst := make([]byte, 1500)
		_, res := newTranslator().To6(dst, src, Offload{})
		if got := binary.BigEndian.Uint32(dst[44:]); res.Reason != Translated || int(got) != tt.want {
			t.Errorf("packet of %d: MTU %d, want %d (%+v)", tt.inner, got, tt.want, res)
		}
	}
}

// v6 errors from the guest about a packet that came in (RFC 7915, section 5.2).
func TestErrorTo4(t *testing.T) {
	in6 := ip6{src: web6, dst: guest6, hops: 9, next: 17, payload: sealed(web6, guest6, 17, udp(40))}
	frag6 := ip6{src: web6, dst: guest6, hops: 9, next: 44, headers: fragHeader(17, 0, true, 0x99), payload: sealed(web6, guest6, 17, udp(40))}
	for _, tt := range []struct {
		name      string
		typ, code byte
		info      uint32
		want      ICMP
		mtu4      int
		mtu6      int
		frag      bool
	}{
		{"no route", 1, 0, 0, ICMP{3, 1, 0}, 0, 0, false},
		{"prohibited", 1, 1, 0, ICMP{3, 10, 0}, 0, 0, false},
		{"beyond scope", 1, 2, 0, ICMP{3, 1, 0}, 0, 0, false},
		{"address", 1, 3, 0, ICMP{3, 1, 0}, 0, 0, false},
		{"port", 1, 4, 0, ICMP{3, 3, 0}, 0, 0, false},
		{"policy", 1, 5, 0, ICMP{}, 0, 0, false},
		{"too big", 2, 0, 1400, ICMP{3, 4, 1380}, 0, 0, false},
		{"too big, minimum", 2, 0, 1280, ICMP{3, 4, 1260}, 0, 0, false},
		{"too big, below the minimum", 2, 0, 600, ICMP{3, 4, 580}, 0, 0, false},
		{"too big, absurd", 2, 0, 1, ICMP{3, 4, 68}, 0, 0, false},
		{"too big, huge", 2, 0, 0xffffffff, ICMP{3, 4, 65535}, 0, 0, false},
		{"too big, fragment header", 2, 0, 1400, ICMP{3, 4, 1372}, 0, 0, true},
		{"too big, IPv4 link lower", 2, 0, 9000, ICMP{3, 4, 1400}, 1400, 1500, false},
		{"too big, IPv6 link lower", 2, 0, 9000, ICMP{3, 4, 1480}, 9000, 1500, false},
		{"hop limit", 3, 0, 0, ICMP{11, 0, 0}, 0, 0, false},
		{"reassembly", 3, 1, 0, ICMP{11, 1, 0}, 0, 0, false},
		{"pointer version", 4, 0, 0, ICMP{12, 0, 0}, 0, 0, false},
		{"pointer class", 4, 0, 1, ICMP{12, 0, 1 << 24}, 0, 0, false},
		{"pointer flow", 4, 0, 2, ICMP{}, 0, 0, false},
		{"pointer length", 4, 0, 5, ICMP{12, 0, 2 << 24}, 0, 0, false},
		{"pointer next header", 4, 0, 6, ICMP{12, 0, 9 << 24}, 0, 0, false},
		{"pointer hop limit", 4, 0, 7, ICMP{12, 0, 8 << 24}, 0, 0, false},
		{"pointer source", 4, 0, 23, ICMP{12, 0, 12 << 24}, 0, 0, false},
		{"pointer destination", 4, 0, 39, ICMP{12, 0, 16 << 24}, 0, 0, false},
		{"pointer payload", 4, 0, 40, ICMP{}, 0, 0, false},
		{"next header", 4, 1, 40, ICMP{3, 2, 0}, 0, 0, false},
		{"option", 4, 2, 40, ICMP{}, 0, 0, false},
		{"unknown error", 100, 0, 0, ICMP{}, 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTranslator()
			tr.MTU4, tr.MTU6 = tt.mtu4, tt.mtu6
			inner, want4 := in6, ip4{src: web4, dst: pool4, ttl: 9, proto: 17, payload: sealed(web4, pool4, 17, udp(40))}
			if tt.frag {
				inner = frag6
				want4.id, want4.flags = 0x99, 0x2000
			}
			src := ip6{next: 58, payload: sealed(guest6, web6, 58, icmpErr(tt.typ, tt.code, tt.info, inner.bytes()))}.bytes()
			dst := make([]byte, 1500)
			n, res := tr.To4(dst, src, Offload{})
			if tt.want.IsZero() {
				if n != 0 || res != (Result{Reason: Unsupported}) {
					t.Errorf("got %d %+v", n, res)
				}
				return
			}
			want := ip4{src: pool4, dst: web4, ttl: 63, proto: 1, id: 0x1234,
				payload: sealed(pool4, web4, 1, icmpErr(tt.want.Type, tt.want.Code, tt.want.Info, want4.bytes()))}.bytes()
			if res != (Result{}) || !bytes.Equal(dst[:n], want) {
				t.Errorf("%+v, got\n% x\nwant\n% x", res, dst[:n], want)
			}
		})
	}
}

// A router on the guests' side has no mapping; the translator's own address
// stands for it (RFC 6791).
func TestErrorFromRouter(t *testing.T) {
	in6 := ip6{src: web6, dst: guest6, hops: 9, next: 6, payload: sealed(web6, guest6, 6, tcp(1400))}.bytes()
	src := ip6{src: "2001:db8:ffff::1", next: 58, payload: sealed("2001:db8:ffff::1", web6, 58, icmpErr(2, 0, 1280, in6[:1232]))}.bytes()
	dst := make([]byte, 1500)
	n, res := newTranslator().To4(dst, src, Offload{})
	if res.Reason != Translated || n != maxError4 || !checksumGood(dst[:n]) || !bytes.Equal(dst[12:16], addr("192.168.160.1").AsSlice()) {
		t.Errorf("%d %+v % x", n, res, dst[:28])
	}
	// The inner header tells the original's length and DF.
	if got := binary.BigEndian.Uint16(dst[30:]); got != 1440 || dst[34]&0x40 == 0 {
		t.Errorf("inner length %d, flags %#x", got, dst[34])
	}
}

func TestErrorRefuses(t *testing.T) {
	out4 := ip4{src: pool4, dst: web4, proto: 17, payload: sealed(pool4, web4, 17, udp(4))}.bytes()
	in6 := ip6{src: web6, dst: guest6, next: 17, payload: sealed(web6, guest6, 17, udp(4))}.bytes()
	nested4 := ip4{src: pool4, dst: web4, proto: 1, payload: icmpErr(3, 3, 0, out4)}.bytes()
	nested6 := ip6{src: web6, dst: guest6, next: 58, payload: icmpErr(1, 4, 0, in6)}.bytes()
	ip4err := func(flags uint16, body ...[]byte) []byte {
		return ip4{proto: 1, flags: flags, payload: sealed(web4, pool4, 1, icmpErr(3, 3, 0, body...))}.bytes()
	}
	ip6err := func(body ...[]byte) []byte {
		return ip6{next: 58, payload: sealed(guest6, web6, 58, icmpErr(1, 4, 0, body...))}.bytes()
	}
	for _, tt := range []struct {
		name string
		in   []byte
		want Reason
	}{
		{"nested", ip4err(0, nested4), NestedError},
		{"nested", ip6err(nested6), NestedError},
		{"fragmented", ip4err(0x2000, out4, make([]byte, 8-len(out4)%8)), FragmentedICMP},
		{"nothing inside", ip4err(0), Malformed},
		{"nothing inside", ip6err(), Malformed},
		{"IPv6 inside ICMPv4", ip4err(0, in6), Malformed},
		{"IPv4 inside ICMPv6", ip6err(out4, out4), Malformed},
		{"inner source unknown", ip4err(0, ip4{src: "192.168.160.77", dst: web4, proto: 17, payload: udp(4)}.bytes()), Unreachable},
		{"inner destination private", ip6err(ip6{src: "64:ff9b::10.1.1.1", dst: guest6, next: 17, payload: udp(4)}.bytes()), Denied},
		{"inner timestamp", ip4err(0, ip4{src: pool4, dst: web4, proto: 1, payload: echo(13, 12)}.bytes()), Unsupported},
	} {
		var n int
		var res Result
		if tt.in[0]>>4 == 4 {
			n, res = newTranslator().To6(make([]byte, 1500), tt.in, Offload{})
		} else {
			n, res = newTranslator().To4(make([]byte, 1500), tt.in, Offload{})
		}
		if n != 0 || res != (Result{Reason: tt.want}) {
			t.Errorf("%s, version %d: %d %+v, want %v", tt.name, tt.in[0]>>4, n, res, tt.want)
		}
	}
}

// Extensions move behind the packet in error, whose length is told in other
// units and padded (RFC 4884, sections 3 to 5; RFC 7915, sections 4.2 and 5.2).
func TestErrorExtensions(t *testing.T) {
	extension := []byte{0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 0x21, 0x40} // an MPLS label stack
	out4 := ip4{src: pool4, dst: web4, proto: 17, payload: sealed(pool4, web4, 17, udp(40))}.bytes()
	padded := append(append([]byte(nil), out4...), make([]byte, 128-len(out4))...)
	src := ip4{proto: 1, payload: sealed(web4, pool4, 1, icmpErr(11, 0, 32<<16, padded, extension))}.bytes()
	dst := make([]byte, 1500)
	n, res := newTranslator().To6(dst, src, Offload{})
	if res.Reason != Translated || !checksumGood(dst[:n]) || n != 40+8+128+len(extension) || dst[44] != 128/8 || !bytes.Equal(dst[n-len(extension):n], extension) {
		t.Errorf("to IPv6: %d %+v\n% x", n, res, dst[:n])
	}
	// The same, now from the IPv6 side and long.
	in6 := ip6{src: web6, dst: guest6, next: 17, payload: sealed(web6, guest6, 17, udp(992))}.bytes()
	src = ip6{next: 58, payload: sealed(guest6, web6, 58, icmpErr(3, 0, uint32(len(in6)/8)<<24, in6, extension))}.bytes()
	n, res = newTranslator().To4(dst, src, Offload{})
	if res.Reason != Translated || !checksumGood(dst[:n]) || n > maxError4 || int(dst[25])*4 != n-28-len(extension) || !bytes.Equal(dst[n-len(extension):n], extension) {
		t.Errorf("to IPv4: %d %+v\n% x", n, res, dst[:n])
	}
	// An ICMPv6 packet too big can't have them.
	src = ip4{proto: 1, payload: sealed(web4, pool4, 1, icmpErr(3, 4, 32<<16|1400, padded, extension))}.bytes()
	n, res = newTranslator().To6(dst, src, Offload{})
	if res.Reason != Translated || !checksumGood(dst[:n]) || n != 40+8+len(out4)+20 || binary.BigEndian.Uint32(dst[44:]) != 1420 {
		t.Errorf("too big: %d %+v\n% x", n, res, dst[:n])
	}
	// A length beyond the end.
	src = ip4{proto: 1, payload: sealed(web4, pool4, 1, icmpErr(11, 0, 33<<16, padded))}.bytes()
	if n, res := newTranslator().To6(dst, src, Offload{}); res.Reason != Translated || n != 40+8+len(out4)+20 {
		t.Errorf("length beyond the end: %d %+v", n, res)
	}
}

func TestAnswers(t *testing.T) {
	tr := newTranslator()
	from6, from4 := addr("2001:db8:1::1"), addr("192.168.160.1")
	udp6 := ip6{dst: "64:ff9b::10.0.0.1", next: 17, payload: udp(1400)}.bytes()
	dst := make([]byte, 1500)
	n := tr.Error6(dst, from6, udp6, ICMP{Type: 1, Code: 1})
	want := ip6{src: "2001:db8:1::1", dst: guest6, next: 58, payload: sealed("2001:db8:1::1", guest6, 58, icmpErr(1, 1, 0, udp6[:1232]))}.bytes()
	if n != 1280 || !bytes.Equal(dst[:n], want) {
		t.Errorf("IPv6: %d\n% x\n% x", n, dst[:60], want[:60])
	}
	udp4 := ip4{dst: pool4, proto: 17, payload: udp(1400)}.bytes()
	n = tr.Error4(dst, from4, udp4, ICMP{Type: 3, Code: 4, Info: 1480})
	want = ip4{src: "192.168.160.1", dst: web4, tos: 0xc0, id: 0x1234, proto: 1, payload: sealed(pool4, web4, 1, icmpErr(3, 4, 1480, udp4[:548]))}.bytes()
	if n != 576 || !bytes.Equal(dst[:n], want) {
		t.Errorf("IPv4: %d\n% x\n% x", n, dst[:60], want[:60])
	}

	unreachable6, unreachable4 := ICMP{Type: 1}, ICMP{Type: 3}
	for name, n := range map[string]int{
		"about an ICMPv6 error":       tr.Error6(dst, from6, ip6{next: 58, payload: icmpErr(1, 4, 0, udp6)}.bytes(), unreachable6),
		"about a redirect":            tr.Error6(dst, from6, ip6{next: 58, payload: icmpErr(137, 0, 0)}.bytes(), unreachable6),
		"behind headers":              tr.Error6(dst, from6, ip6{next: 60, headers: []byte{58, 0, 1, 4, 0, 0, 0, 0}, payload: icmpErr(1, 4, 0, udp6)}.bytes(), unreachable6),
		"to the unspecified address":  tr.Error6(dst, from6, ip6{src: "::", next: 17, payload: udp(1)}.bytes(), unreachable6),
		"about multicast":             tr.Error6(dst, from6, ip6{dst: "ff02::1", next: 17, payload: udp(1)}.bytes(), unreachable6),
		"without a message":           tr.Error6(dst, from6, udp6, ICMP{}),
		"from the wrong family":       tr.Error6(dst, from4, udp6, unreachable6),
		"into nothing":                tr.Error6(dst[:50], from6, udp6, unreachable6),
		"about an ICMPv4 error":       tr.Error4(dst, from4, ip4{proto: 1, payload: icmpErr(3, 3, 0, udp4)}.bytes(), unreachable4),
		"about a later fragment":      tr.Error4(dst, from4, ip4{proto: 17, flags: 8, payload: udp(1)}.bytes(), unreachable4),
		"to loopback":                 tr.Error4(dst, from4, ip4{src: "127.0.0.1", proto: 17, payload: udp(1)}.bytes(), unreachable4),
		"to multicast":                tr.Error4(dst, from4, ip4{src: "224.0.0.1", proto: 17, payload: udp(1)}.bytes(), unreachable4),
		"about broadcast":             tr.Error4(dst, from4, ip4{dst: "255.255.255.255", proto: 17, payload: udp(1)}.bytes(), unreachable4),
		"from the wrong family, IPv4": tr.Error4(dst, from6, udp4, unreachable4),
		"into nothing, IPv4":          tr.Error4(dst[:30], from4, udp4, unreachable4),
	} {
		if n != 0 {
			t.Errorf("error sent %s", name)
		}
	}
	// But a packet too big about multicast is sent (RFC 4443, section 2.4 e.3).
	if tr.Error6(dst, from6, ip6{dst: "ff0e::1", next: 17, payload: udp(1)}.bytes(), ICMP{Type: 2, Info: 1280}) == 0 {
		t.Error("no packet too big about multicast")
	}
}
