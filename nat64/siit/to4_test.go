package siit

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestTo4(t *testing.T) {
	tcp6 := sealed(guest6, web6, 6, tcp(100))
	udp6 := sealed(guest6, web6, 17, udp(33))
	big := sealed(guest6, web6, 6, tcp(1300))
	for _, tt := range []struct {
		name string
		in   ip6
		want ip4
	}{
		// RFC 7915, section 5.1: up to 1260 octets go without DF and with an
		// identification, longer ones with DF and without.
		{"TCP", ip6{next: 6, payload: tcp6, tc: 0xb8}, ip4{src: pool4, dst: web4, tos: 0xb8, ttl: 63, proto: 6, id: 0x1234, payload: sealed(pool4, web4, 6, tcp6)}},
		{"UDP", ip6{next: 17, payload: udp6}, ip4{src: pool4, dst: web4, ttl: 63, proto: 17, id: 0x1234, payload: sealed(pool4, web4, 17, udp6)}},
		{"long", ip6{next: 6, payload: big}, ip4{src: pool4, dst: web4, ttl: 63, proto: 6, flags: 0x4000, payload: sealed(pool4, web4, 6, big)}},
		{"1260", ip6{next: 59, payload: make([]byte, 1240)}, ip4{src: pool4, dst: web4, ttl: 63, proto: 59, id: 0x1234, payload: make([]byte, 1240)}},
		{"1261", ip6{next: 59, payload: make([]byte, 1241)}, ip4{src: pool4, dst: web4, ttl: 63, proto: 59, flags: 0x4000, payload: make([]byte, 1241)}},
		// Section 5.2.
		{"echo", ip6{next: 58, payload: sealed(guest6, web6, 58, echo(128, 56))}, ip4{src: pool4, dst: web4, ttl: 63, proto: 1, id: 0x1234, payload: sealed(pool4, web4, 1, echo(8, 56))}},
		{"echo reply, odd", ip6{next: 58, payload: sealed(guest6, web6, 58, echo(129, 57))}, ip4{src: pool4, dst: web4, ttl: 63, proto: 1, id: 0x1234, payload: sealed(pool4, web4, 1, echo(0, 57))}},
		// Other protocols are copied; ESP's checks cover no addresses.
		{"ESP", ip6{next: 50, payload: []byte{1, 2, 3, 4, 5}}, ip4{src: pool4, dst: web4, ttl: 63, proto: 50, id: 0x1234, payload: []byte{1, 2, 3, 4, 5}}},
		{"UDP-Lite", ip6{next: 136, payload: sealed(guest6, web6, 136, udp(9))}, ip4{src: pool4, dst: web4, ttl: 63, proto: 136, id: 0x1234, payload: sealed(pool4, web4, 136, udp(9))}},
		// Extension headers are skipped (section 5.1).
		{"extension headers", ip6{next: 0, headers: join([]byte{60, 0, 1, 4, 0, 0, 0, 0}, []byte{43, 1}, make([]byte, 14), []byte{17, 0, 2, 0, 0, 0, 0, 0}), payload: udp6},
			ip4{src: pool4, dst: web4, ttl: 63, proto: 17, id: 0x1234, payload: sealed(pool4, web4, 17, udp6)}},
		// Section 5.1.1.
		{"first fragment", ip6{next: 44, headers: fragHeader(6, 0, true, 0xabcd5678), payload: tcp6[:104]},
			ip4{src: pool4, dst: web4, ttl: 63, proto: 6, id: 0x5678, flags: 0x2000, payload: sealed(pool4, web4, 6, tcp6)[:104]}},
		{"last fragment", ip6{next: 44, headers: fragHeader(6, 104, false, 0xabcd5678), payload: tcp6[104:]},
			ip4{src: pool4, dst: web4, ttl: 63, proto: 6, id: 0x5678, flags: 104 / 8, payload: tcp6[104:]}},
		{"long middle fragment", ip6{next: 44, headers: fragHeader(17, 1400, true, 9), payload: make([]byte, 1400)},
			ip4{src: pool4, dst: web4, ttl: 63, proto: 17, id: 9, flags: 0x2000 | 1400/8, payload: make([]byte, 1400)}},
		// Atomic fragments are accepted (RFC 8021), headers behind them too.
		{"atomic fragment", ip6{next: 44, headers: fragHeader(17, 0, false, 0x77), payload: udp6},
			ip4{src: pool4, dst: web4, ttl: 63, proto: 17, id: 0x77, payload: sealed(pool4, web4, 17, udp6)}},
		{"header behind atomic fragment", ip6{next: 44, headers: join(fragHeader(60, 0, false, 0x77), []byte{17, 0, 1, 4, 0, 0, 0, 0}), payload: udp6},
			ip4{src: pool4, dst: web4, ttl: 63, proto: 17, id: 0x77, payload: sealed(pool4, web4, 17, udp6)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := tt.in.bytes()
			if tt.name == "extension headers" {
				src[48+2+3] = 0
			}
			dst := make([]byte, len(src))
			n, res := newTranslator().To4(dst, src, Offload{})
			if res != (Result{}) {
				t.Fatalf("result %+v", res)
			}
			if want := tt.want.bytes(); !bytes.Equal(dst[:n], want) {
				t.Errorf("got\n% x\nwant\n% x", dst[:n], want)
			}
			// In place, dst 20 octets behind src.
			buf := append([]byte(nil), src...)
			m, _ := newTranslator().To4(buf[20:], buf, Offload{})
			if !bytes.Equal(buf[20:20+m], dst[:n]) {
				t.Errorf("in place: % x", buf[20:20+m])
			}
		})
	}
}

