package siit

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/sixhost/sixhost/nat64"
)

// everyMap maps every address by a /32, so that fuzzed addresses get through.
type everyMap struct{}

func (everyMap) prefix() nat64.Prefix {
	p, _ := nat64.PrefixFrom(netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8}), 32))
	return p
}

func (m everyMap) To4(a netip.Addr, _ Role) (netip.Addr, Reason) {
	if v4, ok := m.prefix().Extract(a); ok {
		return v4, Translated
	}
	b := a.As16()
	return netip.AddrFrom4([4]byte(b[12:])), Translated
}

func (m everyMap) To6(a netip.Addr, _ Role) (netip.Addr, Reason) {
	return m.prefix().Embed(a), Translated
}

// testMapFast is testMap without parsing.
type testMapFast struct{ everyMap }

func (testMapFast) To4(a netip.Addr, r Role) (netip.Addr, Reason) {
	if v4, ok := nat64.WellKnown().Extract(a); ok && !nat64.IsGlobal(v4) {
		return netip.Addr{}, Denied
	}
	return everyMap{}.To4(a, r)
}

var (
	addr4 = netip.AddrFrom4([4]byte{192, 168, 160, 1})
	addr6 = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: 1})
)

func seeds4() [][]byte {
	out := ip4{src: pool4, dst: web4, proto: 17, payload: sealed(pool4, web4, 17, udp(40))}.bytes()
	return [][]byte{
		ip4{proto: 6, flags: 0x4000, payload: sealed(web4, pool4, 6, tcp(5))}.bytes(),
		ip4{proto: 17, payload: sealed(web4, pool4, 17, udp(3000))}.bytes(),
		ip4{proto: 17, payload: udp(30)}.bytes(),
		ip4{proto: 17, flags: 0x2001, options: bytes.Repeat([]byte{1}, 40), payload: udp(2992)}.bytes(),
		ip4{proto: 1, payload: sealed(web4, pool4, 1, echo(8, 9))}.bytes(),
		ip4{proto: 1, payload: sealed(web4, pool4, 1, icmpErr(3, 4, 1400, out))}.bytes(),
		ip4{proto: 1, payload: sealed(web4, pool4, 1, icmpErr(11, 0, 17<<16, out, []byte{0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 2, 3}))}.bytes(),
		ip4{proto: 1, payload: sealed(web4, pool4, 1, icmpErr(12, 0, 8<<24, ip4{src: pool4, dst: web4, proto: 1, flags: 1, payload: echo(0, 1)}.bytes()))}.bytes(),
		ip4{proto: 50, options: []byte{131, 3, 4, 0}, payload: []byte{1}}.bytes(),
	}
}

func seeds6() [][]byte {
	in := ip6{src: web6, dst: guest6, next: 17, payload: sealed(web6, guest6, 17, udp(40))}.bytes()
	return [][]byte{
		ip6{next: 6, payload: sealed(guest6, web6, 6, tcp(5))}.bytes(),
		ip6{next: 17, payload: sealed(guest6, web6, 17, udp(1400))}.bytes(),
		ip6{next: 0, headers: []byte{60, 0, 1, 4, 0, 0, 0, 0, 43, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0}, payload: sealed(guest6, web6, 17, udp(1))}.bytes(),
		ip6{next: 44, headers: fragHeader(6, 0, true, 77), payload: tcp(12)}.bytes(),
		ip6{next: 44, headers: fragHeader(60, 0, false, 77), payload: append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udp(12)...)}.bytes(),
		ip6{next: 58, payload: sealed(guest6, web6, 58, echo(128, 9))}.bytes(),
		ip6{next: 58, payload: sealed(guest6, web6, 58, icmpErr(2, 0, 1280, in))}.bytes(),
		ip6{next: 58, payload: sealed(guest6, web6, 58, icmpErr(3, 0, 11<<24, in, []byte{0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 2, 3}))}.bytes(),
		ip6{next: 58, payload: sealed(guest6, web6, 58, icmpErr(4, 0, 8, ip6{src: web6, dst: guest6, next: 44, headers: fragHeader(58, 8, false, 1), payload: echo(129, 1)}.bytes()))}.bytes(),
	}
}

