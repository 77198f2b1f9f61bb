package gateway

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/sixhost/sixhost/nat64/siit"
)

// sumAll is RFC 1071's definition over several parts of even length.
func sumAll(parts ...[]byte) uint16 {
	var acc uint32
	for _, p := range parts {
		acc += uint32(sumOf(0, p))
	}
	return uint16(acc>>16 + acc&0xffff)
}

// pseudo is a pseudo-header of either family.
func pseudo(src, dst []byte, proto uint8, n int) []byte {
	b := binary.BigEndian.AppendUint32(bytes.Clone(src), uint32(n))
	return append(append(b, dst...), 0, 0, 0, proto)
}

// ip4 makes an IPv4 packet to a guest's pool address; its checksum field holds
// the pseudo-header's sum.
func ip4(t *testing.T, q *queue, proto uint8, flags byte, upper []byte) []byte {
	t.Helper()
	pool, ok := q.m.table.assign(guestN(0x10), 0, true)
	if !ok {
		t.Fatal("no mapping")
	}
	b := make([]byte, 20, 20+len(upper))
	b[0], b[6], b[8], b[9] = 0x45, flags, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(upper)))
	s, d := netip.MustParseAddr("203.0.114.9").As4(), pool.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	binary.BigEndian.PutUint16(b[10:], ^sumAll(b))
	b = append(b, upper...)
	at := 20 + map[uint8]int{6: 16, 17: 6}[proto]
	binary.BigEndian.PutUint16(b[at:], sumAll(pseudo(b[12:16], b[16:20], proto, len(upper))))
	return b
}

func tcpSegment(n int) []byte {
	b := make([]byte, 20+n)
	b[1], b[3], b[12] = 80, 99, 0x50
	for i := range n {
		b[20+i] = byte(i * 7)
	}
	return b
}

func udpDatagram(n int) []byte {
	b := make([]byte, 8+n)
	b[1], b[3] = 53, 99
	binary.BigEndian.PutUint16(b[4:], uint16(8+n))
	for i := range n {
		b[8+i] = byte(i * 3)
	}
	return b
}

// A packet of many segments is translated as one, there and back, with what was
// left for later still left.
func TestSegmentedStaysOne(t *testing.T) {
	dev := &tape{}
	q := newTestQueue(dev, sampleConfig())
	in := ip4(t, q, 6, 0x40, tcpSegment(60000))
	h := vnet{flags: vnetNeedsChecksum, gso: gsoTCP4 | gsoECN, headers: 40, size: 1400, start: 20, sum: 16}
	q.take(h, in)
	if len(dev.out) != 1 {
		t.Fatalf("%d packets", len(dev.out))
	}
	p := dev.out[0]
	if want := (vnet{flags: vnetNeedsChecksum, gso: gsoTCP6 | gsoECN, headers: 60, size: 1400, start: 40, sum: 16}); dev.headers[0] != want {
		t.Errorf("header %+v, want %+v", dev.headers[0], want)
	}
	if len(p) != len(in)+20 || !bytes.Equal(p[60:], in[40:]) || binary.BigEndian.Uint16(p[56:]) != sumAll(pseudo(p[8:24], p[24:40], 6, len(p)-40)) {
		t.Errorf("translated: %d octets, % x", len(p), p[:60])
	}
	// Back, as the guest would send it.
	src, dst := bytes.Clone(p[8:24]), bytes.Clone(p[24:40])
	copy(p[8:], dst)
	copy(p[24:], src)
	q.take(dev.headers[0], p)
	if len(dev.out) != 2 || len(dev.out[1]) != len(in) || !bytes.Equal(dev.out[1][20:], in[20:]) || dev.headers[1] != h {
		t.Errorf("back: %+v", dev.headers[1:])
	}
}