func TestTo4Refuses(t *testing.T) {
	udp6 := sealed(guest6, web6, 17, udp(8))
	noSum := udp(8)
	for _, tt := range []struct {
		name string
		in   []byte
		mtu4 int
		want Result
	}{
		{"empty", nil, 0, Result{Reason: Malformed}},
		{"IPv4", ip4{proto: 17, payload: udp(1)}.bytes(), 0, Result{Reason: Malformed}},
		{"short", ip6{next: 17, payload: udp6}.bytes()[:50], 0, Result{Reason: Malformed}},
		{"half a TCP header", ip6{next: 6, payload: make([]byte, 17)}.bytes(), 0, Result{Reason: Malformed}},
		{"half an extension header", ip6{next: 0, payload: []byte{17, 1, 0, 0, 0, 0, 0, 0}}.bytes(), 0, Result{Reason: Malformed}},
		{"two fragment headers", ip6{next: 44, headers: join(fragHeader(44, 0, false, 1), fragHeader(17, 0, false, 1)), payload: udp6}.bytes(), 0, Result{Reason: Malformed}},
		{"uneven fragment", ip6{next: 44, headers: fragHeader(17, 0, true, 1), payload: udp6[:15]}.bytes(), 0, Result{Reason: Malformed}},
		{"fragment beyond 65535", ip6{next: 44, headers: fragHeader(17, 65528, false, 1), payload: udp6}.bytes(), 0, Result{Reason: Malformed}},
		{"hop limit", ip6{next: 17, payload: udp6, hops: 1}.bytes(), 0, Result{HopLimit, ICMP{Type: 3}}},
		// RFC 7915, section 5.1: pointer at the segments left.
		{"routing header", ip6{next: 60, headers: join([]byte{43, 0, 1, 4, 0, 0, 0, 0}, []byte{17, 0, 0, 1, 0, 0, 0, 0}), payload: udp6}.bytes(), 0, Result{SourceRoute, ICMP{Type: 4, Info: 51}}},
		{"source not ours", ip6{src: "2001:db8:9::1", next: 17, payload: udp6}.bytes(), 0, Result{Reason: NotMapped}},
		{"destination not ours", ip6{dst: "2001:db8:9::1", next: 17, payload: udp6}.bytes(), 0, Result{Reason: NotMapped}},
		{"private destination", ip6{dst: "64:ff9b::10.0.0.1", next: 17, payload: udp6}.bytes(), 0, Result{Denied, ICMP{Type: 1, Code: 1}}},
		{"MLD", ip6{next: 58, payload: []byte{143, 0, 0, 0, 0, 0, 0, 0}}.bytes(), 0, Result{Reason: Unsupported}},
		{"neighbour solicitation", ip6{next: 58, payload: make([]byte, 24)}.bytes(), 0, Result{Reason: Malformed}},
		{"ICMPv4", ip6{next: 1, payload: echo(8, 0)}.bytes(), 0, Result{Reason: Unsupported}},
		{"fragmented echo", ip6{next: 44, headers: fragHeader(58, 0, true, 1), payload: echo(128, 0)}.bytes(), 0, Result{Reason: FragmentedICMP}},
		{"fragmented echo, end", ip6{next: 44, headers: fragHeader(58, 8, false, 1), payload: echo(128, 0)}.bytes(), 0, Result{Reason: FragmentedICMP}},
		{"header behind fragment", ip6{next: 44, headers: join(fragHeader(60, 0, true, 1), []byte{17, 0, 1, 4, 0, 0, 0, 0}), payload: udp6}.bytes(), 0, Result{Reason: HiddenHeader}},
		{"header behind later fragment", ip6{next: 44, headers: fragHeader(60, 8, false, 1), payload: udp6}.bytes(), 0, Result{Reason: HiddenHeader}},
		{"no UDP checksum", ip6{next: 17, payload: noSum}.bytes(), 0, Result{Reason: ZeroChecksum}},
		{"over the MTU", ip6{next: 17, payload: udp(1400)}.bytes(), 1400, Result{TooBig, ICMP{Type: 2, Info: 1420}}},
		{"over a tiny MTU", ip6{next: 17, payload: udp(1400)}.bytes(), 576, Result{TooBig, ICMP{Type: 2, Info: 1280}}},
		{"over what IPv4 can", ip6{next: 50, payload: make([]byte, 65530)}.bytes(), 0, Result{TooBig, ICMP{Type: 2, Info: 65555}}},
	} {
		if tt.name == "neighbour solicitation" {
			tt.in[40], tt.want.Reason = 135, Unsupported
		}
		tr := newTranslator()
		tr.MTU4 = tt.mtu4
		n, res := tr.To4(make([]byte, 70000), tt.in, Offload{})
		if n != 0 || res != tt.want {
			t.Errorf("%s: %d, %+v, want %+v", tt.name, n, res, tt.want)
		}
	}
	if _, res := newTranslator().To4(make([]byte, 20), (ip6{next: 17, payload: udp6}).bytes(), Offload{}); res.Reason != NoSpace {
		t.Errorf("small buffer: %+v", res)
	}
}

