package gateway

import (
	"sync/atomic"

	"github.com/sixhost/sixhost/nat64/gateway/fastpath"
	"github.com/sixhost/sixhost/nat64/siit"
)

// Stats are counts since New.
type Stats struct {
	// Path is the way that packets with a known mapping take: [PathFast] or
	// [PathPortable]. FastPathError says why the fast path is not on; nil where
	// it is, or where nobody asked for it.
	Path          string
	FastPathError error
	// To4 are packets from guests, To6 those to guests.
	To4, To6 Direction
	// Fast are the fast path's own counts: what it translated, and why it left
	// other packets to the portable path.
	Fast fastpath.Counts
	// Answered are ICMP errors sent about packets that were not translated,
	// Withheld those that the rate limit held back.
	Answered, Withheld uint64
	// Unknown are packets of neither IP version and those the device could not
	// hand out, Failed those the kernel would not take back.
	Unknown, Failed uint64
	// Fragments that had to be put together and could not: overlapping ones, for
	// example.
	Fragments uint64
	// Mappings in use, of the Capacity that the pool has room for.
	Mappings, Capacity int
	// Refused is how often a guest was refused a mapping, as its port has its
	// share, asks too fast, or the pool is full.
	Refused uint64
}

// The ways a packet can take.
const (
	PathFast     = "fast"
	PathPortable = "portable"
)

// Direction counts one direction.
type Direction struct {
	// Packets and Octets that arrived and were translated on the portable path,
	// as they arrived; a packet with several segments' payload counts once.
	Packets, Octets uint64
	// FastPackets and FastOctets are those of the fast path.
	FastPackets, FastOctets uint64
	// Dropped by reason; Dropped[siit.Translated] is always zero.
	Dropped [siit.Reasons]uint64
}

// counts is what one queue counts; only its goroutine writes.
type counts struct {
	to4, to6                                       directionCounts
	answered, withheld, unknown, failed, fragments atomic.Uint64
}

type directionCounts struct {
	packets, octets atomic.Uint64
	dropped         [siit.Reasons]atomic.Uint64
}

func (d *directionCounts) addTo(s *Direction) {
	s.Packets += d.packets.Load()
	s.Octets += d.octets.Load()
	for i := range d.dropped {
		s.Dropped[i] += d.dropped[i].Load()
	}
}

func (c *counts) addTo(s *Stats) {
	c.to4.addTo(&s.To4)
	c.to6.addTo(&s.To6)
	s.Answered += c.answered.Load()
	s.Withheld += c.withheld.Load()
	s.Unknown += c.unknown.Load()
	s.Failed += c.failed.Load()
	s.Fragments += c.fragments.Load()
}
