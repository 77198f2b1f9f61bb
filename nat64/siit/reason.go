package siit

// Reason says what became of a packet.
type Reason uint8

const (
	// Translated: the packet was translated.
	Translated Reason = iota
	// Malformed: lengths, version or header checksum don't fit together.
	Malformed
	// NotMapped: an address has no counterpart here. Not answered.
	NotMapped
	// Unreachable: as NotMapped, answered with address or host unreachable.
	Unreachable
	// Denied: an address that may not be reached this way. Answered with
	// administratively prohibited.
	Denied
	// HopLimit: the hop limit ended here. Answered.
	HopLimit
	// TooBig: longer than the next hop's MTU, and must not be fragmented.
	// Answered.
	TooBig
	// Unsupported: a protocol or ICMP message without a counterpart in the
	// other family.
	Unsupported
	// FragmentedICMP: a fragment of an ICMP message (RFC 7915, section 1.2).
	FragmentedICMP
	// HiddenHeader: an IPv6 extension header behind a fragment header.
	HiddenHeader
	// ZeroChecksum: a UDP datagram without a checksum that can't be given one:
	// a fragment, or IPv6, where there is none without (RFC 7915, section 4.5;
	// RFC 8200, section 8.1).
	ZeroChecksum
	// SourceRoute: an IPv4 source route or IPv6 routing header that is not at
	// its end. Answered.
	SourceRoute
	// NestedError: an ICMP error about an ICMP error (RFC 7915, section 4.3).
	NestedError
	// NoSpace: the caller's buffer is too small.
	NoSpace
	// Reasons is how many there are.
	Reasons
)

// String returns a few words, usable as a metric's label with underscores.
func (r Reason) String() string {
	switch r {
	case Translated:
		return "translated"
	case Malformed:
		return "malformed"
	case NotMapped:
		return "not mapped"
	case Unreachable:
		return "unreachable"
	case Denied:
		return "denied"
	case HopLimit:
		return "hop limit"
	case TooBig:
		return "too big"
	case Unsupported:
		return "unsupported"
	case FragmentedICMP:
		return "fragmented ICMP"
	case HiddenHeader:
		return "hidden header"
	case ZeroChecksum:
		return "zero checksum"
	case SourceRoute:
		return "source route"
	case NestedError:
		return "nested error"
	case NoSpace:
		return "no space"
	}
	return "reason"
}

// Result is what became of a packet, and what its sender is due.
type Result struct {
	Reason Reason
	// Answer is the ICMP error to send to the packet's sender, of the packet's
	// own family; zero for none. Error4 and Error6 build it.
	Answer ICMP
}

// ICMP is the head of an ICMP error, of either family by context.
type ICMP struct {
	Type, Code uint8
	// Info is the MTU or the pointer where the type has one, as a number.
	Info uint32
}

// IsZero reports whether there is no error to send: no ICMP error has type 0
// in either family.
func (i ICMP) IsZero() bool { return i.Type == 0 }

// answer4 is what the sender of an IPv4 packet is told.
func answer4(r Reason) Result {
	switch r {
	case Denied: // communication administratively prohibited, RFC 1812, section 5.2.7.1
		return Result{r, ICMP{Type: icmp4Unreachable, Code: 13}}
	case Unreachable: // host unreachable
		return Result{r, ICMP{Type: icmp4Unreachable, Code: 1}}
	}
	return Result{Reason: r}
}

// answer6 is what the sender of an IPv6 packet is told (RFC 4443, section 3.1).
func answer6(r Reason) Result {
	switch r {
	case Denied:
		return Result{r, ICMP{Type: icmp6Unreachable, Code: 1}}
	case Unreachable:
		return Result{r, ICMP{Type: icmp6Unreachable, Code: 3}}
	}
	return Result{Reason: r}
}
