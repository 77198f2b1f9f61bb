package gateway

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/sixhost/sixhost/nat64/siit"
)

const (
	// maxPacket is the longest IP packet.
	maxPacket = 65535 + 40
	// headroom is for what a translation grows by, with the driver's header
	// ahead of it.
	headroom = 64
	// tailroom is for fragments' headers (see siit.Translator.To6).
	tailroom = 96 * (1 + maxPacket/1232)
	// moved is by how much a packet's beginning moves in its translation, so
	// that the payload stays where it is.
	moved = 20
	// lowest6 is what IPv4 packets that may be fragmented are fragmented to (RFC
	// 7915, section 4: the minimum MTU of IPv6).
	lowest6 = 1280
)

// device is a queue's end of the TUN device.
type device interface {
	// Read waits for a packet, after it has called idle.
	Read(p []byte, idle func()) (int, error)
	Write(p []byte) (int, error)
}

// queue translates what one queue of the device gives it, and gives it back
// there. Packets come and go with the driver's header, those of several
// segments too: they are translated as one.
type queue struct {
	dev    device
	join   *join // nil where the device takes no datagrams to be segmented
	tr     *siit.Translator
	m      *mapper
	view   *view
	limit  limiter
	counts counts
	whole  siit.Reassembler
	// buf takes a packet, and its translation in the same place; out is for
	// what is made new.
	buf, out []byte
}

func newQueue(dev device, m *mapper) *queue {
	v := &view{mapper: m}
	return &queue{
		dev:  dev,
		m:    m,
		view: v,
		tr: &siit.Translator{
			Map: v,
			// The kernel counts a hop on the way to the device and one on the way
			// from it.
			KeepHops:   true,
			MTU6:       mtu6,
			LowestMTU6: lowest6,
		},
		buf: make([]byte, headroom+vnetLen+maxPacket+tailroom),
		out: make([]byte, vnetLen+maxPacket),
	}
}

// serve handles one packet after the other until reading fails for good.
func (q *queue) serve() error {
	for read, failures := 1, 0; ; read++ {
		n, err := q.dev.Read(q.buf[headroom:][:vnetLen+maxPacket], q.flush)
		if err != nil {
			if !ofOnePacket(err) {
				return err
			}
			q.counts.unknown.Add(1)
			// Whoever makes such packets must not be able to end the service, and
			// an error that stays must not keep a processor busy.
			if failures++; failures > 1000 {
				time.Sleep(time.Millisecond)
			}
			continue
		}
		failures = 0
		q.handle(n)
		// Whoever has the device always busy with packets that lead to none
		// doesn't hold up others.
		if read%joinMost == 0 {
			q.flush()
		}
	}
}

// ofOnePacket reports whether reading can go on after an error: the device could
// not hand one packet out, as its kind of segments can't be expressed in the
// driver's header or for want of memory, and has dropped it.
func ofOnePacket(err error) bool {
	return slices.ContainsFunc([]error{syscall.EINVAL, syscall.EFAULT, syscall.EINTR, syscall.EMSGSIZE, syscall.ENOBUFS, syscall.ENOMEM},
		func(e error) bool { return errors.Is(err, e) })
}

// handle translates the packet of n octets, the driver's header included, that
// is in buf.
func (q *queue) handle(n int) {
	const at = headroom + vnetLen
	if n <= vnetLen {
		q.counts.unknown.Add(1)
		return
	}
	h, packet := readVnet(q.buf[headroom:]), q.buf[at:headroom+n]
	if !h.fits(packet) {
		q.counts.unknown.Add(1)
		return
	}
	switch packet[0] >> 4 {
	case 4:
		q.view.from = 0
		h, ok := q.unfragmentable(h, packet)
		if !ok {
			return
		}
		if isUDPFragment4(packet) && q.whole.Holds(packet, 0, q.m.table.now.Load()) {
			q.reassemble(packet)
			return
		}
		q.to6(q.buf[at-moved:], h, packet)
	case 6:
		q.view.from = q.m.origin(packet)
		out := q.buf[at+moved:]
		n, res := q.tr.To4(out, packet, h.offload())
		if needsWhole(res, packet) {
			q.reassemble(packet)
			return
		}
		if !q.counts.to4.note(len(packet), res) {
			q.answer6(packet, res)
			return
		}
		q.write(q.buf[at+moved-vnetLen:][:vnetLen+n], h.translated(out[:n]))
	default:
		q.counts.unknown.Add(1)
	}
}

