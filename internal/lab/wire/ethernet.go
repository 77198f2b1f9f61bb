package wire

import "encoding/binary"

// EtherTypes and the like, IEEE 802 numbers as IANA lists them.
const (
	typeIPv4  = 0x0800
	typeARP   = 0x0806
	typeRARP  = 0x8035
	typeVLAN  = 0x8100
	typeIPv6  = 0x86dd
	typeQinQ  = 0x88a8
	typeLLDP  = 0x88cc
	typeQinQ1 = 0x9100 // QinQ before IEEE 802.1ad
	typeMin   = 0x0600 // smaller numbers are lengths of IEEE 802.3 frames
)

// ethernet is a frame without its tags.
type ethernet struct {
	dst, src MAC
	vlans    []uint16 // from the outside in
	typ      uint16   // 0 for a bare LLC frame
	payload  []byte
}

// splitEthernet looks behind VLAN tags and IEEE 802.2 SNAP headers.
func splitEthernet(b []byte) (ethernet, bool) {
	if len(b) < 14 {
		return ethernet{}, false
	}
	e := ethernet{dst: MAC(b[0:6]), src: MAC(b[6:12])}
	typ, rest := binary.BigEndian.Uint16(b[12:]), b[14:]
	for typ == typeVLAN || typ == typeQinQ || typ == typeQinQ1 {
		if len(rest) < 4 {
			return ethernet{}, false
		}
		e.vlans = append(e.vlans, binary.BigEndian.Uint16(rest)&0xfff)
		typ, rest = binary.BigEndian.Uint16(rest[2:]), rest[4:]
	}
	e.typ, e.payload = typ, rest
	if typ < typeMin {
		e.typ, e.payload = 0, rest[:min(int(typ), len(rest))]
		// SNAP with the zero organisation code carries an EtherType (RFC 1042).
		if p := e.payload; len(p) >= 8 && [6]byte(p) == [6]byte{0xaa, 0xaa, 0x03} {
			e.typ, e.payload = binary.BigEndian.Uint16(p[6:]), p[8:]
		}
	}
	return e, true
}

// ethernet judges a frame by its MACs and goes on inside.
func (c *opened) ethernet() {
	j, e := c.judge, &c.eth
	if e.src != j.cfg.Server {
		c.hit(ForeignSource, "source MAC %v, EtherType %#04x", e.src, e.typ)
		if e.dst.IsMulticast() {
			c.hit(GuestMulticast, "sent by %v, EtherType %#04x", e.src, e.typ)
		}
	}
	if !e.dst.IsMulticast() && (len(j.provider) > 0 && j.foreign(e.dst) || j.guests[e.dst]) {
		c.hit(ForeignDestination, "destination MAC %v, EtherType %#04x", e.dst, e.typ)
	}
	switch e.typ {
	case 0:
		c.spanningTree(e.payload)
	case typeARP, typeRARP:
		c.arp(e.payload)
	case typeIPv4:
		c.ipv4(e.payload)
	case typeIPv6:
		c.ipv6(e.payload)
	case typeLLDP:
		c.lldp(e.payload)
	}
}

// inside reports a foreign MAC found in a payload.
func (c *opened) inside(m MAC, where string) {
	if c.judge.foreign(m) {
		c.hit(ForeignInside, "%s %s", where, c.judge.name(m))
	}
}

// spanningTree looks for MACs in the bridge identifiers of an IEEE 802.1D BPDU:
// a bridge with spanning tree names itself by the lowest MAC of its ports.
func (c *opened) spanningTree(b []byte) {
	const (
		llc      = 3 // 42 42 03
		root     = llc + 5 + 2
		bridge   = llc + 5 + 8 + 4 + 2
		bpduSize = bridge + 6
	)
	if len(b) < bpduSize || [3]byte(b) != [3]byte{0x42, 0x42, 0x03} {
		return
	}
	c.inside(MAC(b[root:root+6]), "spanning tree root identifier")
	c.inside(MAC(b[bridge:bridge+6]), "spanning tree bridge identifier")
}

// lldp looks for MACs in the chassis and port identifiers (IEEE 802.1AB 8.5.2,
// 8.5.3).
func (c *opened) lldp(b []byte) {
	for len(b) >= 2 {
		head := binary.BigEndian.Uint16(b)
		typ, n := head>>9, int(head&0x1ff)
		if len(b) < 2+n {
			return
		}
		v := b[2 : 2+n]
		if n == 7 && (typ == 1 && v[0] == 4 || typ == 2 && v[0] == 3) {
			c.inside(MAC(v[1:]), "LLDP identifier")
		}
		b = b[2+n:]
	}
}
