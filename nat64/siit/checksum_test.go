package siit

import (
	"math/rand/v2"
	"testing"
)

func TestSumAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range 300 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		if n%3 == 0 {
			for i := range b {
				b[i] = 0xff
			}
		}
		if got, want := sum(b), naiveSum(b); got != want {
			t.Fatalf("%d octets: %#x, want %#x", n, got, want)
		}
	}
}

// adjust against calculating the whole checksum again, over every field value
// that matters.
func TestAdjustAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100000 {
		old, changed, rest := uint16(rng.Uint32()), uint16(rng.Uint32()), uint16(rng.Uint32())
		if rng.IntN(8) == 0 {
			old = []uint16{0, 0xffff, ^rest}[rng.IntN(3)]
		}
		of := func(v uint16) uint16 { return ^naiveSum([]byte{byte(v >> 8), byte(v), byte(rest >> 8), byte(rest)}) }
		got, want := adjust(of(old), minus(old)+uint64(changed)), of(changed)
		// Zero has two forms in one's complement; a receiver takes both.
		if got != want && !(got|want == 0xffff && got&want == 0) {
			t.Fatalf("%#x -> %#x, rest %#x: %#x, want %#x", old, changed, rest, got, want)
		}
	}
}

func TestAllocs(t *testing.T) {
	tr := &Translator{Map: testMapFast{}}
	dst := make([]byte, 8000)
	for name, src := range map[string][]byte{
		"TCP":       ip6{next: 6, payload: sealed(guest6, web6, 6, tcp(1000))}.bytes(),
		"UDP":       ip4{proto: 17, payload: udp(1000)}.bytes(),
		"fragments": ip4{proto: 17, payload: udp(5000)}.bytes(),
		"echo":      ip6{next: 58, payload: echo(128, 10)}.bytes(),
		"error to 4": ip6{next: 58, payload: icmpErr(2, 0, 1280,
			ip6{src: web6, dst: guest6, next: 6, payload: tcp(1200)}.bytes())}.bytes(),
		"error to 6": ip4{proto: 1, payload: icmpErr(3, 4, 1280,
			ip4{src: pool4, dst: web4, proto: 6, payload: tcp(500)}.bytes())}.bytes(),
		"refused": ip6{dst: "64:ff9b::10.0.0.1", next: 17, payload: udp(10)}.bytes(),
	} {
		got := testing.AllocsPerRun(100, func() {
			if src[0]>>4 == 4 {
				_, res := tr.To6(dst, src, Offload{})
				tr.Error4(dst, addr4, src, res.Answer)
			} else {
				_, res := tr.To4(dst, src, Offload{})
				tr.Error6(dst, addr6, src, res.Answer)
			}
		})
		if got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func BenchmarkTo4(b *testing.B) {
	for _, n := range []int{20, 1400} {
		b.Run(map[int]string{20: "small", 1400: "full"}[n], func(b *testing.B) {
			tr := &Translator{Map: testMapFast{}}
			src := ip6{next: 6, payload: sealed(guest6, web6, 6, tcp(n))}.bytes()
			dst := make([]byte, 2000)
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				tr.To4(dst, src, Offload{})
			}
		})
	}
}

func BenchmarkTo6(b *testing.B) {
	for _, n := range []int{20, 1400} {
		b.Run(map[int]string{20: "small", 1400: "full"}[n], func(b *testing.B) {
			tr := &Translator{Map: testMapFast{}}
			src := ip4{proto: 6, flags: 0x4000, payload: sealed(web4, pool4, 6, tcp(n))}.bytes()
			dst := make([]byte, 2000)
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				tr.To6(dst, src, Offload{})
			}
		})
	}
}
