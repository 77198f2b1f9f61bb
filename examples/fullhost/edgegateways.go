package main

import (
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/macrewrite"
)

// A gateway inside the /64 is exempt from what is said about the /64's other
// addresses, by its address and, as soon as the kernel has found it, by its MAC.
//
// The kernel's neighbour table knows the MAC, and forgets it now and then. So run,
// which hears of changes, tells the edge's rules, and everything else believes the
// rules that stand: otherwise a second plan would not be empty.

// gatewaysInside are the gateways that have an address of the /64.
func (h host) gatewaysInside() []netip.Addr {
	var list []netip.Addr
	for _, r := range h.wanted.Routes {
		for _, via := range r.Gateways() {
			if h.prefix.Contains(via) && !slices.Contains(list, via) {
				list = append(list, via)
			}
		}
	}
	return list
}

// gatewayMACs are those of them that are known and could be a gateway's. One that
// is a guest's or the host's is not: whoever says so on the segment shall not keep
// the rules from being made.
func (h host) gatewayMACs() []macrewrite.Neighbor {
	var list []macrewrite.Neighbor
	for _, n := range h.edge.gateways {
		ours := n.MAC == h.mac || slices.ContainsFunc(h.guests, func(g hostGuest) bool { return g.LinkAddr() == n.MAC })
		if !ours && !n.MAC.IsZero() && !n.MAC.IsMulticast() && slices.Contains(h.gatewaysInside(), n.Addr) {
			list = append(list, n)
		}
	}
	return list
}

// heard takes over what the kernel has heard of the gateways, and reports whether
// that is new. One that it has not heard of keeps its MAC.
func (h *host) heard(list []neighbor) bool {
	inside := h.gatewaysInside()
	known := slices.Clone(h.edge.gateways)
	for _, n := range list {
		if !slices.Contains(inside, n.Addr) {
			continue
		}
		now := macrewrite.Neighbor{Addr: n.Addr, MAC: n.MAC}
		i := slices.IndexFunc(known, func(k macrewrite.Neighbor) bool { return k.Addr == n.Addr })
		if i < 0 {
			known = append(known, now)
		} else {
			known[i] = now
		}
	}
	if slices.Equal(known, h.edge.gateways) {
		return false
	}
	h.edge.gateways = known
	return true
}
