package fastpath

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/sixhost/sixhost/nat64/siit"
)

// same compares what the program made of a packet with what package siit makes
// of it.
func (s *stage) same(t *testing.T, to6 bool, packet []byte, v vnet) {
	t.Helper()
	tr := siit.Translator{Map: oneGuest{s.settings.Prefix, s.guest6, s.pool}}
	o := siit.Offload{Partial: v.flags&1 != 0, Segmented: v.gso != 0}
	want := make([]byte, 200000)
	translate := tr.To4
	if to6 {
		translate = tr.To6
	}
	n, res := translate(want, packet, o)
	if res.Reason != siit.Translated {
		t.Fatalf("translated on the fast path, but package siit says %s: %x", res.Reason, packet)
	}
	want = want[:n]
	got, gv := s.receive(t, to6)
	for range 3 {
		if got != nil {
			break
		}
		// The queue behind a redirect is the processor's and everybody's, and drops
		// what it has no place for.
		s.send(t, to6, packet, v)
		got, gv = s.receive(t, to6)
	}
	if got == nil {
		t.Fatalf("to6 %v: nothing comes out for %x", to6, packet)
	}
	if !to6 && binary.BigEndian.Uint16(want[6:])&0x4000 == 0 {
		// The identification is random on both ways.
		if len(got) < 20 {
			t.Fatalf("got %x", got)
		}
		if sum(got[:20]) != 0xffff {
			t.Errorf("wrong header checksum: %x", got[:20])
		}
		copy(want[4:6], got[4:6])
		reseal(want)
	}
	if !bytes.Equal(got, want) {
		i := 0
		for i < len(got) && i < len(want) && got[i] == want[i] {
			i++
		}
		t.Fatalf("to6 %v, %d octets, %+v: differ at %d:\nfast %x (%d)\nslow %x (%d)", to6, len(packet), v, i, got[:min(len(got), 80)], len(got), want[:min(len(want), 80)], len(want))
	}
	if s.header {
		shift := func(n uint16) uint16 {
			if n == 0 {
				return 0
			}
			if to6 {
				return n + 20
			}
			return n - 20
		}
		if v.flags&1 != 0 && (gv.flags&1 == 0 || gv.sumStart != shift(v.sumStart) || gv.sumOffset != v.sumOffset) {
			t.Errorf("to6 %v: partial checksum of %+v became %+v", to6, v, gv)
		}
		gso := map[uint8]uint8{1: 4, 4: 1}
		if to6 != (v.gso == 1) && v.gso != 5 {
			gso = nil
		}
		if v.gso == 5 {
			gso = map[uint8]uint8{5: 5}
		}
		if v.gso != 0 && (gv.gso&0x7f != gso[v.gso] || gv.size != v.size) {
			t.Errorf("to6 %v: segmentation of %+v became %+v", to6, v, gv)
		}
	}
}

// seeded logs the seed of what is random in a test.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// rounds is how many random packets a test takes.
func rounds() int {
	if os.Getenv("CI_TIER") == "full" {
		return 200000
	}
	return 3000
}

// Random packets of the kinds the programs are for, right and wrong checksums:
// the same octets as by package siit.
func TestSameOctets(t *testing.T) {
	for _, prefix := range []string{"64:ff9b::/96", "2001:db8:64::/48", "2001:db8::/32", "2001:db8:100::/40", "2001:db8:1:100::/56", "2001:db8:1:99::/64"} {
		s := newStage(t, prefix, false)
		n := rounds()
		if prefix != "64:ff9b::/96" {
			n /= 10
		}
		rng := seeded(t)
		for range n {
			h := head{tc: uint8(rng.Uint32()), hops: uint8(2 + rng.IntN(254)), df: rng.IntN(4) != 0}
			to6 := rng.IntN(2) == 0
			// An address that nobody denies.
			web := addr("198.18.0.0").As4()
			for i := 1; i < 4; i++ {
				web[i] = uint8(rng.Uint32())
			}
			web4 := addr("0.0.0.0")
			if err := web4.UnmarshalBinary(web[:]); err != nil {
				t.Fatal(err)
			}
			most := 1400
			if to6 && !h.df {
				most = 1200
			}
			size := rng.IntN(most)
			if to6 {
				h.proto, h.src, h.dst = []uint8{1, 6, 17}[rng.IntN(3)], web4, s.pool
			} else {
				h.proto, h.src, h.dst = []uint8{58, 6, 17}[rng.IntN(3)], s.guest6, s.settings.Prefix.Embed(web4)
			}
			u, at := upper(h.proto, size)
			for i := range u[8:] {
				u[8+i] = uint8(rng.Uint32())
			}
			if h.proto == 1 && rng.IntN(2) == 0 {
				u[0] = 0
			}
			if h.proto == 58 && rng.IntN(2) == 0 {
				u[0] = 129
			}
			seal(h.src, h.dst, h.proto, u, at, false)
			switch rng.IntN(8) {
			case 0: // wrong, and to stay so
				u[at+1] ^= uint8(1 + rng.IntN(255))
			case 1: // the sums that have two forms
				binary.BigEndian.PutUint16(u[at:], []uint16{0xffff, 1, 0xfffe, 0}[rng.IntN(4)])
			}
			zero := h.proto == 17 && binary.BigEndian.Uint16(u[at:]) == 0
			packet := ipv6(h, u)
			if to6 {
				packet = ipv4(h, u)
			}
			switch got := s.outcome(t, to6, packet, vnet{}); {
			case got == Translated:
				s.same(t, to6, packet, vnet{})
			case got == ZeroChecksum && zero:
			default:
				t.Fatalf("to6 %v: %s: %x", to6, got, packet)
			}
		}
	}
}

// Super-packets and partial checksums, as virtual machines send them.
func TestSameOctetsOffloaded(t *testing.T) {
	s := newStage(t, "64:ff9b::/96", true)
	rng := seeded(t)
	for i := range rounds() / 10 {
		h := head{tc: uint8(rng.Uint32()), hops: uint8(2 + rng.IntN(254)), df: true, src: s.guest6, dst: addr("64:ff9b::cb00:7209"), proto: []uint8{6, 17}[rng.IntN(2)]}
		to6 := rng.IntN(2) == 0
		if to6 {
			h.src, h.dst = addr("203.0.114.9"), s.pool
		}
		large := i%2 == 0
		size := rng.IntN(1300)
		if large {
			size = 3000 + rng.IntN(58000)
		}
		u, at := upper(h.proto, size)
		for i := range u[8:] {
			u[8+i] = uint8(rng.Uint32())
		}
		if h.proto == 6 {
			u[12] = 0x50
		}
		seal(h.src, h.dst, h.proto, u, at, true)
		network := 40
		if to6 {
			network = 20
		}
		v := vnet{flags: 1, sumStart: uint16(network), sumOffset: uint16(at)}
		if large {
			v.size, v.headers = 1200, uint16(network+20)
			switch {
			case h.proto == 17:
				v.gso, v.headers = 5, uint16(network+8)
			case to6:
				v.gso = 1
			default:
				v.gso = 4
			}
		}
		packet := ipv6(h, u)
		if to6 {
			packet = ipv4(h, u)
		}
		if got := s.outcome(t, to6, packet, v); got != Translated {
			t.Fatalf("to6 %v, %+v: %s", to6, v, got)
		}
		s.same(t, to6, packet, v)
	}
}
