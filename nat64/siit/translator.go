package siit

import (
	"math/rand/v2"
	"net/netip"
)

// Translator translates packets one at a time. It holds no state of its own:
// its methods may be called from several goroutines if the Mapper and ID allow
// it. Only Map is required.
type Translator struct {
	// Map gives the address in the other family. Required.
	Map Mapper
	// KeepHops leaves the hop limit as it is, for a translator that stands
	// between two kernels' forwarding, each of which counts a hop. By default
	// it is decremented, and a packet whose hop limit ends is answered (RFC
	// 7915, sections 4.1 and 5.1).
	KeepHops bool
	// ZeroTrafficClass writes zero where the other family's traffic class or
	// type of service would be copied, for administrative domains with an own
	// meaning of IPv4 TOS (RFC 7915, sections 4.1 and 5.1).
	ZeroTrafficClass bool
	// MTU4 and MTU6 are those of the next hop on the IPv4 and the IPv6 side.
	// Packets longer than that which must not be fragmented are answered with
	// their MTU, and MTUs in ICMP errors are lowered to them. Zero means that
	// somebody else sees to it.
	MTU4, MTU6 int
	// LowestMTU6 is the smallest path MTU on the IPv6 side: an IPv4 packet that
	// may be fragmented, and whose translation is longer, is fragmented to it
	// (RFC 7915, section 4). Values under 1280, the default, mean 1280.
	LowestMTU6 int
	// ID returns an identification for an IPv4 packet that may be fragmented
	// (RFC 7915, section 5.1). Default: random. It must not allocate where the
	// caller cares.
	ID func() uint16
}

// Role says what an address is in the packet being translated.
type Role uint8

const (
	// Source is the source of a packet that is not an ICMP error.
	Source Role = iota
	// Destination is the packet's destination.
	Destination
	// ErrorSource is the source of an ICMP error, which may be any router on
	// the way, without a mapping of its own (RFC 6791).
	ErrorSource
	// InnerSource and InnerDestination are those of the packet inside an ICMP
	// error: InnerSource the side which the error is told to.
	InnerSource
	InnerDestination
)

// String returns the name in words.
func (r Role) String() string {
	switch r {
	case Source:
		return "source"
	case Destination:
		return "destination"
	case ErrorSource:
		return "source of an error"
	case InnerSource:
		return "inner source"
	case InnerDestination:
		return "inner destination"
	}
	return "role"
}

// Mapper gives addresses their counterpart in the other family. To4 gets IPv6
// addresses and returns IPv4 ones, To6 the other way round. A Reason other
// than Translated ends the packet: [Denied] and [Unreachable] are answered with
// an ICMP error, others are not. The source is asked for last, when everything
// else about the packet is in order, so that a mapping can be made on the way.
type Mapper interface {
	To4(v6 netip.Addr, role Role) (netip.Addr, Reason)
	To6(v4 netip.Addr, role Role) (netip.Addr, Reason)
}

// Offload says what the sender of a packet left to be done later, as
// virtio-net headers express it. The zero value is an ordinary packet.
type Offload struct {
	// Partial: the transport's checksum field holds the sum of the
	// pseudo-header only, not inverted; somebody adds the rest. It does so in
	// the translated packet too. A packet that To6 would have to fragment is
	// refused with [TooBig], as nobody could add the rest any more.
	Partial bool
	// Segmented: the packet will be cut into segments of legal size, so its
	// own length is not judged.
	Segmented bool
}

func (t *Translator) id() uint16 {
	if t.ID != nil {
		return t.ID()
	}
	return uint16(rand.Uint32())
}

func (t *Translator) lowest6() int { return max(t.LowestMTU6, minMTU6) }

const (
	hdr4    = 20
	hdr6    = 40
	hdrFrag = 8
	// minMTU6 is the smallest MTU an IPv6 link may have (RFC 8200, section 5),
	// and the longest an ICMPv6 error may be (RFC 4443, section 2.4 c).
	minMTU6 = 1280
	// maxError4 is the longest an ICMPv4 error should be (RFC 1812, section
	// 4.3.2.3).
	maxError4 = 576
)
