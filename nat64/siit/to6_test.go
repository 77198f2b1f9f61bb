package siit

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func TestTo6(t *testing.T) {
	tcp4 := sealed(web4, pool4, 6, tcp(100))
	udp4 := sealed(web4, pool4, 17, udp(33))
	noSum := udp(33)
	big := sealed(web4, pool4, 6, tcp(1400))
	for _, tt := range []struct {
		name string
		in   ip4
		want ip6
	}{
		// RFC 7915, section 4.1; no fragment header whatever DF says (RFC 8021).
		{"TCP", ip4{proto: 6, flags: 0x4000, tos: 0x2e, payload: tcp4}, ip6{src: web6, dst: guest6, tc: 0x2e, hops: 63, next: 6, payload: sealed(web6, guest6, 6, tcp4)}},
		{"TCP without DF", ip4{proto: 6, id: 7, payload: tcp4}, ip6{src: web6, dst: guest6, hops: 63, next: 6, payload: sealed(web6, guest6, 6, tcp4)}},
		{"long with DF", ip4{proto: 6, flags: 0x4000, payload: big}, ip6{src: web6, dst: guest6, hops: 63, next: 6, payload: sealed(web6, guest6, 6, big)}},
		{"UDP", ip4{proto: 17, payload: udp4}, ip6{src: web6, dst: guest6, hops: 63, next: 17, payload: sealed(web6, guest6, 17, udp4)}},
		// Section 4.5: a checksum is calculated where there was none.
		{"UDP without checksum", ip4{proto: 17, payload: noSum}, ip6{src: web6, dst: guest6, hops: 63, next: 17, payload: sealed(web6, guest6, 17, noSum)}},
		{"echo", ip4{proto: 1, payload: sealed(web4, pool4, 1, echo(8, 56))}, ip6{src: web6, dst: guest6, hops: 63, next: 58, payload: sealed(web6, guest6, 58, echo(128, 56))}},
		{"echo reply, odd", ip4{proto: 1, payload: sealed(web4, pool4, 1, echo(0, 57))}, ip6{src: web6, dst: guest6, hops: 63, next: 58, payload: sealed(web6, guest6, 58, echo(129, 57))}},
		{"options", ip4{proto: 17, options: []byte{1, 148, 4, 0, 0, 131, 3, 4}, payload: udp4}, ip6{src: web6, dst: guest6, hops: 63, next: 17, payload: sealed(web6, guest6, 17, udp4)}},
		{"GRE", ip4{proto: 47, payload: []byte{1, 2, 3}}, ip6{src: web6, dst: guest6, hops: 63, next: 47, payload: []byte{1, 2, 3}}},
		// Fragments keep their identification in the low 16 bits.
		{"first fragment", ip4{proto: 6, id: 0x5678, flags: 0x2000, payload: tcp4[:104]},
			ip6{src: web6, dst: guest6, hops: 63, next: 44, headers: fragHeader(6, 0, true, 0x5678), payload: sealed(web6, guest6, 6, tcp4)[:104]}},
		{"last fragment", ip4{proto: 6, id: 0x5678, flags: 104 / 8, payload: tcp4[104:]},
			ip6{src: web6, dst: guest6, hops: 63, next: 44, headers: fragHeader(6, 104, false, 0x5678), payload: tcp4[104:]}},
		{"fragment with DF", ip4{proto: 17, id: 0x5678, flags: 0x6000 | 2, payload: make([]byte, 1400)},
			ip6{src: web6, dst: guest6, hops: 63, next: 44, headers: fragHeader(17, 16, true, 0x5678), payload: make([]byte, 1400)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := tt.in.bytes()
			dst := make([]byte, len(src)+96)
			n, res := newTranslator().To6(dst, src, Offload{})
			if res != (Result{}) {
				t.Fatalf("result %+v", res)
			}
			if want := tt.want.bytes(); !bytes.Equal(dst[:n], want) {
				t.Errorf("got\n% x\nwant\n% x", dst[:n], want)
			}
			buf := append(make([]byte, 20, 20+len(src)+96), src...)
			m, _ := newTranslator().To6(buf[:cap(buf)], buf[20:], Offload{})
			if !bytes.Equal(buf[:m], dst[:n]) {
				t.Errorf("in place: % x", buf[:m])
			}
		})
	}
}