// to6 translates an IPv4 packet to where out begins, with room for the driver's
// header ahead of it in buf.
func (q *queue) to6(out []byte, h vnet, packet []byte) {
	n, res := q.tr.To6(out, packet, h.offload())
	if res.Reason == siit.TooBig && h.partial() && !h.segmented() && res.Answer.IsZero() {
		// It becomes several fragments, none of which has all that the
		// checksum is about.
		h.finish(packet)
		h = vnet{}
		n, res = q.tr.To6(out, packet, siit.Offload{})
	}
	if needsWhole(res, packet) {
		q.reassemble(packet)
		return
	}
	if !q.counts.to6.note(len(packet), res) {
		if n := q.tr.Error4(q.out[vnetLen:], q.m.table.own(), packet, res.Answer); n > 0 {
			q.answer(n, netip.AddrFrom4([4]byte(packet[12:16])))
		}
		return
	}
	at := len(q.buf) - len(out)
	first, rest := siit.Next6(out[:n])
	q.write(q.buf[at-vnetLen:][:vnetLen+len(first)], h.translated(first))
	for at += len(first); len(rest) > 0; at += len(first) {
		first, rest = siit.Next6(rest)
		// The end of the fragment before, which is written, makes room.
		q.write(q.buf[at-vnetLen:][:vnetLen+len(first)], vnet{})
	}
}

// needsWhole reports whether a fragment can't be translated without the others.
func needsWhole(res siit.Result, packet []byte) bool {
	switch res.Reason {
	case siit.FragmentedICMP, siit.HiddenHeader:
		return true
	case siit.ZeroChecksum:
		return isUDPFragment4(packet)
	}
	return false
}

// isUDPFragment4: later ones would be translated by themselves, though the first
// is waiting for them.
func isUDPFragment4(p []byte) bool {
	return len(p) >= 20 && p[0]>>4 == 4 && p[9] == 17 && binary.BigEndian.Uint16(p[6:])&0x3fff != 0
}

// reassemble keeps a fragment, and handles the packet that it completes.
func (q *queue) reassemble(fragment []byte) {
	from, now := uint32(q.view.from), q.m.table.now.Load()
	whole := q.whole.Add(fragment, from, now)
	if whole == nil {
		if !q.whole.Holds(fragment, from, now) {
			// It was none, or one that contradicts the others.
			q.counts.fragments.Add(1)
		}
		return
	}
	vnet{}.put(q.buf[headroom:])
	if copy(q.buf[headroom+vnetLen:], whole) < len(whole) {
		q.counts.fragments.Add(1)
		return
	}
	q.handle(vnetLen + len(whole))
}

// unfragmentable makes an IPv4 packet that is to be segmented, and whose
// segments may be fragmented, one whose segments need not be: TCP by shorter
// segments, UDP by cutting it up here. ok is false when nothing is left to do.
func (q *queue) unfragmentable(h vnet, packet []byte) (_ vnet, ok bool) {
	const mayNot = 0x40 // DF, RFC 791, section 3.1
	if !h.segmented() || len(packet) < 20 || packet[6]&mayNot != 0 {
		return h, true
	}
	ihl := int(packet[0]&15) * 4
	switch h.gso & gsoKinds {
	case gsoTCP4:
		if len(packet) < ihl+20 {
			return h, true
		}
		head := int(packet[ihl+12]>>4) * 4
		h.size = min(h.size, uint16(lowest6-40-head))
	case gsoUDP:
		if 40+8+int(h.size) > lowest6 {
			q.cut(h, packet, ihl)
			return h, false
		}
	}
	return h, true
}

