package siit

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// pieces cuts a payload into fragments of a size.
func pieces4(p ip4, size int) (out [][]byte) {
	whole := p.payload
	for off := 0; off < len(whole); off += size {
		q := p
		q.payload = whole[off:min(off+size, len(whole))]
		q.flags = uint16(off / 8)
		if off+size < len(whole) {
			q.flags |= 0x2000
		}
		out = append(out, q.bytes())
	}
	return out
}

func pieces6(p ip6, proto byte, size int, id uint32) (out [][]byte) {
	whole, headers, next := p.payload, p.headers, p.next
	for off := 0; off < len(whole); off += size {
		q := p
		q.payload = whole[off:min(off+size, len(whole))]
		q.headers = append(bytes.Clone(headers), fragHeader(proto, off, off+size < len(whole), id)...)
		if next == 0 && headers == nil {
			q.next = 44
		}
		out = append(out, q.bytes())
	}
	return out
}

// A ping of 10,000 octets, in whatever order its pieces come, is translated
// there and back as if it had never been in pieces.
func TestReassembledEcho(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	request := sealed(guest6, web6, 58, echo(128, 10000))
	for range 20 {
		all := pieces6(ip6{payload: request}, 58, 1448, 77)
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var r Reassembler
		var whole []byte
		for i, f := range all {
			if got := r.Holds(f, 0, 5); got != (i > 0) {
				t.Fatalf("piece %d: holds %v", i, got)
			}
			whole = r.Add(f, 0, 5)
			if (whole != nil) != (i == len(all)-1) {
				t.Fatalf("piece %d of %d: whole %v", i, len(all), whole != nil)
			}
		}
		dst := make([]byte, 20000)
		n, res := newTranslator().To4(dst, whole, Offload{})
		want := ip4{src: pool4, dst: web4, ttl: 63, proto: 1, id: 77, payload: sealed(pool4, web4, 1, echo(8, 10000))}.bytes()
		if res.Reason != Translated || !bytes.Equal(dst[:n], want) {
			t.Fatalf("to IPv4: %d %+v", n, res)
		}
	}
	reply := sealed(web4, pool4, 1, echo(0, 10000))
	all := pieces4(ip4{proto: 1, id: 0x1234, payload: reply, options: []byte{1, 1, 1, 1}}, 1480)
	var r Reassembler
	var whole []byte
	for _, f := range all {
		whole = r.Add(f, 0, 5)
	}
	dst := make([]byte, 20000)
	n, res := newTranslator().To6(dst, whole, Offload{})
	if res.Reason != Translated {
		t.Fatalf("to IPv6: %+v", res)
	}
	// It comes out in fragments; together they are the message.
	var got []byte
	for p, rest := Next6(dst[:n]); len(p) > 0; p, rest = Next6(rest) {
		if len(p) > 1280 || p[6] != 44 || p[40] != 58 {
			t.Fatalf("not a fragment of ICMPv6: % x", p[:48])
		}
		got = append(got, p[48:]...)
	}
	if !bytes.Equal(got, sealed(web6, guest6, 58, echo(129, 10000))) {
		t.Error("the message changed")
	}
}

// Extension headers behind the fragment header go (RFC 7915, section 5.1), and
// every offset behind them is right.
func TestReassembledHiddenHeader(t *testing.T) {
	upper := sealed(guest6, web6, 17, udp(3000))
	fragmentable := join([]byte{17, 1, 1, 12}, make([]byte, 12), upper)
	var r Reassembler
	var whole []byte
	for _, f := range pieces6(ip6{payload: fragmentable}, 60, 1232, 9) {
		if _, res := newTranslator().To4(make([]byte, 2000), f, Offload{}); res.Reason != HiddenHeader {
			t.Fatalf("a fragment alone: %+v", res)
		}
		whole = r.Add(f, 0, 0)
	}
	dst := make([]byte, 5000)
	n, res := newTranslator().To4(dst, whole, Offload{})
	want := ip4{src: pool4, dst: web4, ttl: 63, proto: 17, id: 9, payload: sealed(pool4, web4, 17, upper)}.bytes()
	if res.Reason != Translated || !bytes.Equal(dst[:n], want) {
		t.Errorf("%d %+v", n, res)
	}
}

// Without a checksum in IPv4, the whole is needed to give it one.
func TestReassembledZeroChecksum(t *testing.T) {
	noSum := udp(3000)
	var r Reassembler
	var whole []byte
	for i, f := range pieces4(ip4{proto: 17, id: 4, payload: noSum}, 1480) {
		if _, res := newTranslator().To6(make([]byte, 2000), f, Offload{}); (res.Reason == ZeroChecksum) != (i == 0) {
			t.Fatalf("fragment %d alone: %+v", i, res)
		}
		whole = r.Add(f, 0, 0)
	}
	dst := make([]byte, 5000)
	n, res := newTranslator().To6(dst, whole, Offload{})
	var got []byte
	for p, rest := Next6(dst[:n]); len(p) > 0; p, rest = Next6(rest) {
		got = append(got, p[48:]...)
	}
	if res.Reason != Translated || !bytes.Equal(got, sealed(web6, guest6, 17, noSum)) {
		t.Errorf("%d %+v", n, res)
	}
}