// RFC 7915, section 4: without DF, what is longer than 1280 is fragmented.
func TestTo6Fragments(t *testing.T) {
	whole := sealed(web4, pool4, 17, udp(5000))
	want := sealed(web6, guest6, 17, udp(5000))
	zero := udp(5000)
	for _, tt := range []struct {
		name   string
		in     ip4
		lowest int
		want   []byte
		off    int
		more   bool
		count  int
	}{
		{"whole", ip4{proto: 17, id: 0xbeef, payload: whole}, 0, want, 0, false, 5},
		{"whole, other MTU", ip4{proto: 17, id: 0xbeef, payload: whole}, 1500, want, 0, false, 4},
		{"without checksum", ip4{proto: 17, id: 0xbeef, payload: zero}, 0, want, 0, false, 5},
		{"options", ip4{proto: 17, id: 0xbeef, options: bytes.Repeat([]byte{1}, 40), payload: whole}, 0, want, 0, false, 5},
		{"a fragment", ip4{proto: 17, id: 0xbeef, flags: 0x2000 | 1480/8, payload: whole[:1480]}, 0, whole[:1480], 1480, true, 2},
		{"1281", ip4{proto: 50, id: 0xbeef, payload: make([]byte, 1241)}, 0, make([]byte, 1241), 0, false, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTranslator()
			tr.LowestMTU6 = tt.lowest
			src := tt.in.bytes()
			dst := make([]byte, len(src)+96*(1+len(src)/1232))
			n, res := tr.To6(dst, src, Offload{})
			if res != (Result{}) {
				t.Fatalf("result %+v", res)
			}
			var got []byte
			count := 0
			for p, rest := Next6(dst[:n]); ; p, rest = Next6(rest) {
				count++
				last := len(rest) == 0
				if len(p) > tr.lowest6() || p[6] != 44 {
					t.Fatalf("fragment %d: %d octets, next header %d", count, len(p), p[6])
				}
				if want := fragHeader(tt.in.proto, tt.off+len(got), tt.more || !last, 0xbeef); !bytes.Equal(p[40:48], want) {
					t.Errorf("fragment header % x, want % x", p[40:48], want)
				}
				got = append(got, p[48:]...)
				if last {
					break
				}
			}
			if count != tt.count || !bytes.Equal(got, tt.want) {
				t.Errorf("%d fragments, want %d; payload equal: %v", count, tt.count, bytes.Equal(got, tt.want))
			}
			buf := make([]byte, len(dst)+20)
			copy(buf[20:], src)
			m, _ := tr.To6(buf, buf[20:20+len(src)], Offload{})
			if !bytes.Equal(buf[:m], dst[:n]) {
				t.Error("in place it differs")
			}
		})
	}
}

