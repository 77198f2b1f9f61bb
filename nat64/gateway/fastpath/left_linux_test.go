package fastpath

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// What the programs leave to the portable path, and that it is counted by why.
func TestLeftAlone(t *testing.T) {
	s := newStage(t, "64:ff9b::/96", false)
	web, web6 := addr("203.0.114.9"), addr("64:ff9b::cb00:7209")
	in := head{src: web, dst: s.pool, hops: 64, proto: 17, df: true}
	out := head{src: s.guest6, dst: web6, hops: 64, proto: 17}
	with := func(h head, change func(*head)) head { change(&h); return h }
	udp := func(h head, n int) []byte {
		b, at := upper(17, n)
		seal(h.src, h.dst, 17, b, at, false)
		return b
	}
	edit := func(b []byte, change func(b []byte)) []byte {
		change(b)
		if b[0]>>4 == 4 {
			reseal(b)
		}
		return b
	}
	for _, tt := range []struct {
		name   string
		to6    bool
		packet []byte
		want   Outcome
	}{
		{"to4", false, ipv6(out, udp(out, 100)), Translated},
		{"unknown guest", false, ipv6(with(out, func(h *head) { h.src = addr("2001:db8:1:3::99") }), udp(out, 100)), NoMapping},
		{"private", false, ipv6(with(out, func(h *head) { h.dst = addr("64:ff9b::10.1.2.3") }), udp(out, 100)), Refused},
		{"documentation", false, ipv6(with(out, func(h *head) { h.dst = addr("64:ff9b::192.0.2.3") }), udp(out, 100)), Refused},
		{"multicast", false, ipv6(with(out, func(h *head) { h.dst = addr("64:ff9b::225.0.2.3") }), udp(out, 100)), Refused},
		{"beside the documentation", false, ipv6(with(out, func(h *head) { h.dst = addr("64:ff9b::192.0.3.3") }), udp(out, 100)), Translated},
		{"fragment header", false, ipv6(with(out, func(h *head) { h.proto = 44 }), append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, udp(out, 100)...)), Fragment},
		{"hop-by-hop", false, ipv6(with(out, func(h *head) { h.proto = 0 }), append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udp(out, 100)...)), Headers},
		{"destination options", false, ipv6(with(out, func(h *head) { h.proto = 60 }), append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udp(out, 100)...)), Headers},
		{"SCTP", false, ipv6(with(out, func(h *head) { h.proto = 132 }), make([]byte, 100)), Protocol},
		{"ICMPv6 error", false, ipv6(with(out, func(h *head) { h.proto = 58 }), append([]byte{1, 4, 0, 0}, make([]byte, 100)...)), Protocol},
		{"hop limit 1", false, ipv6(with(out, func(h *head) { h.hops = 1 }), udp(out, 100)), HopLimit},
		{"no checksum", false, edit(ipv6(out, udp(out, 100)), func(b []byte) { b[46], b[47] = 0, 0 }), ZeroChecksum},
		{"padded", false, append(ipv6(out, udp(out, 100)), 0, 0), Malformed},
		{"short TCP", false, ipv6(with(out, func(h *head) { h.proto = 6 }), make([]byte, 19)), Malformed},

		{"to6", true, ipv4(in, udp(in, 100)), Translated},
		{"no guest's address", true, ipv4(with(in, func(h *head) { h.dst = addr("10.64.0.6") }), udp(in, 100)), NoMapping},
		{"from a private network", true, ipv4(with(in, func(h *head) { h.src = addr("10.1.2.3") }), udp(in, 100)), Refused},
		{"first fragment", true, edit(ipv4(in, udp(in, 104)), func(b []byte) { b[6] = 0x20 }), Fragment},
		{"last fragment", true, edit(ipv4(in, udp(in, 104)), func(b []byte) { b[6], b[7] = 0, 100 }), Fragment},
		{"options", true, edit(ipv4(in, append([]byte{1, 1, 1, 0}, udp(in, 100)...)), func(b []byte) { b[0] = 0x46 }), Headers},
		{"GRE", true, ipv4(with(in, func(h *head) { h.proto = 47 }), make([]byte, 100)), Protocol},
		{"ICMP error", true, ipv4(with(in, func(h *head) { h.proto = 1 }), append([]byte{3, 3, 0, 0}, make([]byte, 100)...)), Protocol},
		{"TTL 1", true, ipv4(with(in, func(h *head) { h.hops = 1 }), udp(in, 100)), HopLimit},
		{"no checksum back", true, edit(ipv4(in, udp(in, 100)), func(b []byte) { b[26], b[27] = 0, 0 }), ZeroChecksum},
		{"1481 octets with DF", true, ipv4(in, udp(in, 1481-28)), TooBig},
		{"1480 octets with DF", true, ipv4(in, udp(in, 1480-28)), Translated},
		{"1261 octets without DF", true, ipv4(with(in, func(h *head) { h.df = false }), udp(in, 1261-28)), TooBig},
		{"1260 octets without DF", true, ipv4(with(in, func(h *head) { h.df = false }), udp(in, 1260-28)), Translated},
		{"longer than it says", true, append(ipv4(in, udp(in, 100)), 0), Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.outcome(t, tt.to6, tt.packet, vnet{}); got != tt.want {
				t.Errorf("%s, want %s: %x", got, tt.want, tt.packet)
			}
			if tt.want == Translated {
				s.same(t, tt.to6, tt.packet, vnet{})
			}
		})
	}
}

