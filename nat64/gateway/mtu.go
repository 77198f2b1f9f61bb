package gateway

// mtu6 is the longest IPv6 packet for guests: what their link carries, as far as
// it is known, and no more than Ethernet. A link with less than IPv6's minimum
// (RFC 8200, section 5) has no guests.
func (s State) mtu6() int {
	if s.GuestMTU == 0 {
		return mtu6
	}
	return max(lowest6, min(mtu6, s.GuestMTU))
}
