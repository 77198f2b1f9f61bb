package gateway

import (
	"encoding/binary"
	"slices"
)

// join gathers datagrams of one flow that come one after the other, and gives
// them to the device as one packet to be segmented: the way from there through the
// kernel is most of what a small packet costs. Only datagrams whose checksum is
// left for later are taken, so what the kernel makes of the whole is the same as
// they were, but for the identification of those that can be fragmented.
type join struct {
	buf  []byte // room for the driver's header, and the packet
	n    int    // octets of the packet; 0 is none
	size int    // payload of each datagram but the last
	last bool   // nothing can follow
	many int
}

const (
	// joinMost is how many datagrams become one packet. The kernel takes 128.
	joinMost = 64
	// joinOctets is where a packet is long enough.
	joinOctets = 60000
)

func newJoin() *join { return &join{buf: make([]byte, vnetLen+maxPacket)} }

// udpAt is where the header of a datagram begins that can be joined to others; 0
// for what can't.
func udpAt(packet []byte, h vnet) int {
	if !h.partial() || h.segmented() || h.sum != 6 || len(packet) < 28 {
		return 0
	}
	at := 20
	switch packet[0] >> 4 {
	case 4:
		if packet[0] != 0x45 || packet[9] != 17 || binary.BigEndian.Uint16(packet[6:])&0x3fff != 0 {
			return 0
		}
	case 6:
		if at = 40; len(packet) < 48 || packet[6] != 17 {
			return 0
		}
	default:
		return 0
	}
	if int(h.start) != at || len(packet) == at+8 || int(binary.BigEndian.Uint16(packet[at+4:])) != len(packet)-at {
		return 0
	}
	return at
}

// add takes a packet as it is to be written, and reports whether it did.
func (j *join) add(packet []byte, h vnet) bool {
	at := udpAt(packet, h)
	if at == 0 {
		return false
	}
	size := len(packet) - at - 8
	if j.n == 0 {
		j.n, j.size, j.last, j.many = copy(j.buf[vnetLen:], packet), size, false, 1
		return true
	}
	have := j.buf[vnetLen:][:j.n]
	if j.last || size > j.size || j.many == joinMost || j.n+size > joinOctets || !sameFlow(have, packet, at) {
		return false
	}
	copy(j.buf[vnetLen+j.n:], packet[at+8:])
	j.n += size
	j.many++
	j.last = size < j.size
	return true
}

// sameFlow compares all of the headers that the datagrams of one packet have in
// common.
func sameFlow(a, b []byte, at int) bool {
	if len(a) < at+4 || a[0] != b[0] || !slices.Equal(a[at:at+4], b[at:at+4]) {
		return false
	}
	if at == 40 {
		return slices.Equal(a[:4], b[:4]) && slices.Equal(a[6:40], b[6:40])
	}
	return a[1] == b[1] && a[6] == b[6] && a[8] == b[8] && slices.Equal(a[12:20], b[12:20])
}

// take returns what was gathered, with room for the driver's header ahead; nil for
// nothing.
func (j *join) take() ([]byte, vnet) {
	if j.n == 0 {
		return nil, vnet{}
	}
	p := j.buf[:vnetLen+j.n]
	packet := p[vnetLen:]
	at := 20
	if packet[0]>>4 == 6 {
		at = 40
	}
	h := vnet{flags: vnetNeedsChecksum, start: uint16(at), sum: 6}
	if j.many > 1 {
		h.gso, h.size, h.headers = gsoUDP, uint16(j.size), uint16(at+8)
		was, is := 8+j.size, j.n-at
		binary.BigEndian.PutUint16(packet[at+4:], uint16(is))
		// The field holds the sum of the pseudo-header, with the length in it.
		binary.BigEndian.PutUint16(packet[at+6:], sumOf(uint32(binary.BigEndian.Uint16(packet[at+6:]))+uint32(^uint16(was))+uint32(is), nil))
		if at == 40 {
			binary.BigEndian.PutUint16(packet[4:], uint16(is))
		} else {
			binary.BigEndian.PutUint16(packet[2:], uint16(j.n))
			packet[10], packet[11] = 0, 0
			binary.BigEndian.PutUint16(packet[10:], ^sumOf(0, packet[:20]))
		}
	}
	j.n = 0
	return p, h
}
