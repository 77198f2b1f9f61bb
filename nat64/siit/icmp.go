package siit

// ICMP types that have a counterpart (RFC 792; RFC 4443).
const (
	icmp4EchoReply    = 0
	icmp4Unreachable  = 3
	icmp4Echo         = 8
	icmp4TimeExceeded = 11
	icmp4Parameter    = 12
	icmp4FragNeeded   = 4 // code of icmp4Unreachable

	icmp6Unreachable  = 1
	icmp6TooBig       = 2
	icmp6TimeExceeded = 3
	icmp6Parameter    = 4
	icmp6Echo         = 128
	icmp6EchoReply    = 129
	icmp6Redirect     = 137
)

// icmp4to6 returns the ICMPv6 counterpart of an ICMPv4 error (RFC 7915,
// section 4.2). info is the second word of its header, inner the length that
// the packet in error had. ok is false for those without a counterpart.
func (t *Translator) icmp4to6(typ, code uint8, info uint32, inner int) (m ICMP, ok bool) {
	switch typ {
	case icmp4Unreachable:
		switch code {
		case 0, 1, 5, 6, 7, 8, 11, 12:
			return ICMP{Type: icmp6Unreachable, Code: 0}, true
		case 2: // protocol unreachable: the pointer is at the next header field
			return ICMP{Type: icmp6Parameter, Code: 1, Info: 6}, true
		case 3:
			return ICMP{Type: icmp6Unreachable, Code: 4}, true
		case icmp4FragNeeded:
			return ICMP{Type: icmp6TooBig, Info: t.mtu4to6(int(info&0xffff), inner)}, true
		case 9, 10, 13, 15:
			return ICMP{Type: icmp6Unreachable, Code: 1}, true
		}
	case icmp4TimeExceeded:
		return ICMP{Type: icmp6TimeExceeded, Code: code}, code <= 1
	case icmp4Parameter:
		if code != 0 && code != 2 {
			return ICMP{}, false
		}
		pointer, ok := pointer4to6(uint8(info >> 24))
		return ICMP{Type: icmp6Parameter, Info: pointer}, ok
	}
	return ICMP{}, false
}

// mtu4to6 translates the MTU of a fragmentation needed. Zero is from a router
// older than RFC 1191, whose plateaus stand for what it didn't say.
func (t *Translator) mtu4to6(mtu, inner int) uint32 {
	if mtu == 0 {
		mtu = plateau(inner)
	}
	mtu += hdr6 - hdr4
	if t.MTU6 > 0 {
		mtu = min(mtu, t.MTU6)
	}
	if t.MTU4 > 0 {
		mtu = min(mtu, t.MTU4+hdr6-hdr4)
	}
	return uint32(max(minMTU6, mtu))
}

// plateau is the greatest of RFC 1191, section 7.1, below a length; those below
// 1280 all end as 1280.
func plateau(length int) int {
	for _, p := range [...]int{32000, 17914, 8166, 4352, 2002, 1492} {
		if p < length {
			return p
		}
	}
	return 0
}

// pointer4to6: RFC 7915, section 4.2, figure 3.
func pointer4to6(p uint8) (uint32, bool) {
	switch {
	case p == 0, p == 1: // version, header length; type of service
		return uint32(p), true
	case p == 2, p == 3: // total length
		return 4, true
	case p == 8: // time to live
		return 7, true
	case p == 9: // protocol
		return 6, true
	case p >= 12 && p <= 15: // source
		return 8, true
	case p >= 16 && p <= 19: // destination
		return 24, true
	}
	return 0, false
}

// icmp6to4 returns the ICMPv4 counterpart of an ICMPv6 error (RFC 7915, section
// 5.2). innerFrag says whether the packet in error has a fragment header.
func (t *Translator) icmp6to4(typ, code uint8, info uint32, innerFrag bool) (m ICMP, ok bool) {
	switch typ {
	case icmp6Unreachable:
		switch code {
		case 0, 2, 3:
			return ICMP{Type: icmp4Unreachable, Code: 1}, true
		case 1:
			return ICMP{Type: icmp4Unreachable, Code: 10}, true
		case 4:
			return ICMP{Type: icmp4Unreachable, Code: 3}, true
		}
	case icmp6TooBig:
		return ICMP{Type: icmp4Unreachable, Code: icmp4FragNeeded, Info: t.mtu6to4(info, innerFrag)}, true
	case icmp6TimeExceeded:
		return ICMP{Type: icmp4TimeExceeded, Code: code}, code <= 1
	case icmp6Parameter:
		switch code {
		case 0:
			pointer, ok := pointer6to4(info)
			return ICMP{Type: icmp4Parameter, Info: pointer << 24}, ok
		case 1:
			return ICMP{Type: icmp4Unreachable, Code: 2}, true
		}
	}
	return ICMP{}, false
}

// mtu6to4 translates the MTU of a packet too big.
func (t *Translator) mtu6to4(mtu uint32, innerFrag bool) uint32 {
	less := uint32(hdr6 - hdr4)
	if innerFrag {
		less += hdrFrag
	}
	// No IPv4 path has less than 68 (RFC 791), and no field holds more than
	// 65535.
	mtu = min(max(mtu, 68+less)-less, 65535)
	if t.MTU4 > 0 {
		mtu = min(mtu, uint32(t.MTU4))
	}
	if t.MTU6 > 0 {
		mtu = min(mtu, uint32(t.MTU6)-less)
	}
	return mtu
}

// pointer6to4: RFC 7915, section 5.2, figure 6.
func pointer6to4(p uint32) (uint32, bool) {
	switch {
	case p == 0, p == 1: // version, traffic class; traffic class, flow label
		return p, true
	case p == 4, p == 5: // payload length
		return 2, true
	case p == 6: // next header
		return 9, true
	case p == 7: // hop limit
		return 8, true
	case p >= 8 && p <= 23: // source
		return 12, true
	case p >= 24 && p <= 39: // destination
		return 16, true
	}
	return 0, false
}
