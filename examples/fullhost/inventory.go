package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/slaac"
)

// The data's way of guests: host.yaml names those that are wanted, libvirt
// those that are on the bridge, whoever made them. inventory joins the two by
// MAC, and everything that has to know guests (the zone, the routes of the proxy,
// NAT64's mappings, the edge's list) takes them from there. It is a pure function
// of the two: when libvirt says that something has changed, both are read again.

// inventoryGuest is a guest with what is known of it from both sides.
type inventoryGuest struct {
	Name string     `json:"name"`
	MAC  slaac.MAC  `json:"mac"`
	Addr netip.Addr `json:"addr"`
	// Port of the bridge: as libvirt has it, else as it is going to be.
	Port string       `json:"port,omitempty"`
	IPv4 []netip.Addr `json:"ipv4,omitempty"`
	// Listed in host.yaml, Defined in libvirt.
	Listed    bool `json:"listed"`
	Defined   bool `json:"defined"`
	Running   bool `json:"running"`
	Autostart bool `json:"autostart"`
	// Note says what is worth knowing, "" for nothing.
	Note string `json:"note,omitempty"`
}

// inventory joins the guests of the file and the domains on the bridge. Listed
// ones come first, in the file's order, then the others by name.
func (h host) inventory(found libvirtguests.State) []inventoryGuest {
	var list []inventoryGuest
	for _, g := range h.guests {
		list = append(list, inventoryGuest{Name: g.Name, MAC: g.LinkAddr(), Addr: g.address, Port: g.Port(), IPv4: g.ExtraIPv4, Listed: true})
	}
	var others []inventoryGuest
	for _, d := range found.Domains {
		for i, n := range d.NICs {
			if at := slices.IndexFunc(list, func(g inventoryGuest) bool { return g.MAC == n.MAC }); at >= 0 {
				g := &list[at]
				g.Defined, g.Running, g.Autostart = true, d.Running, d.Autostart
				if n.Port != "" {
					g.Port = n.Port
				}
				if d.Name != g.Name {
					g.Note = fmt.Sprintf("libvirt calls it %s", d.Name)
				}
				continue
			}
			g := inventoryGuest{Name: label(d.Name, i), MAC: n.MAC, Port: n.Port, Defined: true, Running: d.Running, Autostart: d.Autostart}
			a, err := slaac.Addr(h.prefix, n.MAC)
			switch {
			case err != nil:
				g.Note = err.Error()
			case n.MAC == h.mac:
				g.Note = "it has the MAC of the host's NIC; give it another"
			default:
				g.Addr = a
			}
			if slices.ContainsFunc(list, func(l inventoryGuest) bool { return l.Name == d.Name }) {
				g.Note = fmt.Sprintf("host.yaml has a guest of this name with another MAC; set mac: %s there", n.MAC)
			}
			others = append(others, g)
		}
	}
	slices.SortFunc(others, func(a, b inventoryGuest) int { return strings.Compare(a.Name, b.Name) })
	taken := make(map[string]bool)
	for _, g := range list {
		taken[g.Name] = true
	}
	for i := range others {
		// Names made of libvirt's may collide; the MAC does not.
		if g := &others[i]; taken[g.Name] {
			g.Name = fmt.Sprintf("%s-%x", g.Name[:min(len(g.Name), 50)], g.MAC[3:])
		}
		taken[others[i].Name] = true
	}
	return append(list, others...)
}

// label makes a host name of a domain's name: what can't stand in one becomes a
// hyphen. Further interfaces get a number.
func label(name string, nic int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
	clean = strings.Trim(clean[:min(len(clean), 50)], "-")
	if strings.Trim(clean, "0123456789") == "" {
		clean = strings.TrimSuffix("guest-"+clean, "-")
	}
	if nic > 0 {
		clean = fmt.Sprintf("%s-%d", clean, nic+1)
	}
	return clean
}

// zoneOf returns what DNS is to know, with guests that only libvirt knows.
func (h host) zoneOf(name, domain string, found libvirtguests.State) guest.Zone {
	z := guest.Zone{Domain: domain, Host: name, Addrs: append([]netip.Addr{h.address}, h.ipv4...), Prefix: h.prefix}
	// The rescue system of the providers comes up on the prefix's second address.
	z.Rescue = h.prefix.Masked().Addr().Next().Next()
	for _, g := range h.guests {
		z.Guests = append(z.Guests, g.Guest)
	}
	for _, g := range h.inventory(found) {
		if !g.Listed && g.Addr.IsValid() {
			if z.Known == nil {
				z.Known = make(map[string][]netip.Addr)
			}
			z.Known[g.Name] = []netip.Addr{g.Addr}
		}
	}
	return z
}