// Whatever comes, what the programs do translate is what package siit makes of
// it, and the kernel lets the rest go by.
func TestAnyPacket(t *testing.T) {
	s := newStage(t, "64:ff9b::/96", false)
	rng, n := seeded(t), rounds()
	for range n {
		to6 := rng.IntN(2) == 0
		h := head{src: addr("203.0.114.9"), dst: s.pool, hops: uint8(rng.Uint32()), df: true}
		h.proto = []uint8{1, 6, 17, 58, 44, 0}[rng.IntN(6)]
		if !to6 {
			h.src, h.dst = s.guest6, addr("64:ff9b::cb00:7209")
		}
		u, _ := upper(h.proto, rng.IntN(60))
		if len(u) < 10 {
			u = append(u, make([]byte, 10)...)
		}
		packet := ipv6(h, u)
		if to6 {
			packet = ipv4(h, u)
		}
		for range rng.IntN(4) {
			// All but the addresses, by which the packet gets here at all.
			i := rng.IntN(len(packet))
			if to6 && (i == 0 || i >= 12 && i < 20) || !to6 && (i == 0 || i >= 8 && i < 40) {
				continue
			}
			packet[i] = uint8(rng.Uint32())
		}
		if to6 {
			reseal(packet)
		}
		if got := s.outcome(t, to6, packet, vnet{}); got == Translated {
			s.same(t, to6, packet, vnet{})
		} else if got == Failed || got == Outcomes {
			t.Fatalf("to6 %v: %s: %x", to6, got, packet)
		}
	}
}

func TestCoarse(t *testing.T) {
	denied := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("224.0.0.0/3")}
	got := coarse(denied)
	for i := range 256 {
		want := uint8(0)
		switch {
		case i == 10 || i >= 224:
			want = 1
		case i == 100 || i == 192:
			want = 2
		}
		if got[i] != want {
			t.Errorf("%d: %d, want %d", i, got[i], want)
		}
	}
	if c := coarse([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}); c[0] != 1 || c[255] != 1 {
		t.Error("everything denied is not all denied")
	}
}

func TestPrefixWords(t *testing.T) {
	s := Settings{}
	if err := s.Prefix.UnmarshalText([]byte("64:ff9b:1:fffe::/96")); err != nil {
		t.Fatal(err)
	}
	hi, lo, bits := prefixWords(s.Prefix)
	a := s.Prefix.Prefix().Addr().As16()
	if hi != binary.BigEndian.Uint64(a[:8]) || lo != 0 || bits != 96 {
		t.Errorf("%x %x %d", hi, lo, bits)
	}
}