// guarded gives a translator's output room with a fence behind it.
func guarded(t *testing.T, n int, f func(dst []byte) (int, Result)) ([]byte, Result) {
	const fence = 64
	buf := bytes.Repeat([]byte{0xa5}, n+fence)
	m, res := f(buf[:n:n])
	if m < 0 || m > n || (m == 0) != (res.Reason != Translated) {
		t.Fatalf("%d octets with %+v", m, res)
	}
	if !bytes.Equal(buf[n:], bytes.Repeat([]byte{0xa5}, fence)) {
		t.Fatal("wrote behind the buffer")
	}
	return buf[:m], res
}

// isError: a whole ICMP error, whose body changes its checksum in other ways.
func isError(p packet) bool { return p.isICMPError() }

func FuzzTo6(f *testing.F) {
	for _, s := range seeds4() {
		f.Add(s, uint16(0), false)
		f.Add(s, uint16(1400), true)
	}
	f.Fuzz(func(t *testing.T, src []byte, mtu uint16, keep bool) {
		if len(src) >= 20 && int(src[0]&15) >= 5 && int(src[0]&15)*4 <= len(src) {
			// A right header checksum, or nothing gets anywhere.
			src[10], src[11] = 0, 0
			binary.BigEndian.PutUint16(src[10:], ^naiveSum(src[:int(src[0]&15)*4]))
		}
		before := bytes.Clone(src)
		tr := &Translator{Map: everyMap{}, MTU6: int(mtu), KeepHops: keep, ID: func() uint16 { return 1 }}
		room := len(src) + 96*(1+len(src)/1232)
		out, res := guarded(t, room, func(dst []byte) (int, Result) { return tr.To6(dst, src, Offload{}) })
		if !bytes.Equal(src, before) {
			t.Fatal("changed its input")
		}
		checkAnswer4(t, tr, src, res)
		if res.Reason != Translated {
			return
		}
		p, _ := parse4(src, false)
		good := checksumGood(src)
		total := 0
		for pkt, rest := Next6(out); ; pkt, rest = Next6(rest) {
			if len(pkt) < 40 || pkt[0]>>4 != 6 || len(pkt) != 40+int(binary.BigEndian.Uint16(pkt[4:])) {
				t.Fatalf("bad length: % x", pkt)
			}
			q, res := parse6(pkt, false)
			if res.Reason != Translated && res.Reason != HiddenHeader {
				t.Fatalf("what came out can't be read: %+v % x", res, pkt)
			}
			total += q.length
			if p.whole() && !q.frag && good != checksumGood(pkt) && src[9] != 58 {
				t.Fatalf("checksum good %v, then %v\n% x\n% x", good, !good, src, pkt)
			}
			if len(rest) == 0 {
				break
			}
		}
		if !isError(p) && total != p.length {
			t.Fatalf("%d octets of payload became %d", p.length, total)
		}
		// In place it is the same.
		buf := make([]byte, room+20)
		copy(buf[20:], src)
		n, _ := tr.To6(buf, buf[20:20+len(src)], Offload{})
		if !bytes.Equal(buf[:n], out) {
			t.Fatalf("in place:\n% x\n% x", buf[:n], out)
		}
		// And back: the same upper layer.
		if p.frag || len(out) != 40+p.length || isError(p) {
			return
		}
		back, res := guarded(t, len(out), func(dst []byte) (int, Result) {
			return (&Translator{Map: everyMap{}, KeepHops: true}).To4(dst, out, Offload{})
		})
		if res.Reason != Translated {
			t.Fatalf("not back: %+v", res)
		}
		if p.proto == protoUDP && p.payload[6] == 0 && p.payload[7] == 0 {
			return
		}
		if !sameUpper(back[20:], p.payload, p.proto) || !bytes.Equal(back[12:20], src[12:20]) || back[1] != src[1] {
			t.Fatalf("there and back:\n% x\n% x", src, back)
		}
	})
}

