package bridge

import (
	"slices"
	"time"
)

// defaultPrefixMetric is that of the route that the kernel makes for an IPv6
// address's prefix.
const defaultPrefixMetric = 256

// prefixRoutes puts back routes that the kernel makes for IPv6 prefixes by
// itself, and loses when an address is changed: of several with the same
// destination and different metrics it takes the first for the address's own,
// and removes it. changed are the addresses whose flag is cleared.
func prefixRoutes(wanted, changed []Addr) []change {
	var list []change
	for _, a := range wanted {
		if !makesPrefixRoute(a) || !slices.ContainsFunc(changed, func(o Addr) bool { return samePrefix(a, o) }) {
			continue
		}
		several := false
		expires := time.Duration(0)
		for _, o := range wanted {
			if !makesPrefixRoute(o) || !samePrefix(a, o) {
				continue
			}
			if prefixMetric(o) != prefixMetric(a) {
				several = true
				continue
			}
			switch {
			case !o.finite():
				expires = Forever
			case expires < o.Valid:
				expires = o.Valid
			}
		}
		if expires == Forever {
			expires = 0
		}
		r := addRoute{Route{
			Link: a.Link, Family: 6, Table: mainTable, Type: 1, Dst: a.Prefix.Masked(), Metric: prefixMetric(a),
			Protocol: protocolKernel, Expires: expires,
		}}
		if several && !slices.Contains(list, change(r)) {
			list = append(list, r)
		}
	}
	return list
}

func makesPrefixRoute(a Addr) bool {
	return a.Prefix.Addr().Is6() && !a.NoPrefixRoute && !a.Peer.IsValid() && a.Prefix.Bits() < 128
}

func samePrefix(a, b Addr) bool {
	return a.Link == b.Link && a.Prefix.Masked() == b.Prefix.Masked()
}

func prefixMetric(a Addr) int {
	if a.Metric == 0 {
		return defaultPrefixMetric
	}
	return a.Metric
}
