package siit

import (
	"encoding/binary"
	"net/netip"

	"github.com/sixhost/sixhost/nat64"
)

// Packets are built here the plain way, with checksums added up one word after
// the other, as the reference for the code under test.

const (
	guest6 = "2001:db8:1::5"
	pool4  = "192.168.160.5"
	web4   = "203.0.114.9"
	web6   = "64:ff9b::203.0.114.9"
)

// testMap maps one guest, and the world by the well-known prefix. Errors may
// come from anywhere.
type testMap struct{}

func (testMap) To4(a netip.Addr, role Role) (netip.Addr, Reason) {
	if a == netip.MustParseAddr(guest6) {
		return netip.MustParseAddr(pool4), Translated
	}
	if v4, ok := nat64.WellKnown().Extract(a); ok {
		if !nat64.IsGlobal(v4) {
			return netip.Addr{}, Denied
		}
		return v4, Translated
	}
	if role == ErrorSource {
		return netip.MustParseAddr("192.168.160.1"), Translated
	}
	return netip.Addr{}, NotMapped
}

func (testMap) To6(a netip.Addr, role Role) (netip.Addr, Reason) {
	if a == netip.MustParseAddr(pool4) {
		return netip.MustParseAddr(guest6), Translated
	}
	if netip.MustParsePrefix("192.168.160.0/20").Contains(a) {
		return netip.Addr{}, Unreachable
	}
	return nat64.WellKnown().Embed(a), Translated
}

func newTranslator() *Translator {
	return &Translator{Map: testMap{}, ID: func() uint16 { return 0x1234 }}
}

// naiveSum is RFC 1071's definition, word by word.
func naiveSum(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		for i := 0; i < len(b); i += 2 {
			w := uint32(b[i]) << 8
			if i+1 < len(b) {
				w |= uint32(b[i+1])
			}
			s += w
			for s > 0xffff {
				s = s&0xffff + s>>16
			}
		}
	}
	return uint16(s)
}

type ip4 struct {
	src, dst  string
	tos, ttl  byte
	proto     byte
	id, flags uint16
	options   []byte
	payload   []byte
}

func (p ip4) bytes() []byte {
	if p.src == "" {
		p.src = web4
	}
	if p.dst == "" {
		p.dst = pool4
	}
	if p.ttl == 0 {
		p.ttl = 64
	}
	n := 20 + len(p.options)
	b := make([]byte, n, n+len(p.payload))
	b[0], b[1], b[8], b[9] = byte(0x40|n/4), p.tos, p.ttl, p.proto
	binary.BigEndian.PutUint16(b[2:], uint16(n+len(p.payload)))
	binary.BigEndian.PutUint16(b[4:], p.id)
	binary.BigEndian.PutUint16(b[6:], p.flags)
	s, d := netip.MustParseAddr(p.src).As4(), netip.MustParseAddr(p.dst).As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	copy(b[20:], p.options)
	binary.BigEndian.PutUint16(b[10:], ^naiveSum(b))
	return append(b, p.payload...)
}

type ip6 struct {
	src, dst string
	tc, hops byte
	next     byte
	headers  []byte // extension headers, next being the first one's number
	payload  []byte
}

func (p ip6) bytes() []byte {
	if p.src == "" {
		p.src = guest6
	}
	if p.dst == "" {
		p.dst = web6
	}
	if p.hops == 0 {
		p.hops = 64
	}
	b := make([]byte, 40, 40+len(p.headers)+len(p.payload))
	b[0], b[1], b[6], b[7] = 0x60|p.tc>>4, p.tc<<4, p.next, p.hops
	binary.BigEndian.PutUint16(b[4:], uint16(len(p.headers)+len(p.payload)))
	s, d := netip.MustParseAddr(p.src).As16(), netip.MustParseAddr(p.dst).As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	return append(append(b, p.headers...), p.payload...)
}

