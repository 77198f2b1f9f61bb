package wire

import (
	"encoding/binary"
	"net/netip"
)

// ipv6Packet is an IPv6 packet behind its extension headers.
type ipv6Packet struct {
	src, dst netip.Addr
	hop      uint8
	proto    uint8
	payload  []byte // from the upper layer's header on; nil in later fragments
	fragment bool   // has a fragment header that is not atomic
	later    bool   // a fragment other than the first
	whole    bool   // the header chain is all there
}

// splitIPv6 walks the extension headers (RFC 8200 4, RFC 4302 2, RFC 7045).
func splitIPv6(b []byte) (ipv6Packet, bool) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return ipv6Packet{}, false
	}
	p := ipv6Packet{
		src:   netip.AddrFrom16([16]byte(b[8:24])),
		dst:   netip.AddrFrom16([16]byte(b[24:40])),
		hop:   b[7],
		proto: b[6],
	}
	rest := b[40:]
	// Zero stands in jumbograms and in large packets yet to be segmented;
	// anything beyond the length is Ethernet padding.
	if n := int(binary.BigEndian.Uint16(b[4:])); n > 0 && n < len(rest) {
		rest = rest[:n]
	}
	for {
		size := 0
		switch p.proto {
		case protoHopByHop, protoRouting, protoDestination, protoMobility, protoHIP, protoShim6:
			if len(rest) >= 2 {
				size = int(rest[1])*8 + 8
			}
		case protoAH:
			if len(rest) >= 2 {
				size = int(rest[1])*4 + 8
			}
		case protoFragment:
			size = 8
			if len(rest) >= size {
				where := binary.BigEndian.Uint16(rest[2:])
				p.fragment = where&^6 != 0 // neither offset nor more: atomic
				if where&^7 != 0 {
					p.proto, p.later, p.whole = rest[0], true, true
					return p, true
				}
			}
		default:
			p.payload, p.whole = rest, true
			return p, true
		}
		if size == 0 || len(rest) < size {
			return p, true
		}
		p.proto, rest = rest[0], rest[size:]
	}
}

// extension tells headers that another header follows.
func extension(proto uint8) bool {
	switch proto {
	case protoHopByHop, protoRouting, protoFragment, protoAH, protoDestination, protoMobility, protoHIP, protoShim6:
		return true
	}
	return false
}

// ipv6 judges a packet by its source and what neighbour discovery it carries.
func (c *opened) ipv6(b []byte) {
	j := c.judge
	p, ok := splitIPv6(b)
	if !ok {
		c.hit(Opaque, "IPv6 header is cut or malformed")
		return
	}
	multicast := c.eth.dst.IsMulticast() || p.dst.IsMulticast()
	if !p.src.IsUnspecified() && !j.own(p.src) && !c.answer(p) {
		switch {
		case multicast:
			c.hit(GuestMulticast, "IPv6 from %s to %v, protocol %d", j.owner(p.src), p.dst, p.proto)
		case p.src.IsLinkLocalUnicast():
			c.hit(GuestUnicast, "IPv6 from %s to %v, protocol %d", j.owner(p.src), p.dst, p.proto)
		}
	}
	// Neighbour discovery is valid with hop limit 255 only (RFC 4861 6.1, 7.1),
	// which no routed packet has: what hides there could be anything.
	if p.hop == 255 && (!p.whole || p.later && (p.proto == protoICMPv6 || extension(p.proto))) {
		c.hit(Opaque, "IPv6 from %v to %v hides its ICMPv6 header, fragment %t", p.src, p.dst, p.fragment)
		return
	}
	if p.later || !p.whole {
		return
	}
	switch p.proto {
	case protoUDP:
		c.udp(p.payload)
	case protoICMPv6:
		c.icmpv6(p, multicast)
	}
}

// ICMPv6 types (RFC 2710 3, RFC 3810 5.2, RFC 4861 4).
const (
	icmpMLDReport   = 131
	icmpMLDDone     = 132
	icmpRS          = 133
	icmpRA          = 134
	icmpNS          = 135
	icmpNA          = 136
	icmpRedirect    = 137
	icmpMLDv2Report = 143
)

