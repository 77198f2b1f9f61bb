package fastpath

import (
	"encoding/binary"
	"net/netip"
	"os"
	"strconv"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/siit"
)

func pid() string            { return strconv.Itoa(os.Getpid()) }
func fd(ns *netns.NS) string { return strconv.Itoa(int(ns.File().Fd())) }

// oneGuest is the mapping that the programs are told of, for the translator that
// they are held against.
type oneGuest struct {
	prefix      nat64.Prefix
	guest, pool netip.Addr
}

func (m oneGuest) To4(a netip.Addr, role siit.Role) (netip.Addr, siit.Reason) {
	if a == m.guest && role == siit.Source {
		return m.pool, siit.Translated
	}
	if v4, ok := m.prefix.Extract(a); ok && role == siit.Destination {
		return v4, siit.Translated
	}
	return netip.Addr{}, siit.NotMapped
}

func (m oneGuest) To6(a netip.Addr, role siit.Role) (netip.Addr, siit.Reason) {
	if a == m.pool && role == siit.Destination {
		return m.guest, siit.Translated
	}
	return m.prefix.Embed(a), siit.Translated
}

func sum(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		for i := 0; i < len(b); i += 2 {
			w := uint32(b[i]) << 8
			if i+1 < len(b) {
				w |= uint32(b[i+1])
			}
			s += w
			s = s&0xffff + s>>16
		}
	}
	return uint16(s)
}

// upper makes an upper layer with n octets of payload, and says where its
// checksum stands.
func upper(proto uint8, n int) (b []byte, at int) {
	switch proto {
	case 6:
		return append([]byte{0xc0, 1, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18, 1, 0, 0, 0, 0, 0}, make([]byte, n)...), 16
	case 17:
		b = append([]byte{0xc0, 2, 0, 53, 0, 0, 0, 0}, make([]byte, n)...)
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
		return b, 6
	case 1:
		return append([]byte{8, 0, 0, 0, 0x12, 0x34, 0, 7}, make([]byte, n)...), 2
	case 58:
		return append([]byte{128, 0, 0, 0, 0x12, 0x34, 0, 7}, make([]byte, n)...), 2
	}
	return make([]byte, n), -1
}

func pseudo(src, dst netip.Addr, proto uint8, n int) []byte {
	if proto == 1 {
		return nil
	}
	b := append(src.AsSlice(), dst.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return append(b, 0, 0, 0, proto)
}

// seal writes the right checksum, or with partial the pseudo-header's sum.
func seal(src, dst netip.Addr, proto uint8, b []byte, at int, partial bool) {
	if at < 0 {
		return
	}
	b[at], b[at+1] = 0, 0
	v := sum(pseudo(src, dst, proto, len(b)))
	if !partial {
		if v = ^sum(pseudo(src, dst, proto, len(b)), b); v == 0 && proto == 17 {
			v = 0xffff
		}
	}
	binary.BigEndian.PutUint16(b[at:], v)
}

type head struct {
	src, dst netip.Addr
	tc, hops uint8
	proto    uint8
	df       bool
}

func ipv4(h head, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[1], b[8], b[9] = 0x45, h.tc, h.hops, h.proto
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	if h.df {
		b[6] = 0x40
	}
	s, d := h.src.As4(), h.dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	reseal(b)
	return append(b, payload...)
}

// reseal writes the checksum of an IPv4 header without options.
func reseal(b []byte) {
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^sum(b[:20]))
}

func ipv6(h head, payload []byte) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[1], b[6], b[7] = 0x60|h.tc>>4, h.tc<<4|5, h.proto, h.hops
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	s, d := h.src.As16(), h.dst.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	return append(b, payload...)
}
