package siit

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// Reassembler puts fragments together that can't be translated one by one:
// those of ICMP messages, whose checksum covers the whole's length in IPv6
// (RFC 7915, section 1.2, leaves them out for stateless translators), those
// with IPv6 extension headers behind the fragment header, whose removal moves
// all offsets, and those of UDP over IPv4 without a checksum, which IPv6 must
// have (section 4.5).
//
// It holds what it was given room for, and forgets what is incomplete after a
// time. Overlapping fragments end the packet they are of (RFC 5722), exact
// duplicates are left out (RFC 8200, section 4.5). It may be used by one
// goroutine at a time.
type Reassembler struct {
	// Packets is how many may be incomplete at once; default 64. One sender can
	// have a quarter of them, and where there is no room, the sender with most
	// loses its oldest. A packet takes what has arrived of it.
	Packets int
	// Seconds is how long a packet may be incomplete, by the clock of Add;
	// default 15.
	Seconds int64

	open []*partial
}

// partial is a packet of which fragments are missing.
type partial struct {
	key   fragKey
	since int64
	// pieces of the payload: ascending, apart; size is what they add up to.
	pieces []piece
	size   int
	// length of the whole payload, negative until the last fragment is there.
	length int
	// head is the first fragment's header, up to and with an IPv6 fragment
	// header.
	head []byte
}

type piece struct {
	from int
	data []byte
}

func (p piece) to() int { return p.from + len(p.data) }

// fragKey is what fragments of one packet share (RFC 791, section 3.2; RFC
// 8200, section 4.5), and where they came in.
type fragKey struct {
	src, dst netip.Addr
	id       uint32
	proto    uint8
	from     uint32
}

// sender is whom an incomplete packet is charged to.
type sender struct {
	from uint32
	src  netip.Addr
}

func (k fragKey) sender() sender {
	if k.from != 0 {
		return sender{from: k.from}
	}
	return sender{src: k.src}
}

// Add takes a fragment, which is copied, at a time in seconds. from is where it
// came in, a port for example, whose packets are one sender's whatever their
// source address; 0 is unknown, and the address says who sent it. When it makes a
// packet whole, that is returned, good until the next call: an IPv4 packet that
// may be fragmented, or an IPv6 packet with the fragment header of an atomic
// fragment, so that its translation may be fragmented again. Otherwise whole is
// nil. What is no fragment is not taken.
func (r *Reassembler) Add(fragment []byte, from uint32, now int64) (whole []byte) {
	f, ok := readFragment(fragment)
	if !ok {
		return nil
	}
	f.key.from = from
	p := r.find(f.key, now)
	if p == nil {
		p = r.begin(f.key, now)
	}
	if !p.take(f) {
		r.drop(p)
		return nil
	}
	if p.size != p.length || p.head == nil {
		return nil
	}
	r.drop(p)
	return p.whole()
}

// Holds reports whether other fragments of the same packet are here.
func (r *Reassembler) Holds(fragment []byte, from uint32, now int64) bool {
	if len(r.open) == 0 {
		return false
	}
	f, ok := readFragment(fragment)
	f.key.from = from
	return ok && r.find(f.key, now) != nil
}

func (r *Reassembler) find(k fragKey, now int64) *partial {
	seconds := r.Seconds
	if seconds <= 0 {
		seconds = 15
	}
	for len(r.open) > 0 && now-r.open[0].since > seconds {
		r.drop(r.open[0])
	}
	for _, p := range r.open {
		if p.key == k {
			return p
		}
	}
	return nil
}

func (r *Reassembler) begin(k fragKey, now int64) *partial {
	most := r.Packets
	if most <= 0 {
		most = 64
	}
	has := make(map[sender]int)
	busiest := k.sender()
	for _, p := range r.open {
		s := p.key.sender()
		if has[s]++; has[s] > has[busiest] {
			busiest = s
		}
	}
	switch own := has[k.sender()]; {
	case own > 0 && own >= most/4:
		r.dropOldest(k.sender())
	case len(r.open) >= most:
		r.dropOldest(busiest)
	}
	p := &partial{key: k, since: now, length: -1}
	r.open = append(r.open, p)
	return p
}

func (r *Reassembler) drop(p *partial) {
	for i, o := range r.open {
		if o == p {
			r.open = append(r.open[:i], r.open[i+1:]...)
			return
		}
	}
}

