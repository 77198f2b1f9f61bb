package macrewrite

import (
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/internal/nft"
)

// What an ordinary packet meets is written for its cost. The kernel compares up to
// four octets of the network or transport header at a tenth of what longer
// fields, fields of the Ethernet header, names and lookups take, and anew in
// each rule; so addresses are told apart by words of four octets, which proves
// nothing about packets that are not IPv6 and only says where to look on.

// Where addresses stand in an IPv6 header (RFC 8200, section 3).
const (
	nextHeaderAt = 6
	saddrAt      = 8
	daddrAt      = 24
)

// shortWay is the comment of rules that only spare ordinary packets the way
// through the others.
const shortWay = "a shorter way"

// words matches what begins with the first 64 bits of a prefix, or as many as it
// has, at an offset of the network header. The last word comes first: it tells
// most, and nft makes one long comparison of neighbours in their order.
func words(at uint32, p netip.Prefix) []nft.Expr {
	bits := min(p.Bits(), 64)
	octets := p.Masked().Addr().AsSlice()
	var out []nft.Expr
	for first := (bits - 1) / 32 * 32; first >= 0; first -= 32 {
		n := min(bits-first, 32)
		data := octets[first/8 : first/8+(n+7)/8]
		var mask []byte
		if n%8 != 0 {
			mask = make([]byte, len(data))
			for i := range n {
				mask[i/8] |= 0x80 >> (i % 8)
			}
			for i := range data {
				data[i] &= mask[i]
			}
		}
		out = append(out, nft.Payload(nft.NetworkHeader, at+uint32(first/8), data, mask))
	}
	return out
}

// linkLocalAt matches link-local addresses at an offset of the network header.
func linkLocalAt(at uint32) []nft.Expr {
	return []nft.Expr{nft.Payload(nft.NetworkHeader, at, []byte{0xfe, 0x80}, []byte{0xff, 0xc0})}
}

// firstHeader matches what stands right behind an IPv6 header.
func firstHeader(proto uint8) nft.Expr {
	return nft.Payload(nft.NetworkHeader, nextHeaderAt, []byte{proto}, nil)
}

// portAt matches a port at an offset of the transport header, of any protocol.
func portAt(at uint32, port uint16) nft.Expr {
	return nft.Payload(nft.TransportHeader, at, []byte{byte(port >> 8), byte(port)}, nil)
}

// near leads packets elsewhere that have an address of here at an offset of the
// network header: of the /64, link-local, of the NAT64 prefix, or of a /64 that
// the host has another address in.
func (c Config) near(at uint32, verdict nft.Expr) []nft.Rule {
	list := []netip.Prefix{c.Prefix}
	add := func(p netip.Prefix) {
		p = netip.PrefixFrom(p.Addr(), min(p.Bits(), 64)).Masked()
		if !slices.ContainsFunc(list, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }) {
			list = append(list, p)
		}
	}
	for _, p := range c.NAT64 {
		add(p)
	}
	for _, a := range c.Host {
		if a.Is6() && !a.IsLinkLocalUnicast() {
			add(single(a))
		}
	}
	var out []nft.Rule
	for _, p := range list {
		out = append(out, nft.NewRule(p.String(), append(words(at, p), verdict)...))
	}
	return append(out, nft.NewRule("link-local", append(linkLocalAt(at), verdict)...))
}