// cut makes datagrams of their own of a UDP packet that is to be segmented, as
// the kernel would later, and translates each.
func (q *queue) cut(h vnet, packet []byte, ihl int) {
	if len(packet) < ihl+8 {
		q.counts.unknown.Add(1)
		return
	}
	id := binary.BigEndian.Uint16(packet[4:])
	// The sum of the pseudo-header has the whole's length in it.
	pseudo := uint32(binary.BigEndian.Uint16(packet[ihl+6:])) + uint32(^binary.BigEndian.Uint16(packet[ihl+4:]))
	payload := packet[ihl+8:]
	work := make([]byte, headroom+len(packet[:ihl+8])+int(h.size)+tailroom)
	for ; len(payload) > 0; id++ {
		part := payload[:min(len(payload), int(h.size))]
		payload = payload[len(part):]
		one := work[headroom:][:ihl+8+len(part)]
		copy(one, packet[:ihl+8])
		copy(one[ihl+8:], part)
		binary.BigEndian.PutUint16(one[2:], uint16(len(one)))
		binary.BigEndian.PutUint16(one[4:], id)
		one[10], one[11] = 0, 0
		binary.BigEndian.PutUint16(one[10:], ^sumOf(0, one[:ihl]))
		binary.BigEndian.PutUint16(one[ihl+4:], uint16(8+len(part)))
		binary.BigEndian.PutUint16(one[ihl+6:], sumOf(pseudo+uint32(8+len(part)), nil))
		vnet{start: uint16(ihl), sum: 6}.finish(one)
		n, res := q.tr.To6(q.out[vnetLen:], one, siit.Offload{})
		if !q.counts.to6.note(len(one), res) {
			continue
		}
		for at := vnetLen; n > 0; {
			first, _ := siit.Next6(q.out[at : at+n])
			q.write(q.out[at-vnetLen:][:vnetLen+len(first)], vnet{})
			at, n = at+len(first), n-len(first)
		}
	}
}

// sumOf adds b to a sum in one's complement (RFC 1071).
func sumOf(acc uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		acc += uint32(b[0])<<8 | uint32(b[1])
	}
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}

// answer6 tells a guest why its packet was not translated; nobody else.
func (q *queue) answer6(packet []byte, res siit.Result) {
	if res.Answer.IsZero() || len(packet) < 40 {
		return
	}
	src := netip.AddrFrom16([16]byte(packet[8:24]))
	if !q.m.guests.Contains(src) {
		return
	}
	if n := q.tr.Error6(q.out[vnetLen:], *q.m.own6.Load(), packet, res.Answer); n > 0 {
		q.answer(n, src)
	}
}

// answer writes the packet of n octets that is in out.
func (q *queue) answer(n int, to netip.Addr) {
	if !q.limit.allow(to, q.view.from, q.m.table.now.Load()) {
		q.counts.withheld.Add(1)
		return
	}
	q.counts.answered.Add(1)
	q.write(q.out[:vnetLen+n], vnet{})
}

// write gives a packet to the device, now or with others that follow it, in order
// in any case. p has room for the driver's header ahead of it.
func (q *queue) write(p []byte, h vnet) {
	if q.join != nil {
		if q.join.add(p[vnetLen:], h) {
			return
		}
		q.flush()
		if q.join.add(p[vnetLen:], h) {
			return
		}
	}
	q.put(p, h)
}

// flush gives the device what was held back.
func (q *queue) flush() {
	if q.join == nil {
		return
	}
	if p, h := q.join.take(); p != nil {
		q.put(p, h)
	}
}

// put puts the header in front of a packet and gives both to the device.
func (q *queue) put(p []byte, h vnet) {
	h.put(p)
	// The kernel drops what it has no room for, and so do we: EAGAIN can't
	// happen here, as the device takes everything or refuses it.
	if _, err := q.dev.Write(p); err != nil {
		q.counts.failed.Add(1)
	}
}

// note counts a packet and reports whether it was translated.
func (d *directionCounts) note(n int, res siit.Result) bool {
	if res.Reason != siit.Translated {
		d.dropped[res.Reason].Add(1)
		return false
	}
	d.packets.Add(1)
	d.octets.Add(uint64(n))
	return true
}