func TestHopLimitKept(t *testing.T) {
	tr := newTranslator()
	tr.KeepHops, tr.ZeroTrafficClass = true, true
	dst := make([]byte, 200)
	n, res := tr.To4(dst, ip6{next: 50, hops: 1, tc: 0xff, payload: make([]byte, 8)}.bytes(), Offload{})
	if n != 28 || res.Reason != Translated || dst[8] != 1 || dst[1] != 0 {
		t.Errorf("%d %+v ttl %d tos %#x", n, res, dst[8], dst[1])
	}
}

// A sum of the pseudo-header alone, as virtio-net has it, stays one.
func TestPartial(t *testing.T) {
	for _, proto := range []byte{6, 17} {
		u := tcp(3000)
		if proto == 17 {
			u = udp(3000)
		}
		at := naiveChecksumAt(proto)
		set := func(v6 bool) []byte {
			s, d := addr(pool4), addr(web4)
			if v6 {
				s, d = addr(guest6), addr(web6)
			}
			b := append([]byte(nil), u...)
			binary.BigEndian.PutUint16(b[at:], naiveSum(pseudo(s, d, proto, len(u))))
			return b
		}
		dst := make([]byte, 4000)
		o := Offload{Partial: true, Segmented: true}
		n, res := newTranslator().To4(dst, ip6{next: proto, payload: set(true)}.bytes(), o)
		if res.Reason != Translated || !bytes.Equal(dst[20:n], set(false)) {
			t.Errorf("protocol %d to IPv4: %+v", proto, res)
		}
		// Back, with the roles of the addresses exchanged: the sum is the same.
		n, res = newTranslator().To6(dst, ip4{proto: proto, flags: 0x4000, payload: set(false)}.bytes(), o)
		if res.Reason != Translated || !bytes.Equal(dst[40:n], set(true)) {
			t.Errorf("protocol %d to IPv6: %+v", proto, res)
		}
	}
	if _, res := newTranslator().To6(make([]byte, 5000), (ip4{proto: 17, payload: udp(2000)}).bytes(), Offload{Partial: true}); res.Reason != TooBig {
		t.Errorf("partial to be fragmented: %+v", res)
	}
}