// icmpv6 judges neighbour discovery and multicast listener reports.
func (c *opened) icmpv6(p ipv6Packet, multicast bool) {
	j, b := c.judge, p.payload
	if len(b) < 4 {
		c.hit(Opaque, "ICMPv6 of %d bytes from %v", len(b), p.src)
		return
	}
	fixed, isND := 0, true // bytes before the options
	switch b[0] {
	case icmpRS:
		fixed = 8
		// A host with a link-local address, as the server is, never needs to
		// solicit without one (RFC 4861 6.3.7).
		if p.src.IsUnspecified() {
			c.hit(GuestMulticast, "router solicitation from ::")
		}
	case icmpRA:
		fixed = 16
		c.hit(RouterAdvertisement, "router advertisement from %s to %v", j.owner(p.src), p.dst)
	case icmpNS, icmpNA:
		fixed = 24
	case icmpRedirect:
		fixed = 40
		c.hit(Redirect, "redirect from %s to %s", j.owner(p.src), j.owner(p.dst))
	default:
		isND = false
	}
	switch b[0] {
	case icmpMLDReport, icmpMLDDone, icmpMLDv2Report:
		c.listener(b)
	}
	if !isND {
		return
	}
	if !multicast && !p.src.IsUnspecified() && !j.own(p.src) && p.hop == 255 && !c.answer(p) {
		c.hit(GuestUnicast, "neighbour discovery type %d from %s to %v", b[0], j.owner(p.src), p.dst)
	}
	if len(b) < fixed {
		c.hit(Opaque, "neighbour discovery type %d of %d bytes", b[0], len(b))
		return
	}
	if b[0] == icmpNS || b[0] == icmpNA {
		c.target(p, b[0], netip.AddrFrom16([16]byte(b[8:24])))
	}
	// RFC 4861 4.6.1: source 1 and target 2 link-layer addresses.
	ok := eachOption(b[fixed:], func(typ byte, body []byte) {
		if (typ == 1 || typ == 2) && len(body) >= 6 {
			c.inside(MAC(body[:6]), linkLayerOption(b[0]))
		}
	})
	if !ok {
		c.hit(Opaque, "neighbour discovery type %d with malformed options", b[0])
	}
}

// answer tells advertisements that the server makes for a guest in the guest's
// name: about the very address they come from, with the server's MAC.
func (c *opened) answer(p ipv6Packet) bool {
	b := p.payload
	return c.eth.src == c.judge.cfg.Server && p.proto == protoICMPv6 && !p.fragment && len(b) >= 24 && b[0] == icmpNA &&
		netip.AddrFrom16([16]byte(b[8:24])) == p.src && c.judge.answered(p.src)
}

// target judges whom a solicitation or advertisement is about.
func (c *opened) target(p ipv6Packet, typ byte, target netip.Addr) {
	j := c.judge
	switch {
	case typ == icmpNS && p.src.IsUnspecified():
		// Duplicate address detection (RFC 4862 5.4.2).
		if !j.own(target) {
			c.hit(GuestMulticast, "duplicate address detection for %s", j.owner(target))
		}
	case !j.own(p.src) || !j.betrays(target):
	case typ == icmpNA && j.answered(target):
	case typ == icmpNS && j.cfg.OnLink && j.cfg.Prefix.Contains(target) && !j.answered(target):
	case typ == icmpNS:
		c.hit(GuestSolicited, "neighbour solicitation from %v for %s", p.src, j.owner(target))
	default:
		c.hit(GuestAdvertised, "neighbour advertisement from %v for %s", p.src, j.owner(target))
	}
}

// listener judges the groups of a multicast listener report or done.
func (c *opened) listener(b []byte) {
	group := func(g netip.Addr) {
		if !c.judge.ownGroup(g) {
			c.hit(GuestMulticast, "multicast listener type %d for %v", b[0], g)
		}
	}
	if b[0] != icmpMLDv2Report { // RFC 2710 3
		if len(b) < 24 {
			c.hit(Opaque, "multicast listener message of %d bytes", len(b))
			return
		}
		group(netip.AddrFrom16([16]byte(b[8:24])))
		return
	}
	// RFC 3810 5.2: records of type, auxiliary length in words, number of
	// sources, group, sources, auxiliary data.
	if len(b) < 8 {
		c.hit(Opaque, "multicast listener report of %d bytes", len(b))
		return
	}
	r := b[8:]
	for range binary.BigEndian.Uint16(b[6:]) {
		if len(r) < 20 {
			c.hit(Opaque, "multicast listener report ends inside a record")
			return
		}
		group(netip.AddrFrom16([16]byte(r[4:20])))
		size := 20 + int(binary.BigEndian.Uint16(r[2:]))*16 + int(r[1])*4
		r = r[min(size, len(r)):]
	}
}

// eachOption calls fn with the type and body of each option (RFC 4861 4.6) and
// tells whether they were all well formed.
func eachOption(b []byte, fn func(typ byte, body []byte)) bool {
	for len(b) > 0 {
		if len(b) < 2 || b[1] == 0 || len(b) < int(b[1])*8 {
			return false
		}
		n := int(b[1]) * 8
		fn(b[0], b[2:n])
		b = b[n:]
	}
	return true
}

// linkLayerOption names where a MAC was found without allocating.
func linkLayerOption(typ byte) string {
	switch typ {
	case icmpRS:
		return "router solicitation's link-layer address option"
	case icmpRA:
		return "router advertisement's link-layer address option"
	case icmpNS:
		return "neighbour solicitation's link-layer address option"
	case icmpNA:
		return "neighbour advertisement's link-layer address option"
	default:
		return "redirect's link-layer address option"
	}
}
