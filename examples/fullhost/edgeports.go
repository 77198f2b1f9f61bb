package main

import (
	"slices"

	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/slaac"
)

// bridgePort is a port of a bridge, this host's or another.
type bridgePort struct {
	bridge, name string
	mac          slaac.MAC // the port's own, not that of whoever is behind it
	up           bool      // and somebody is at the other end
}

// tapOctet is the first octet of the MAC that libvirt gives to a guest's tap; the
// rest of it is the guest's.
const tapOctet = 0xfe

// portOf is the port that a guest is behind. Until it has one, and where neither
// its name nor its MAC tells which, there is none: the guest is known by its MAC
// alone then, on any port that is no other guest's.
func (h host) portOf(g hostGuest) (bridgePort, bool) {
	like := g.LinkAddr()
	like[0] = tapOctet
	var made bridgePort
	for _, p := range h.edge.ports {
		switch {
		case p.bridge != h.bridgeName || p.name == h.uplink:
		case p.name == g.Port() && g.entry != nil, p.name == g.port && g.port != "":
			return p, true
		case p.mac == like:
			made = p
		}
	}
	return made, made.name != ""
}

// otherPorts are those of other bridges.
func (h host) otherPorts() []string {
	var list []string
	for _, p := range h.edge.ports {
		if p.bridge != h.bridgeName {
			list = append(list, p.name)
		}
	}
	return list
}

// answerConfig is the edge with the guests that are there at the moment: an
// on-link provider gets answers for them alone.
func (h host) answerConfig() macrewrite.Config {
	c := h.edgeConfig(h.wanted.Addrs)
	// A guest has the port that its name or its tap says, or none.
	c.Guests = slices.DeleteFunc(c.Guests, func(g macrewrite.Guest) bool {
		return !slices.ContainsFunc(h.edge.ports, func(p bridgePort) bool { return p.name == g.Port && p.up })
	})
	return c
}