func (r *Reassembler) dropOldest(s sender) {
	for _, p := range r.open {
		if p.key.sender() == s {
			r.drop(p)
			return
		}
	}
}

// maxFragments limits how finely a packet may be cut, as each costs a search: it
// is enough for the longest one on a path of IPv4's 576 octets.
const maxFragments = 128

// fragment is one, taken apart no further than its fragment header.
type fragment struct {
	key     fragKey
	off     int
	more    bool
	head    []byte
	payload []byte
}

func readFragment(b []byte) (fragment, bool) {
	if len(b) == 0 {
		return fragment{}, false
	}
	if b[0]>>4 == 4 {
		p, res := parse4(b, false)
		if res.Reason != Translated || !p.frag {
			return fragment{}, false
		}
		return fragment{
			key: fragKey{p.src, p.dst, p.id, p.proto, 0}, off: p.off, more: p.more,
			head: b[:int(b[0]&15)*4], payload: p.payload,
		}, true
	}
	at, ok := findFragment(b)
	if !ok {
		return fragment{}, false
	}
	end := hdr6 + int(binary.BigEndian.Uint16(b[4:]))
	if end > len(b) || at+hdrFrag > end {
		return fragment{}, false
	}
	field := binary.BigEndian.Uint16(b[at+2:])
	f := fragment{
		key: fragKey{
			netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])),
			binary.BigEndian.Uint32(b[at+4:]), 0, 0, // the next header may differ: RFC 8200, section 4.5
		},
		off: int(field &^ 7), more: field&1 != 0, head: b[:at+hdrFrag], payload: b[at+hdrFrag : end],
	}
	return f, f.off != 0 || f.more
}

// findFragment returns where an IPv6 packet's fragment header stands.
func findFragment(b []byte) (int, bool) {
	if len(b) < hdr6 || b[0]>>4 != 6 {
		return 0, false
	}
	next, at := b[6], hdr6
	for {
		switch next {
		case protoFragment:
			return at, len(b) >= at+hdrFrag
		case protoHopByHop, protoRouting, protoDestination:
			if len(b) < at+8 {
				return 0, false
			}
			next, at = b[at], at+8+int(b[at+1])*8
		default:
			return 0, false
		}
	}
}

// take puts a fragment in its place. It returns false for one that contradicts
// the others.
func (p *partial) take(f fragment) bool {
	end, last := f.off+len(f.payload), 0
	if n := len(p.pieces); n > 0 {
		last = p.pieces[n-1].to()
	}
	at := 0
	for at < len(p.pieces) && p.pieces[at].to() <= f.off {
		at++
	}
	if at < len(p.pieces) && p.pieces[at].from == f.off && f.more == (end != p.length) && bytes.Equal(p.pieces[at].data, f.payload) {
		return true // a duplicate
	}
	switch {
	case len(f.payload) == 0, f.more && len(f.payload)%8 != 0, end > 65535-hdr4, len(p.pieces) >= maxFragments:
		return false
	case !f.more && p.length >= 0, !f.more && last > end, p.length >= 0 && end > p.length:
		return false
	case at < len(p.pieces) && p.pieces[at].from < end:
		return false // overlaps
	}
	if !f.more {
		p.length = end
	}
	if f.off == 0 {
		p.head = bytes.Clone(f.head)
	}
	p.pieces = slices.Insert(p.pieces, at, piece{f.off, bytes.Clone(f.payload)})
	p.size += len(f.payload)
	return true
}

// whole is the packet, with a header that fits it.
func (p *partial) whole() []byte {
	b := append(make([]byte, 0, len(p.head)+p.length), p.head...)
	for _, piece := range p.pieces {
		b = append(b, piece.data...)
	}
	if b[0]>>4 == 4 {
		if len(b) > 65535 {
			return nil
		}
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		b[6], b[7], b[10], b[11] = 0, 0, 0, 0
		binary.BigEndian.PutUint16(b[10:], ^sum(b[:len(p.head)]))
		return b
	}
	if len(b)-hdr6 > 65535 {
		return nil
	}
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-hdr6))
	binary.BigEndian.PutUint16(b[len(p.head)-hdrFrag+2:], 0)
	return b
}
