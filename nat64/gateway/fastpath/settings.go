package fastpath

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"

	"github.com/sixhost/sixhost/nat64"
)

// ErrUnavailable is matched by the errors that say why there can be no fast
// path here.
var ErrUnavailable = errors.New("no fast path here")

// Settings are what the programs are told when they are loaded.
type Settings struct {
	// Version names the programs themselves, see [Version].
	Version string `json:"version"`
	// Prefix is the NAT64 prefix.
	Prefix nat64.Prefix `json:"prefix"`
	// Denied are IPv4 addresses that are left to the portable path, which
	// refuses them: sorted, and apart.
	Denied []netip.Prefix `json:"denied,omitempty"`
	// MTU6 is the longest IPv6 packet towards guests.
	MTU6 int `json:"mtu6"`
}

//go:embed bpf/fastpath.c
var source []byte

// Version names the programs that this package attaches: a hash of their
// source.
func Version() string {
	sum := sha256.Sum256(source)
	return hex.EncodeToString(sum[:8])
}

// prefixWords returns the prefix as the programs take it.
func prefixWords(p nat64.Prefix) (hi, lo uint64, bits uint32) {
	a := p.Prefix().Addr().As16()
	return binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:]), uint32(p.Bits())
}

// coarse sorts the first octets of IPv4 addresses: 0 where nothing is denied, 1
// where everything is, 2 where the trie has to be asked.
func coarse(denied []netip.Prefix) (out [256]uint8) {
	for _, p := range denied {
		first := int(p.Addr().As4()[0])
		if p.Bits() > 8 {
			if out[first] == 0 {
				out[first] = 2
			}
			continue
		}
		for i := range 1 << (8 - p.Bits()) {
			out[first+i] = 1
		}
	}
	return out
}

// Outcome says what became of a packet at a program.
type Outcome int

// What became of it: translated, lost, or left to the portable path and why.
const (
	Translated Outcome = iota
	NoMapping
	Refused
	Fragment
	Headers
	Protocol
	ZeroChecksum
	TooBig
	HopLimit
	Malformed
	// Failed: the kernel had no room to finish the translation, and the packet
	// is lost.
	Failed
	// Outcomes is how many there are.
	Outcomes
)

// String returns a few words, usable as a metric's label with underscores.
func (o Outcome) String() string {
	switch o {
	case Translated:
		return "translated"
	case NoMapping:
		return "no mapping"
	case Refused:
		return "refused"
	case Fragment:
		return "fragment"
	case Headers:
		return "headers"
	case Protocol:
		return "protocol"
	case ZeroChecksum:
		return "zero checksum"
	case TooBig:
		return "too big"
	case HopLimit:
		return "hop limit"
	case Malformed:
		return "malformed"
	case Failed:
		return "failed"
	}
	return "outcome"
}

// Count is of one outcome in one direction.
type Count struct{ Packets, Octets uint64 }

// Counts are all of them since the programs were first attached, by outcome.
type Counts struct {
	To4, To6 [Outcomes]Count
}
