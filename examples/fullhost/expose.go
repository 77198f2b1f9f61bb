package main

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/plan"
)

// exposeConfig leads IPv4 to a guest without a proxy.
type exposeConfig struct {
	// Guest is the name of one of the guests.
	Guest string `yaml:"guest"`
	// Protocol is tcp or udp; default both.
	Protocol string `yaml:"protocol"`
	// Port of the host's; GuestPort is where it leads, default the same.
	Port      int `yaml:"port"`
	GuestPort int `yaml:"guest_port"`
	// Address is one of several IPv4 addresses; without a port it leads to the
	// guest as a whole.
	Address netip.Addr `yaml:"address"`
}

// sshPort is the one port that nobody means to give away who reaches the host
// by it, whether somebody listens there at the moment or not: see refuseTaken.
const sshPort = 22

// addExposed derives what is exposed, once guests and addresses are known. What
// would take something from the host itself is refused.
func (h *host) addExposed() error {
	refuse := func(format string, args ...any) error {
		return &plan.Refusal{Subject: "expose", Reason: fmt.Sprintf(format, args...), Err: gateway.ErrExpose}
	}
	door, wanted := h.proxyConfig(nil)
	for _, c := range h.config.Expose {
		i := slices.IndexFunc(h.guests, func(g hostGuest) bool { return g.Name == c.Guest })
		if i < 0 {
			return refuse("there is no guest named %q", c.Guest)
		}
		for _, p := range []int{c.Port, c.GuestPort} {
			if p < 0 || p > 65535 {
				return refuse("%d is no port", p)
			}
		}
		e := gateway.Expose{Guest: h.guests[i].address, Protocol: c.Protocol, Port: uint16(c.Port), GuestPort: uint16(c.GuestPort), Address: c.Address}
		tcp := e.Protocol != "udp"
		at := func(a netip.Addr) bool { return !e.Address.IsValid() || e.Address == a }
		switch {
		case e.Port == 0 && slices.Contains(h.ipv4, e.Address) && len(h.ipv4) == 1:
			return refuse("%s is the host's only IPv4 address, and leading all of it to %s would lock you out", e.Address, c.Guest)
		case e.Port == sshPort && tcp && slices.ContainsFunc(h.ipv4, at):
			return refuse("tcp port %d is how you reach the host itself; lead another port to port %d of %s (guest_port)", sshPort, sshPort, c.Guest)
		}
		if wanted && tcp && e.Port != 0 {
			for _, a := range slices.Concat(door.HTTP, door.TLS) {
				if e.Port == a.Port() && at(a.Addr()) {
					return refuse("tcp port %d of %s is the front door's, which leads to guests by name", e.Port, a.Addr())
				}
			}
		}
		h.exposed = append(h.exposed, e)
	}
	return nil
}

// givenAway reports whether an address leads to a guest as a whole.
func (h host) givenAway(a netip.Addr) bool {
	return slices.ContainsFunc(h.config.Expose, func(c exposeConfig) bool { return c.Port == 0 && c.Address == a })
}

// exposes reports whether a TCP port of an address leads to a guest without the
// front door.
func (h host) exposes(a netip.Addr, port uint16) bool {
	return slices.ContainsFunc(h.exposed, func(e gateway.Expose) bool {
		return e.Port == port && e.Protocol != "udp" && (!e.Address.IsValid() || e.Address == a)
	})
}
