package gateway

import (
	"encoding/binary"

	"github.com/sixhost/sixhost/nat64/siit"
)

// vnetLen is the length of the header that the TUN driver puts ahead of every
// packet (struct virtio_net_hdr without the number of buffers; virtio 1.2,
// section 5.1.6).
const vnetLen = 10

// What of the header matters here.
const (
	vnetNeedsChecksum = 1 // flag: the sum from start on is still to be put at offset

	gsoNone  = 0
	gsoTCP4  = 1
	gsoTCP6  = 4
	gsoUDP   = 5    // UDP_L4: datagrams of one size
	gsoECN   = 0x80 // besides gsoTCP4 or gsoTCP6
	gsoKinds = 0x7f
)

// vnet is the driver's header: what was left for later with a packet. Numbers
// are in the machine's own order.
type vnet struct {
	flags, gso uint8
	headers    uint16 // length of all headers of a packet to be segmented
	size       uint16 // payload of each segment
	start, sum uint16 // where the checksummed part begins, and its checksum in it
}

func readVnet(b []byte) vnet {
	n := binary.NativeEndian
	return vnet{b[0], b[1], n.Uint16(b[2:]), n.Uint16(b[4:]), n.Uint16(b[6:]), n.Uint16(b[8:])}
}

func (h vnet) put(b []byte) {
	n := binary.NativeEndian
	b[0], b[1] = h.flags, h.gso
	n.PutUint16(b[2:], h.headers)
	n.PutUint16(b[4:], h.size)
	n.PutUint16(b[6:], h.start)
	n.PutUint16(b[8:], h.sum)
}

func (h vnet) partial() bool   { return h.flags&vnetNeedsChecksum != 0 }
func (h vnet) segmented() bool { return h.gso != gsoNone }

func (h vnet) offload() siit.Offload {
	return siit.Offload{Partial: h.partial(), Segmented: h.segmented()}
}

// translated returns the header of the translation: the upper layer has moved
// to where it begins there, and TCP is named by its family.
func (h vnet) translated(packet []byte) vnet {
	start := uint16(20)
	if packet[0]>>4 == 6 {
		start = 40
		if packet[6] == 44 { // a fragment header
			start += 8
		}
	}
	if !h.partial() || int(start)+int(h.sum)+2 > len(packet) {
		return vnet{}
	}
	out := vnet{flags: vnetNeedsChecksum, gso: h.gso, size: h.size, start: start, sum: h.sum}
	switch h.gso & gsoKinds {
	case gsoTCP4:
		out.gso = gsoTCP6 | h.gso&gsoECN
	case gsoTCP6:
		out.gso = gsoTCP4 | h.gso&gsoECN
	}
	if h.segmented() {
		out.headers = h.headers - h.start + start
	}
	return out
}

// fits reports whether the header is about this packet: places inside it, and a
// kind that was asked for.
func (h vnet) fits(packet []byte) bool {
	if h.partial() && int(h.start)+int(h.sum)+2 > len(packet) {
		return false
	}
	switch h.gso & gsoKinds {
	case gsoNone:
		return true
	case gsoTCP4, gsoTCP6, gsoUDP:
		return h.size > 0 && h.partial()
	}
	return false
}

// finish does what was left for later with a packet that is not segmented.
func (h vnet) finish(packet []byte) {
	part := packet[h.start:]
	// The field holds the pseudo-header's sum, so it belongs to the sum.
	var acc uint64
	for ; len(part) >= 2; part = part[2:] {
		acc += uint64(part[0])<<8 | uint64(part[1])
	}
	if len(part) > 0 {
		acc += uint64(part[0]) << 8
	}
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	sum := ^uint16(acc)
	if sum == 0 {
		sum = 0xffff // none in UDP (RFC 768), the same in all others
	}
	binary.BigEndian.PutUint16(packet[h.start+h.sum:], sum)
}
