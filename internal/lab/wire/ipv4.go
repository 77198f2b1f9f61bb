package wire

import (
	"encoding/binary"
	"net/netip"
)

// arp judges ARP (RFC 826) and RARP (RFC 903) of IPv4 over Ethernet.
func (c *opened) arp(b []byte) {
	j := c.judge
	if len(b) < 28 {
		c.hit(Opaque, "ARP of %d bytes", len(b))
		return
	}
	if [6]byte(b) != [6]byte{0, 1, 8, 0, 6, 4} {
		c.hit(Opaque, "ARP that is not IPv4 over Ethernet")
		return
	}
	sha, spa := MAC(b[8:14]), netip.AddrFrom4([4]byte(b[14:18]))
	tha, tpa := MAC(b[18:24]), netip.AddrFrom4([4]byte(b[24:28]))
	c.inside(sha, "ARP sender")
	c.inside(tha, "ARP target")
	if j.foreign(sha) || j.hostIPv4 && !spa.IsUnspecified() && !j.own(spa) {
		kind := GuestUnicast
		if c.eth.dst.IsMulticast() {
			kind = GuestMulticast
		}
		c.hit(kind, "ARP of %v at %v about %v", spa, sha, tpa)
	}
}

// IP protocol numbers, as IANA lists them.
const (
	protoHopByHop    = 0
	protoICMP        = 1
	protoUDP         = 17
	protoRouting     = 43
	protoFragment    = 44
	protoAH          = 51
	protoICMPv6      = 58
	protoDestination = 60
	protoMobility    = 135
	protoHIP         = 139
	protoShim6       = 140
)

// ipv4 judges multicast by its source, and looks into DHCP and ICMP redirects.
func (c *opened) ipv4(b []byte) {
	j := c.judge
	if len(b) < 20 || b[0]>>4 != 4 {
		c.hit(Opaque, "IPv4 header is cut or malformed")
		return
	}
	header := int(b[0]&15) * 4
	if header < 20 || len(b) < header {
		c.hit(Opaque, "IPv4 header is cut or malformed")
		return
	}
	// Ethernet padding is not part of the packet. Zero stands in large packets
	// that the kernel has yet to segment.
	if total := int(binary.BigEndian.Uint16(b[2:])); total >= header && total < len(b) {
		b = b[:total]
	}
	proto, payload := b[9], b[header:]
	src, dst := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	if c.eth.dst.IsMulticast() && j.hostIPv4 && !src.IsUnspecified() && !j.own(src) {
		c.hit(GuestMulticast, "IPv4 from %v to %v, protocol %d", src, dst, proto)
	}
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return // a later fragment has no header
	}
	switch proto {
	case protoICMP:
		if len(payload) > 0 && payload[0] == 5 { // RFC 792, redirect
			c.hit(Redirect, "ICMP redirect from %v to %v", src, dst)
		}
	case protoUDP:
		c.udp(payload)
	}
}

// udp looks into DHCP of both families by its ports (RFC 2131 4.1, RFC 8415 7.2).
func (c *opened) udp(b []byte) {
	if len(b) < 8 {
		return
	}
	from, to := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	isOf := func(p uint16, client, server uint16) bool { return p == client || p == server }
	switch {
	case isOf(from, 67, 68) && isOf(to, 67, 68):
		c.dhcp(b[8:])
	case isOf(from, 546, 547) || isOf(to, 546, 547):
		c.dhcpv6(b[8:])
	}
}

// dhcp looks for MACs in a message of RFC 2131.
func (c *opened) dhcp(b []byte) {
	const chaddr, magic = 28, 236
	if len(b) < chaddr+16 {
		c.hit(Opaque, "DHCP of %d bytes", len(b))
		return
	}
	if b[1] == 1 && b[2] == 6 {
		m := MAC(b[chaddr : chaddr+6])
		c.inside(m, "DHCP client")
		if c.judge.foreign(m) && c.eth.dst.IsMulticast() {
			c.hit(GuestMulticast, "DHCP of %v", m)
		}
	}
	if len(b) < magic+4 || [4]byte(b[magic:]) != [4]byte{0x63, 0x82, 0x53, 0x63} {
		return
	}
	for o := b[magic+4:]; len(o) >= 2; {
		switch o[0] {
		case 0: // pad
			o = o[1:]
			continue
		case 255: // end
			return
		}
		n := int(o[1])
		if len(o) < 2+n {
			return
		}
		// RFC 2132 9.14: a client identifier of hardware type 1 is a MAC.
		if o[0] == 61 && n == 7 && o[2] == 1 {
			c.inside(MAC(o[3:9]), "DHCP client identifier")
		}
		o = o[2+n:]
	}
}

// dhcpv6 looks for MACs in the DUIDs (RFC 8415 11.2, 11.4) of a message that is
// not relayed.
func (c *opened) dhcpv6(b []byte) {
	if len(b) < 4 || b[0] == 12 || b[0] == 13 {
		return
	}
	for o := b[4:]; len(o) >= 4; {
		code, n := binary.BigEndian.Uint16(o), int(binary.BigEndian.Uint16(o[2:]))
		if len(o) < 4+n {
			return
		}
		if v := o[4 : 4+n]; (code == 1 || code == 2) && n >= 4 && binary.BigEndian.Uint16(v[2:]) == 1 {
			switch typ := binary.BigEndian.Uint16(v); {
			case typ == 1 && n == 14: // DUID-LLT, after four bytes of time
				c.inside(MAC(v[8:]), "DHCPv6 DUID")
			case typ == 3 && n == 10: // DUID-LL
				c.inside(MAC(v[4:]), "DHCPv6 DUID")
			}
		}
		o = o[4+n:]
	}
}
