package ra

// isArrival reports whether a multicast listener report is one of a host that
// has no address yet, as its link has just come up: such a host sends from the
// unspecified address (RFC 3590, section 4; RFC 3810, section 5.2.13), and it is
// a neighbor whose report no router has passed on (RFC 3810, section 5).
func isArrival(p packet) bool {
	return p.from.IsUnspecified() && p.hopLimit == 1 && !p.fragmented
}