func TestReassemblerRefuses(t *testing.T) {
	whole := udp(3000)
	all := pieces4(ip4{proto: 17, id: 4, payload: whole}, 1000)
	add := func(r *Reassembler, now int64, fs ...[]byte) (out []byte) {
		for _, f := range fs {
			out = r.Add(f, 0, now)
		}
		return out
	}
	overlap := ip4{proto: 17, id: 4, flags: 0x2000 | 992/8, payload: whole[992:2000]}.bytes()
	for name, fs := range map[string][][]byte{
		"not a fragment":       {ip4{proto: 17, payload: udp(3)}.bytes()},
		"an atomic fragment":   {ip6{next: 44, headers: fragHeader(17, 0, false, 1), payload: udp(3)}.bytes()},
		"overlap":              {all[0], overlap, all[2], all[3]},
		"twice":                {all[0], all[0], all[2], all[3]},
		"behind the end":       {all[0], all[1], all[3], ip4{proto: 17, id: 4, flags: 4000 / 8, payload: whole[:8]}.bytes(), all[2]},
		"another end":          {all[3], ip4{proto: 17, id: 4, flags: 2000 / 8, payload: whole[:8]}.bytes(), all[0], all[1]},
		"too long":             {ip4{proto: 17, id: 4, flags: 65528 / 8, payload: whole[:16]}.bytes()},
		"another protocol":     {all[0], all[1], all[2], ip4{proto: 1, id: 4, flags: 3000 / 8, payload: whole[3000:]}.bytes()},
		"another id":           {all[0], all[1], all[2], ip4{proto: 17, id: 5, flags: 3000 / 8, payload: whole[3000:]}.bytes()},
		"IPv6, cut off":        {ip6{next: 44, headers: fragHeader(17, 0, true, 1)[:7]}.bytes()},
		"IPv6, longer than is": {append(ip6{next: 44, headers: fragHeader(17, 0, true, 1), payload: udp(0)}.bytes()[:44], 1, 2)},
		"empty":                {nil, {0x60}},
	} {
		if got := add(new(Reassembler), 0, fs...); got != nil {
			t.Errorf("%s: put together", name)
		}
	}
	var r Reassembler
	add(&r, 100, all[:3]...)
	if r.Holds(all[3], 0, 116) || add(&r, 116, all[3]) != nil {
		t.Error("put together after too long")
	}
	r = Reassembler{Packets: 2}
	add(&r, 0, all[:3]...)
	for _, src := range []string{"203.0.114.66", "203.0.114.67"} {
		add(&r, 0, ip4{src: src, proto: 17, id: 4, flags: 0x2000, payload: whole[:8]}.bytes())
	}
	if len(r.open) != 2 || r.Holds(all[3], 0, 0) {
		t.Errorf("%d packets incomplete", len(r.open))
	}
	// One source doesn't push out the others.
	r = Reassembler{}
	add(&r, 0, all[:3]...)
	for id := range uint16(1000) {
		add(&r, 0, ip4{src: "203.0.114.66", proto: 17, id: id, flags: 0x2000, payload: whole[:8]}.bytes())
	}
	if len(r.open) != 1+16 || add(&r, 0, all[3]) == nil {
		t.Errorf("%d packets incomplete", len(r.open))
	}
	// Very small pieces.
	r = Reassembler{}
	for _, f := range pieces4(ip4{proto: 17, id: 9, payload: whole}, 16) {
		r.Add(f, 0, 0)
	}
	for _, p := range r.open {
		if len(p.pieces) > maxFragments {
			t.Errorf("%d pieces held", len(p.pieces))
		}
	}
}

// FuzzReassembler: a payload cut and shuffled by the input comes back as it was;
// whatever else is in between is never put into it.
func FuzzReassembler(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte("0123456789abcdef0123456789abcdef"), uint64(1))
	f.Add(seeds6()[3], []byte("0123456789abcdef0123456789abcdef01234567"), uint64(2))
	f.Fuzz(func(t *testing.T, other, payload []byte, seed uint64) {
		if len(payload) == 0 || len(payload) > 1000 {
			return
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		size := (1 + rng.IntN(20)) * 8
		all := pieces6(ip6{payload: payload}, 99, size, 7)
		if len(all) == 1 {
			return
		}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var r Reassembler
		r.Add(other, 0, 0)
		if r.Holds(all[0], 0, 0) {
			return // the other is a piece of the same
		}
		var whole []byte
		for _, f := range all {
			if whole != nil {
				t.Fatal("whole before the end")
			}
			whole = r.Add(f, 0, 0)
		}
		want := ip6{next: 44, headers: fragHeader(99, 0, false, 7), payload: payload}.bytes()
		if !bytes.Equal(whole, want) {
			t.Fatalf("got\n% x\nwant\n% x", whole, want)
		}
	})
}
