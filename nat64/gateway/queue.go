package gateway

import (
	"io"
	"net/netip"

	"github.com/sixhost/sixhost/nat64/siit"
)

// maxPacket is the longest IP packet, and outSize what its translation may
// take, fragments' headers included (see siit.Translator.To6).
const (
	maxPacket = 65535 + 40
	outSize   = maxPacket + 96*(1+maxPacket/1232)
)

// queue translates what one queue of the device gives it, and gives it back
// there.
type queue struct {
	dev     io.ReadWriter
	tr      *siit.Translator
	m       *mapper
	limit   limiter
	counts  counts
	in, out []byte
}

func newQueue(dev io.ReadWriter, m *mapper) *queue {
	return &queue{
		dev: dev,
		m:   m,
		tr: &siit.Translator{
			Map: m,
			// The kernel counts a hop on the way to the device and one on the way
			// from it.
			KeepHops: true,
			MTU6:     mtu6,
		},
		in:  make([]byte, maxPacket),
		out: make([]byte, outSize),
	}
}

// serve handles one packet after the other until reading fails.
func (q *queue) serve() error {
	for {
		n, err := q.dev.Read(q.in)
		if err != nil {
			return err
		}
		q.handle(q.in[:n])
	}
}

func (q *queue) handle(packet []byte) {
	if len(packet) == 0 {
		q.counts.unknown.Add(1)
		return
	}
	switch packet[0] >> 4 {
	case 4:
		n, res := q.tr.To6(q.out, packet, siit.Offload{})
		if !q.counts.to6.note(len(packet), res) {
			if n := q.tr.Error4(q.out, q.m.table.own(), packet, res.Answer); n > 0 {
				q.answer(n, netip.AddrFrom4([4]byte(packet[12:16])))
			}
			return
		}
		for p, rest := siit.Next6(q.out[:n]); len(p) > 0; p, rest = siit.Next6(rest) {
			q.write(p)
		}
	case 6:
		n, res := q.tr.To4(q.out, packet, siit.Offload{})
		if !q.counts.to4.note(len(packet), res) {
			q.answer6(packet, res)
			return
		}
		q.write(q.out[:n])
	default:
		q.counts.unknown.Add(1)
	}
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
	if n := q.tr.Error6(q.out, *q.m.own6.Load(), packet, res.Answer); n > 0 {
		q.answer(n, src)
	}
}

func (q *queue) answer(n int, to netip.Addr) {
	if !q.limit.allow(to, q.m.table.now.Load()) {
		q.counts.withheld.Add(1)
		return
	}
	q.counts.answered.Add(1)
	q.write(q.out[:n])
}

func (q *queue) write(p []byte) {
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