// pseudo is the pseudo-header of either family (RFC 9293; RFC 8200, section
// 8.1).
func pseudo(src, dst netip.Addr, proto byte, length int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	return append(b, 0, 0, 0, proto)
}

// sealed writes a right checksum into a copy of an upper layer.
func sealed(src, dst string, proto byte, upper []byte) []byte {
	u := append([]byte(nil), upper...)
	at := naiveChecksumAt(proto)
	u[at], u[at+1] = 0, 0
	ck := ^naiveSum(naivePseudo(netip.MustParseAddr(src), netip.MustParseAddr(dst), proto, len(u)), u)
	if ck == 0 && proto == 17 {
		ck = 0xffff
	}
	binary.BigEndian.PutUint16(u[at:], ck)
	return u
}

func naivePseudo(src, dst netip.Addr, proto byte, length int) []byte {
	if proto == 1 {
		return nil
	}
	return pseudo(src, dst, proto, length)
}

func naiveChecksumAt(proto byte) int {
	switch proto {
	case 1, 58:
		return 2
	case 6:
		return 16
	}
	return 6
}

func tcp(n int) []byte {
	b := make([]byte, 20+n)
	copy(b, []byte{0xc0, 0x01, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18, 1, 0})
	fill(b[20:])
	return b
}

func udp(n int) []byte {
	b := make([]byte, 8+n)
	copy(b, []byte{0xc0, 0x02, 0, 53})
	binary.BigEndian.PutUint16(b[4:], uint16(8+n))
	fill(b[8:])
	return b
}

func echo(typ byte, n int) []byte {
	b := make([]byte, 8+n)
	copy(b, []byte{typ, 0, 0, 0, 0x12, 0x34, 0, 7})
	fill(b[8:])
	return b
}

func icmpErr(typ, code byte, info uint32, body ...[]byte) []byte {
	b := []byte{typ, code, 0, 0}
	b = binary.BigEndian.AppendUint32(b, info)
	for _, p := range body {
		b = append(b, p...)
	}
	return b
}

func fill(b []byte) {
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
}

func fragHeader(next byte, off int, more bool, id uint32) []byte {
	b := []byte{next, 0, 0, 0}
	field := uint16(off)
	if more {
		field |= 1
	}
	binary.BigEndian.PutUint16(b[2:], field)
	return binary.BigEndian.AppendUint32(b, id)
}

// checksumGood verifies a whole packet's checksums the plain way: IPv4 header,
// and the upper layer's where it has one and is not in pieces.
func checksumGood(b []byte) bool {
	var src, dst netip.Addr
	var proto byte
	var upper []byte
	if b[0]>>4 == 4 {
		ihl := int(b[0]&15) * 4
		if naiveSum(b[:ihl]) != 0xffff {
			return false
		}
		if binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return true
		}
		src, dst, proto, upper = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[9], b[ihl:binary.BigEndian.Uint16(b[2:])]
	} else {
		src, dst, proto, upper = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[6], b[40:40+int(binary.BigEndian.Uint16(b[4:]))]
		for proto == 0 || proto == 43 || proto == 60 || proto == 44 {
			if proto == 44 {
				if binary.BigEndian.Uint16(upper[2:])&0xfff9 != 0 {
					return true
				}
				proto, upper = upper[0], upper[8:]
				continue
			}
			proto, upper = upper[0], upper[8+int(upper[1])*8:]
		}
	}
	switch proto {
	case 1, 6, 17, 33, 58, 136:
	default:
		return true
	}
	if proto == 17 && len(upper) >= 8 {
		// What follows behind UDP's own length is not of the datagram (RFC 768).
		if n := int(binary.BigEndian.Uint16(upper[4:])); n >= 8 && n <= len(upper) {
			upper = upper[:n]
		}
	}
	if at := naiveChecksumAt(proto); proto == 17 && len(upper) >= at+2 && upper[at] == 0 && upper[at+1] == 0 {
		return b[0]>>4 == 4
	}
	return naiveSum(naivePseudo(src, dst, proto, len(upper)), upper) == 0xffff
}
