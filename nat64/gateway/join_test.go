package gateway

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

// datagram makes one whose checksum is left for later.
func datagram(v6 bool, flow byte, ttl byte, payload []byte) ([]byte, vnet) {
	at := 20
	if v6 {
		at = 40
	}
	p := append(make([]byte, at+8), payload...)
	if v6 {
		p[0], p[6], p[7] = 0x60, 17, ttl
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-at))
		copy(p[8:], []byte{0: 0x20, 1: 1, 15: flow})
		copy(p[24:], []byte{0: 0x20, 1: 1, 15: 9})
	} else {
		p[0], p[8], p[9] = 0x45, ttl, 17
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		copy(p[12:], []byte{10, 64, 0, flow, 203, 0, 114, 9})
		binary.BigEndian.PutUint16(p[10:], ^sumOf(0, p[:20]))
	}
	binary.BigEndian.PutUint16(p[at:], 1000+uint16(flow))
	binary.BigEndian.PutUint16(p[at+2:], 53)
	binary.BigEndian.PutUint16(p[at+4:], uint16(len(p)-at))
	binary.BigEndian.PutUint16(p[at+6:], pseudoSum(p, at))
	return p, vnet{flags: vnetNeedsChecksum, start: uint16(at), sum: 6}
}

// pseudoSum is the sum of a datagram's pseudo-header.
func pseudoSum(p []byte, at int) uint16 {
	from := 12
	if at == 40 {
		from = 8
	}
	return sumOf(17+uint32(len(p)-at), p[from:at])
}

// segments cuts a packet up as the kernel does, and finishes the checksums.
func segments(t *testing.T, h vnet, p []byte) (out []string) {
	t.Helper()
	at := int(h.start)
	if h.gso == gsoUDP && (int(h.headers) != at+8 || binary.BigEndian.Uint16(p[at+6:]) != pseudoSum(p, at)) {
		t.Errorf("headers %d, sum of the pseudo-header %04x, want %04x", h.headers, binary.BigEndian.Uint16(p[at+6:]), pseudoSum(p, at))
	}
	if at == 20 && sumOf(0, p[:20]) != 0xffff {
		t.Errorf("wrong header checksum: % x", p[:20])
	}
	size := len(p)
	if h.gso == gsoUDP {
		size = int(h.size)
	}
	for rest := p[at+8:]; len(rest) > 0; {
		n := min(size, len(rest))
		one := append(bytes.Clone(p[:at+8]), rest[:n]...)
		rest = rest[n:]
		if at == 20 {
			binary.BigEndian.PutUint16(one[2:], uint16(len(one)))
			one[10], one[11] = 0, 0
			binary.BigEndian.PutUint16(one[10:], ^sumOf(0, one[:20]))
		} else {
			binary.BigEndian.PutUint16(one[4:], uint16(len(one)-at))
		}
		binary.BigEndian.PutUint16(one[at+4:], uint16(len(one)-at))
		binary.BigEndian.PutUint16(one[at+6:], pseudoSum(one, at))
		vnet{start: uint16(at), sum: 6}.finish(one)
		out = append(out, string(one))
	}
	return out
}

// Whatever was joined becomes the same datagrams again, in the same order.
func TestJoin(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	joined := 0
	for range 300 {
		dev := &tape{}
		q := newTestQueue(dev, sampleConfig())
		q.join = newJoin()
		var want []string
		v6, flow, size := false, byte(1), 64
		for range 1 + rng.IntN(200) {
			switch rng.IntN(12) {
			case 0:
				v6 = !v6
			case 1:
				flow = byte(1 + rng.IntN(2))
			case 2:
				size = 1 + rng.IntN(1400)
			case 3:
				q.flush()
			}
			ttl := byte(64)
			if rng.IntN(30) == 0 {
				ttl = 63
			}
			n := size
			if rng.IntN(20) == 0 {
				n = 1 + rng.IntN(size)
			}
			payload := make([]byte, n)
			for i := range payload {
				payload[i] = byte(rng.Uint32())
			}
			p, h := datagram(v6, flow, ttl, payload)
			want = append(want, segments(t, h, bytes.Clone(p))...)
			q.write(append(make([]byte, vnetLen), p...), h)
		}
		q.flush()
		var got []string
		for i, p := range dev.out {
			if dev.headers[i].gso != gsoNone {
				joined++
			}
			got = append(got, segments(t, dev.headers[i], p)...)
		}
		if len(got) != len(want) {
			t.Fatalf("%d datagrams became %d", len(want), len(got))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("datagram %d:\ngot  % x\nwant % x", i, got[i], want[i])
			}
		}
	}
	if joined < 300 {
		t.Errorf("only %d packets of several datagrams", joined)
	}
}

// What must stay by itself does.
func TestJoinsNothingElse(t *testing.T) {
	p4, h4 := datagram(false, 1, 64, make([]byte, 100))
	p6, h6 := datagram(true, 1, 64, make([]byte, 100))
	change := func(p []byte, h vnet, f func([]byte, *vnet)) func() ([]byte, vnet) {
		return func() ([]byte, vnet) {
			p, h := bytes.Clone(p), h
			f(p, &h)
			return p, h
		}
	}
	for name, one := range map[string]func() ([]byte, vnet){
		"a checksum of its own": change(p4, h4, func(_ []byte, h *vnet) { *h = vnet{} }),
		"segmented":             change(p4, h4, func(_ []byte, h *vnet) { h.gso, h.size = gsoUDP, 50 }),
		"TCP":                   change(p4, h4, func(p []byte, h *vnet) { p[9], h.sum = 6, 16 }),
		"a fragment":            change(p4, h4, func(p []byte, _ *vnet) { p[6] = 0x20 }),
		"options":               change(p4, h4, func(p []byte, _ *vnet) { p[0] = 0x46 }),
		"a wrong length":        change(p4, h4, func(p []byte, _ *vnet) { p[25]++ }),
		"another header":        change(p6, h6, func(p []byte, _ *vnet) { p[6] = 44 }),
		"no payload":            func() ([]byte, vnet) { return datagram(true, 1, 64, nil) },
		"neither":               change(p6, h6, func(p []byte, _ *vnet) { p[0] = 0 }),
	} {
		j := newJoin()
		if p, h := one(); j.add(p, h) {
			t.Errorf("%s was taken", name)
		}
	}
	// A shorter one is the last, a longer one not of them; and 64 are enough.
	j := newJoin()
	add := func(n int) bool { p, h := datagram(true, 1, 64, make([]byte, n)); return j.add(p, h) }
	if !add(100) || add(101) || !add(99) || add(99) {
		t.Error("sizes")
	}
	j.take()
	for n := 0; ; n++ {
		if !add(10) {
			if n != joinMost {
				t.Errorf("%d were taken", n)
			}
			break
		}
	}
	j.take()
	total := 0
	for add(1400) {
		total += 1400
	}
	if total > joinOctets || total < joinOctets-1500 {
		t.Errorf("%d octets were taken", total)
	}
}