func TestTo6Refuses(t *testing.T) {
	udp4 := sealed(web4, pool4, 17, udp(8))
	bad := ip4{proto: 17, payload: udp4}.bytes()
	bad[10]++
	for _, tt := range []struct {
		name string
		in   []byte
		want Result
	}{
		{"empty", nil, Result{Reason: Malformed}},
		{"IPv6", ip6{next: 17, payload: udp(1)}.bytes(), Result{Reason: Malformed}},
		{"short", ip4{proto: 17, payload: udp4}.bytes()[:30], Result{Reason: Malformed}},
		{"header checksum", bad, Result{Reason: Malformed}},
		{"half a UDP header", ip4{proto: 17, payload: make([]byte, 7)}.bytes(), Result{Reason: Malformed}},
		{"uneven fragment", ip4{proto: 17, flags: 0x2000, payload: udp4[:15]}.bytes(), Result{Reason: Malformed}},
		{"ping of death", ip4{proto: 1, flags: 0x1fff, payload: udp4}.bytes(), Result{Reason: Malformed}},
		{"option without end", ip4{proto: 17, options: []byte{148, 9, 0, 0}, payload: udp4}.bytes(), Result{Reason: Malformed}},
		{"TTL", ip4{proto: 17, payload: udp4, ttl: 1}.bytes(), Result{HopLimit, ICMP{Type: 11}}},
		{"source route", ip4{proto: 17, options: []byte{131, 7, 4, 1, 2, 3, 4, 0}, payload: udp4}.bytes(), Result{SourceRoute, ICMP{Type: 3, Code: 5}}},
		{"strict source route", ip4{proto: 17, options: []byte{1, 137, 7, 4, 1, 2, 3, 4}, payload: udp4}.bytes(), Result{SourceRoute, ICMP{Type: 3, Code: 5}}},
		{"no such guest", ip4{dst: "192.168.160.9", proto: 17, payload: udp4}.bytes(), Result{Unreachable, ICMP{Type: 3, Code: 1}}},
		{"IGMP", ip4{proto: 2, payload: make([]byte, 8)}.bytes(), Result{Reason: Unsupported}},
		{"ICMPv6", ip4{proto: 58, payload: echo(128, 0)}.bytes(), Result{Reason: Unsupported}},
		{"hop-by-hop", ip4{proto: 0, payload: make([]byte, 8)}.bytes(), Result{Reason: Unsupported}},
		{"timestamp", ip4{proto: 1, payload: sealed(web4, pool4, 1, echo(13, 12))}.bytes(), Result{Reason: Unsupported}},
		{"fragmented echo", ip4{proto: 1, flags: 0x2000, payload: echo(8, 0)}.bytes(), Result{Reason: FragmentedICMP}},
		{"fragment without checksum", ip4{proto: 17, flags: 0x2000, payload: udp(8)}.bytes(), Result{Reason: ZeroChecksum}},
		{"over the MTU", ip4{proto: 17, flags: 0x4000, payload: udp(1460)}.bytes(), Result{TooBig, ICMP{Type: 3, Code: 4, Info: 1480}}},
		{"fragment over the MTU", ip4{proto: 17, flags: 0x4001, payload: udp(1448)}.bytes(), Result{TooBig, ICMP{Type: 3, Code: 4, Info: 1472}}},
	} {
		tr := newTranslator()
		tr.MTU6 = 1500
		n, res := tr.To6(make([]byte, 70000), tt.in, Offload{})
		if n != 0 || res != tt.want {
			t.Errorf("%s: %d, %+v, want %+v", tt.name, n, res, tt.want)
		}
	}
	for _, n := range []int{20, 1500} {
		if _, res := newTranslator().To6(make([]byte, n), (ip4{proto: 17, payload: udp(2000)}).bytes(), Offload{}); res.Reason != NoSpace {
			t.Errorf("buffer of %d: %+v", n, res)
		}
	}
}

// What the kernel's traffic shows rarely: checksums that come out as zero.
func TestUDPChecksumNeverZero(t *testing.T) {
	seen := 0
	for x := range 0x10000 {
		b := udp(2)
		b[8], b[9] = byte(x>>8), byte(x)
		in := ip4{proto: 17, payload: sealed(web4, pool4, 17, b)}.bytes()
		var out [100]byte
		n, res := newTranslator().To6(out[:], in, Offload{})
		if res.Reason != Translated {
			t.Fatal(res)
		}
		if !checksumGood(out[:n]) {
			t.Fatalf("%x: % x", x, out[:n])
		}
		if out[46] == 0xff && out[47] == 0xff {
			seen++
		}
	}
	if seen == 0 {
		t.Error("the case did not occur")
	}
}
