package macrewrite

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/slaac"
)

// ARP (RFC 826) over Ethernet for IPv4, as far as the edge answers it.
const (
	etherTypeARP = 0x0806
	arpLength    = 28
	arpRequest   = 1
	arpReply     = 2
)

// arpPacket is such a message in a frame, taken apart.
type arpPacket struct {
	dstMAC, srcMAC       slaac.MAC
	op                   uint16
	senderMAC, targetMAC slaac.MAC
	sender, target       netip.Addr
}

// parseARP takes a frame apart. It returns false for what is no whole message of
// Ethernet and IPv4.
func parseARP(f []byte) (arpPacket, bool) {
	if len(f) < etherHeader+arpLength || binary.BigEndian.Uint16(f[12:]) != etherTypeARP {
		return arpPacket{}, false
	}
	m := f[etherHeader:]
	if [6]byte(m[:6]) != [6]byte{0, 1, 8, 0, 6, 4} {
		return arpPacket{}, false
	}
	return arpPacket{
		dstMAC: slaac.MAC(f[:6]), srcMAC: slaac.MAC(f[6:12]), op: binary.BigEndian.Uint16(m[6:]),
		senderMAC: slaac.MAC(m[8:14]), sender: netip.AddrFrom4([4]byte(m[14:18])),
		targetMAC: slaac.MAC(m[18:24]), target: netip.AddrFrom4([4]byte(m[24:28])),
	}, true
}

// frame puts it together.
func (p arpPacket) frame() []byte {
	sender, target := p.sender.As4(), p.target.As4()
	return slices.Concat(p.dstMAC[:], p.srcMAC[:], []byte{etherTypeARP >> 8, etherTypeARP & 0xff, 0, 1, 8, 0, 6, 4, byte(p.op >> 8), byte(p.op)},
		p.senderMAC[:], sender[:], p.targetMAC[:], target[:])
}

// announcement tells the segment that mac has an address (RFC 5227, section 2.3).
func announcement(mac slaac.MAC, a netip.Addr) arpPacket {
	return arpPacket{
		dstMAC: slaac.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, srcMAC: mac, op: arpRequest,
		senderMAC: mac, sender: a, target: a,
	}
}

// answerARP is what a request of the provider's segment deserves: nothing,
// unless it asks for an address that live says is a guest's. A probe, by
// somebody who wants the address for himself, is answered too (RFC 5227, section
// 2.1.1).
func answerARP(f []byte, mac slaac.MAC, live func(netip.Addr) bool) ([]byte, bool) {
	p, ok := parseARP(f)
	if !ok || p.op != arpRequest || !live(p.target) || live(p.sender) {
		return nil, false
	}
	for _, m := range []slaac.MAC{p.srcMAC, p.senderMAC} {
		if m == mac || m.IsMulticast() || m.IsZero() {
			return nil, false
		}
	}
	if p.sender.IsMulticast() || p.sender.IsLoopback() {
		return nil, false
	}
	return arpPacket{
		dstMAC: p.senderMAC, srcMAC: mac, op: arpReply,
		senderMAC: mac, sender: p.target, targetMAC: p.senderMAC, target: p.sender,
	}.frame(), true
}
