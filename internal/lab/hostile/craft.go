package hostile

import (
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// craft makes the marked frames of one attack.
type craft struct {
	Stage
	attack Attack
	// bare leaves the mark out of neighbour discovery.
	bare bool
}

func newCraft(s Stage, number uint8, name string) *craft {
	return &craft{Stage: s, attack: Attack{Name: name, number: number}}
}

func (c *craft) mark() []byte { return mark(c.attack.number) }

// markOption is the mark as an option that receivers skip (RFC 4727 section 5.1:
// type 253 is for experiments).
func (c *craft) markOption() []byte {
	if c.bare {
		return nil
	}
	return option(253, c.mark()...)
}

// without makes frames without a mark in them.
func (c *craft) without(make func() []byte) []byte {
	c.bare = true
	defer func() { c.bare = false }()
	return make()
}

// trailed adds a mark behind the packet, where bridges carry it along.
func (c *craft) trailed(frame []byte) []byte { return append(frame, c.mark()...) }

func (c *craft) add(frames ...[]byte) { c.attack.Frames = append(c.attack.Frames, frames...) }

// echo is an echo request that carries the mark, as a packet.
func (c *craft) echo(src, dst netip.Addr) []byte {
	return ipv6(src, dst, protoICMPv6, 64, icmpv6(src, dst, icmpEcho, 0, slices.Concat([]byte{0x5e, 0xed, 0, 1}, c.mark(), c.mark())))
}

func (c *craft) echo4(src, dst netip.Addr) []byte {
	b := slices.Concat([]byte{8, 0, 0, 0, 0x5e, 0xed, 0, 1}, c.mark(), c.mark())
	s := fold(sum(b))
	b[2], b[3] = byte(s>>8), byte(s)
	return ipv4(src, dst, protoICMP, b)
}

// nd is a packet of neighbour discovery, with the mark as last option and the
// hop limit that it needs (RFC 4861 section 6.1).
func (c *craft) nd(src, dst netip.Addr, typ uint8, body []byte) []byte {
	return ipv6(src, dst, protoICMPv6, 255, icmpv6(src, dst, typ, 0, append(slices.Clone(body), c.markOption()...)))
}

// to6 puts an IPv6 packet into a frame.
func to6(dst, src wire.MAC, packet []byte) []byte { return ethernet(dst, src, typeIPv6, packet) }

// multicast6 puts a packet into a frame for its multicast destination.
func multicast6(src wire.MAC, packet []byte) []byte {
	return to6(group(netip.AddrFrom16([16]byte(packet[24:40]))), src, packet)
}

// markedARP is an ARP frame with the mark in its padding.
func (c *craft) markedARP(dst, src wire.MAC, typ uint16, message []byte) []byte {
	return ethernet(dst, src, typ, append(slices.Clone(message), c.mark()...))
}

// rogueRA is a router advertisement for another prefix and name server, from an
// address of the sender's choice.
func (c *craft) rogueRA(src, dst netip.Addr, mac wire.MAC, lifetime uint16) []byte {
	return c.nd(src, dst, icmpRA, advertisement(lifetime, sourceLLA(mac), prefixOption(roguePrefix()), dnsOption(src)))
}

// roguePrefix is what rogue advertisements offer.
func roguePrefix() netip.Prefix { return netip.MustParsePrefix("2001:db8:bad::/64") }

// RoguePrefix is the prefix that rogue advertisements offer: no guest should ever
// have an address in it.
func RoguePrefix() netip.Prefix { return roguePrefix() }

// redirect tells dst that another router is better for a destination (RFC 4861
// section 4.5).
func (c *craft) redirect(src, dst, better, destination netip.Addr, mac wire.MAC) []byte {
	// The packet that it is about, as far as it fits (RFC 4861 section 4.6.3).
	about := append(make([]byte, 6), c.echo(dst, destination)[:48]...)
	body := slices.Concat([]byte{0, 0, 0, 0}, better.AsSlice(), destination.AsSlice(), targetLLA(mac), option(4, about...))
	return c.nd(src, dst, icmpRedirect, body)
}

// extension is a header of options, padded with PadN (RFC 8200 section 4.2).
func extension(next uint8, words int) []byte {
	b := make([]byte, 8+8*words)
	b[0], b[1] = next, byte(words)
	b[2], b[3] = 1, byte(len(b)-4)
	return b
}

// fragment is a fragment header (RFC 8200 section 4.5); offset is in bytes.
func fragment(next uint8, offset int, more bool, id uint32) []byte {
	at := uint16(offset)
	if more {
		at |= 1
	}
	return []byte{next, 0, byte(at >> 8), byte(at), byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
}

// behind puts extension headers between the IPv6 header of a packet and the rest.
// The headers' own chain is made by the caller; first is what the IPv6 header
// names.
func behind(packet []byte, first uint8, headers []byte) []byte {
	src, dst := netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
	return ipv6(src, dst, first, packet[7], slices.Concat(headers, packet[40:]))
}

// fragments cuts what is behind the IPv6 header of a packet, at a multiple of
// eight, into two.
func fragments(packet []byte, at int, id uint32) [][]byte {
	src, dst := netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
	next, rest := packet[6], packet[40:]
	return [][]byte{
		ipv6(src, dst, protoFragment, packet[7], slices.Concat(fragment(next, 0, true, id), rest[:at])),
		ipv6(src, dst, protoFragment, packet[7], slices.Concat(fragment(next, at, false, id), rest[at:])),
	}
}