// IPv4 that may be fragmented must come through paths of 1280 (RFC 7915,
// section 4): segments become short enough, a checksum left for later is done
// before the datagram is in pieces.
func TestSegmentsThatMayBeFragmented(t *testing.T) {
	good := func(p []byte) bool {
		return sumAll(pseudo(p[8:24], p[24:40], p[6], len(p)-40), p[40:]) == 0xffff
	}
	dev := &tape{}
	q := newTestQueue(dev, sampleConfig())
	q.take(vnet{flags: vnetNeedsChecksum, gso: gsoTCP4, headers: 40, size: 1440, start: 20, sum: 16}, ip4(t, q, 6, 0, tcpSegment(5000)))
	if len(dev.out) != 1 || dev.headers[0].size != 1220 {
		t.Errorf("TCP: %+v", dev.headers)
	}

	dev.out, dev.headers = nil, nil
	q.take(vnet{flags: vnetNeedsChecksum, gso: gsoUDP, headers: 28, size: 1200, start: 20, sum: 6}, ip4(t, q, 17, 0, udpDatagram(5000)))
	if len(dev.out) != 1 || dev.headers[0].size != 1200 || dev.headers[0].gso != gsoUDP {
		t.Errorf("UDP of 1200: %+v", dev.headers)
	}

	// 4 datagrams of 1400 and one of 400: each of the four in two fragments.
	dev.out, dev.headers = nil, nil
	in := udpDatagram(6000)
	q.take(vnet{flags: vnetNeedsChecksum, gso: gsoUDP, headers: 28, size: 1400, start: 20, sum: 6}, ip4(t, q, 17, 0, in))
	if len(dev.out) != 9 {
		t.Fatalf("UDP of 1400: %d packets", len(dev.out))
	}
	var got []byte
	for i := 0; i < 8; i += 2 {
		a, b := dev.out[i], dev.out[i+1]
		if a[6] != 44 || b[6] != 44 || len(a) > 1280 {
			t.Fatalf("not fragments: % x, % x", a[:48], b[:48])
		}
		whole := append(bytes.Clone(a[:40]), append(a[48:len(a):len(a)], b[48:]...)...)
		whole[6] = 17
		binary.BigEndian.PutUint16(whole[4:], uint16(len(whole)-40))
		if !good(whole) {
			t.Errorf("datagram %d: wrong checksum", i/2)
		}
		got = append(got, whole[48:]...)
	}
	if last := dev.out[8]; last[6] != 17 || !good(last) {
		t.Errorf("last: % x", last)
	}
	if got = append(got, dev.out[8][48:]...); !bytes.Equal(got, in[8:]) {
		t.Error("payload changed")
	}

	dev.out, dev.headers = nil, nil
	q.take(vnet{flags: vnetNeedsChecksum, start: 20, sum: 6}, ip4(t, q, 17, 0, udpDatagram(1400)))
	if len(dev.out) != 2 || dev.headers[0] != (vnet{}) || dev.headers[1] != (vnet{}) {
		t.Fatalf("checksum left for later, in pieces: %+v", dev.headers)
	}
	whole := append(bytes.Clone(dev.out[0][:40]), append(dev.out[0][48:len(dev.out[0]):len(dev.out[0])], dev.out[1][48:]...)...)
	whole[6] = 17
	binary.BigEndian.PutUint16(whole[4:], uint16(len(whole)-40))
	if !good(whole) {
		t.Error("wrong checksum")
	}
}

// Headers that can't be about the packet are not believed.
func TestHeaderThatDoesNotFit(t *testing.T) {
	for _, h := range []vnet{
		{flags: vnetNeedsChecksum, start: 60000, sum: 6},
		{flags: vnetNeedsChecksum, start: 65535, sum: 65535},
		{flags: vnetNeedsChecksum, gso: gsoTCP4, start: 20, sum: 16}, // segments of nothing
		{gso: gsoTCP4, size: 1400},
		{flags: vnetNeedsChecksum, gso: 3, size: 1400, start: 20, sum: 6}, // was not asked for
	} {
		dev := &tape{}
		q := newTestQueue(dev, sampleConfig())
		q.take(h, ip4(t, q, 17, 0x40, udpDatagram(100)))
		if len(dev.out) != 0 || q.counts.unknown.Load() != 1 {
			t.Errorf("%+v: %d packets", h, len(dev.out))
		}
	}
}

// FuzzQueue: whatever the header says about whatever packet, nothing is written
// out of bounds, and what is written has the length it says.
func FuzzQueue(f *testing.F) {
	q := newTestQueue(&tape{}, sampleConfig())
	pool, _ := q.m.table.assign(guestN(0x10), 0, true)
	four := make([]byte, 100)
	four[0], four[3], four[8], four[9] = 0x45, 100, 64, 17
	d := pool.As4()
	copy(four[12:], []byte{203, 0, 114, 9})
	copy(four[16:], d[:])
	f.Add(uint8(1), uint8(gsoUDP), uint16(28), uint16(30), uint16(20), uint16(6), four)
	f.Add(uint8(1), uint8(gsoTCP4), uint16(40), uint16(1), uint16(20), uint16(16), four)
	f.Add(uint8(1), uint8(gsoTCP6), uint16(60), uint16(9), uint16(40), uint16(16), udp6("2001:db8:1:3::10", "64:ff9b::203.0.114.9", 90))
	f.Fuzz(func(t *testing.T, flags, gso uint8, headers, size, start, sum uint16, p []byte) {
		if len(p) > 4000 || size < 64 && len(p) > 500 {
			return
		}
		if len(p) >= 20 && p[0]>>4 == 4 {
			if ihl := int(p[0]&15) * 4; ihl >= 20 && ihl <= len(p) {
				p[10], p[11] = 0, 0
				binary.BigEndian.PutUint16(p[10:], ^sumOf(0, p[:ihl]))
			}
		}
		dev := &tape{}
		q := newTestQueue(dev, sampleConfig())
		q.m.table.assign(guestN(0x10), 0, true)
		q.take(vnet{flags, gso, headers, size, start, sum}, p)
		for i, out := range dev.out {
			h := dev.headers[i]
			n := 0
			switch {
			case len(out) >= 20 && out[0]>>4 == 4:
				n = int(binary.BigEndian.Uint16(out[2:]))
			case len(out) >= 40 && out[0]>>4 == 6:
				n = 40 + int(binary.BigEndian.Uint16(out[4:]))
			}
			if n != len(out) {
				t.Fatalf("%d octets say that they are %d: % x", len(out), n, out)
			}
			if h.partial() && int(h.start)+int(h.sum)+2 > len(out) {
				t.Fatalf("%+v for %d octets", h, len(out))
			}
		}
		if s := q.counts.to6.dropped[siit.NoSpace].Load(); s != 0 {
			t.Fatal("no space")
		}
	})
}
