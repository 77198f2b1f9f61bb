package macrewrite

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/sixhost/sixhost/slaac"
)

// TestAnswer: what is answered, how, and what is not.
func TestAnswer(t *testing.T) {
	mac, router := sample().MAC, slaac.MAC{2, 0, 0, 0, 0, 1}
	guest, gw, none := ip("2001:db8:1:3:5054:ff:fe00:11"), ip("fe80::1"), ip("::")
	group, groupMAC := solicitedNode(guest)
	live := func(a netip.Addr) bool { return a == guest }
	ask := func(src netip.Addr, body ...byte) []byte {
		return eth(groupMAC, router, v6, ip6(src, group, 58, bare(src, group, 135, slices.Concat([]byte{0, 0, 0, 0}, body)...)))
	}
	other := slaac.MAC{2, 0, 0, 0, 0, 2}
	for _, tt := range []struct {
		name  string
		frame []byte
		to    netip.Addr // invalid: no answer
		toMAC slaac.MAC
		flags byte
	}{
		{"asked with an option", ask(gw, append(guest.AsSlice(), option(1, other)...)...), gw, other, 0x60},
		{"asked without", ask(gw, guest.AsSlice()...), gw, router, 0x60},
		{"behind padding", append(ask(gw, guest.AsSlice()...), make([]byte, 8)...), gw, router, 0x60},
		{"duplicate address detection", ask(none, guest.AsSlice()...), ip("ff02::1"), slaac.MAC{0x33, 0x33, 0, 0, 0, 1}, 0x20},
		{"the same with a nonce", ask(none, append(guest.AsSlice(), append([]byte{14, 1}, "123456"...)...)...), ip("ff02::1"), slaac.MAC{0x33, 0x33, 0, 0, 0, 1}, 0x20},
		{"somebody else's", ask(gw, ip("2001:db8:1:3:5054:ff:fe00:12").AsSlice()...), netip.Addr{}, slaac.MAC{}, 0},
		{"detection with an option", ask(none, append(guest.AsSlice(), option(1, other)...)...), netip.Addr{}, slaac.MAC{}, 0},
		{"option of no length", ask(gw, append(guest.AsSlice(), 1, 0, 0, 0, 0, 0, 0, 0)...), netip.Addr{}, slaac.MAC{}, 0},
		{"option cut off", ask(gw, append(guest.AsSlice(), 1, 1, 0, 0)...), netip.Addr{}, slaac.MAC{}, 0},
		{"too short", ask(gw, guest.AsSlice()[:15]...), netip.Addr{}, slaac.MAC{}, 0},
		{"by a guest's address", ask(guest, guest.AsSlice()...), netip.Addr{}, slaac.MAC{}, 0},
		{"by a group", ask(ip("ff02::5"), guest.AsSlice()...), netip.Addr{}, slaac.MAC{}, 0},
		{"answers to a group", ask(gw, append(guest.AsSlice(), option(1, slaac.MAC{1})...)...), netip.Addr{}, slaac.MAC{}, 0},
		{"from afar", func() []byte { f := ask(gw, guest.AsSlice()...); f[21] = 254; return f }(), netip.Addr{}, slaac.MAC{}, 0},
		{"bad checksum", func() []byte { f := ask(gw, guest.AsSlice()...); f[56]++; return f }(), netip.Addr{}, slaac.MAC{}, 0},
		{"our own", eth(groupMAC, mac, v6, nd(135, gw, group, guest)), netip.Addr{}, slaac.MAC{}, 0},
		{"an advertisement", eth(groupMAC, router, v6, nd(136, gw, group, guest)), netip.Addr{}, slaac.MAC{}, 0},
		{"another code", eth(groupMAC, router, v6, func() []byte {
			p, _ := parsePacket(ask(gw, guest.AsSlice()...))
			p.icmp[1] = 1
			return p.frame()[14:]
		}()), netip.Addr{}, slaac.MAC{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, ok := answer(tt.frame, mac, live)
			if ok != tt.to.IsValid() {
				t.Fatalf("answered: %v", ok)
			}
			if !ok {
				return
			}
			p, good := parsePacket(f)
			if target, valid := p.target(136); !good || !valid || target != guest || p.src != guest || p.dst != tt.to || p.dstMAC != tt.toMAC || p.srcMAC != mac || p.icmp[4] != tt.flags {
				t.Errorf("answer %+v, %v, %v", p, good, valid)
			}
			if m, has := p.option(2); !has || m != mac {
				t.Errorf("the answer has the MAC %s inside, %v", m, has)
			}
		})
	}
}

// FuzzAnswer: whatever comes, nothing but our MAC goes out, and only for live
// addresses.
func FuzzAnswer(f *testing.F) {
	guest := ip("2001:db8:1:3:5054:ff:fe00:11")
	group, groupMAC := solicitedNode(guest)
	f.Add(eth(groupMAC, slaac.MAC{2}, v6, nd(135, ip("fe80::1"), group, guest)))
	f.Add(eth(groupMAC, slaac.MAC{2}, v6, ip6(ip("fe80::1"), group, 58, bare(ip("fe80::1"), group, 135, slices.Concat(make([]byte, 4), guest.AsSlice(), option(1, slaac.MAC{2}))...))))
	f.Add(eth(groupMAC, slaac.MAC{2}, v6, ip6(ip("::"), group, 58, bare(ip("::"), group, 135, slices.Concat(make([]byte, 4), guest.AsSlice())...))))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, ok := answer(in, sample().MAC, func(a netip.Addr) bool { return a == guest })
		if !ok {
			return
		}
		p, good := parsePacket(out)
		if target, valid := p.target(136); !good || !valid || target != guest || p.srcMAC != sample().MAC || p.dstMAC == sample().MAC {
			t.Errorf("%x is answered by %x", in, out)
		}
	})
}