func FuzzTo4(f *testing.F) {
	for _, s := range seeds6() {
		f.Add(s, uint16(0), false)
		f.Add(s, uint16(1300), true)
	}
	f.Fuzz(func(t *testing.T, src []byte, mtu uint16, keep bool) {
		before := bytes.Clone(src)
		tr := &Translator{Map: everyMap{}, MTU4: int(mtu), KeepHops: keep, ID: func() uint16 { return 1 }}
		out, res := guarded(t, len(src), func(dst []byte) (int, Result) { return tr.To4(dst, src, Offload{}) })
		if !bytes.Equal(src, before) {
			t.Fatal("changed its input")
		}
		checkAnswer6(t, tr, src, res)
		if res.Reason != Translated {
			return
		}
		p, _ := parse6(src, false)
		if len(out) < 20 || len(out) != int(binary.BigEndian.Uint16(out[2:])) || out[0] != 0x45 {
			t.Fatalf("bad length: % x", out)
		}
		q, res := parse4(out, false)
		if res.Reason != Translated {
			t.Fatalf("what came out can't be read: %+v % x", res, out)
		}
		if p.whole() {
			if good := checksumGood(src); good != checksumGood(out) {
				t.Fatalf("checksum good %v, then %v\n% x\n% x", good, !good, src, out)
			}
		}
		buf := make([]byte, 2*len(src)+20)
		copy(buf, src)
		n, _ := tr.To4(buf[20:], buf[:len(src)], Offload{})
		if !bytes.Equal(buf[20:20+n], out) {
			t.Fatalf("in place:\n% x\n% x", buf[20:20+n], out)
		}
		if isError(p) {
			return
		}
		if p.length != q.length {
			t.Fatalf("%d octets of payload became %d", p.length, q.length)
		}
		if p.proto == protoICMP4 || out[9] == 43 || q.src.Is4() && p.frag {
			return
		}
		back, res := guarded(t, len(out)+200*(1+len(out)/1232), func(dst []byte) (int, Result) {
			return (&Translator{Map: everyMap{}, KeepHops: true}).To6(dst, out, Offload{Segmented: true})
		})
		if res.Reason != Translated {
			t.Fatalf("not back: %+v", res)
		}
		// The addresses came back other than they went unless they were in the
		// prefix.
		r, _ := parse6(back, false)
		if r.src == p.src && r.dst == p.dst && !sameUpper(r.payload, p.payload, p.proto) {
			t.Fatalf("there and back:\n% x\n% x", src, back)
		}
	})
}

// sameUpper compares upper layers; a checksum of zero has two forms.
func sameUpper(a, b []byte, proto uint8) bool {
	if len(a) != len(b) {
		return false
	}
	at := -1
	if proto == protoICMP4 || proto == protoICMP6 {
		at = 2
	} else {
		at = checksumAt(proto)
	}
	if at >= 0 && at+2 <= len(a) {
		x, y := binary.BigEndian.Uint16(a[at:]), binary.BigEndian.Uint16(b[at:])
		if x != y && !(x^y == 0xffff && (x == 0 || y == 0)) {
			return false
		}
		return bytes.Equal(a[:at], b[:at]) && bytes.Equal(a[at+2:], b[at+2:])
	}
	return bytes.Equal(a, b)
}

func checkAnswer4(t *testing.T, tr *Translator, src []byte, res Result) {
	n := len(src) + 28
	buf := make([]byte, n)
	if m := tr.Error4(buf, addr4, src, res.Answer); m > 0 && (m > maxError4 || !checksumGood(buf[:m])) {
		t.Fatalf("answer of %d: % x", m, buf[:m])
	}
	tr.Error6(buf, addr6, src, ICMP{Type: 1})
}

func checkAnswer6(t *testing.T, tr *Translator, src []byte, res Result) {
	buf := make([]byte, len(src)+48)
	if m := tr.Error6(buf, addr6, src, res.Answer); m > 0 && (m > minMTU6 || !checksumGood(buf[:m])) {
		t.Fatalf("answer of %d: % x", m, buf[:m])
	}
	tr.Error4(buf, addr4, src, ICMP{Type: 3})
}
