package main

import (
	"cmp"
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
// MAC, as a pure function of both, and host.withFound puts the result in the one
// place that everything is derived from: host.guests.
//
// While run serves, guestWatch captures libvirt's domains whenever libvirt tells
// of a change. The new host value goes, as a whole, first into a file (guestfile.go)
// and then to each follower: DNS64's hosts, NAT64's known guests, the front
// door's names, the edge's list. Every other command, and whatever part of run
// reads the host again, finds the same guests in that file, so that nobody plans
// back what libvirt has told. Router advertisements need no list: they are for
// whoever is on the bridge.

// inventoryGuest is a guest with what is known of it from both sides.
type inventoryGuest struct {
	Name string    `json:"name"`
	MAC  slaac.MAC `json:"mac"`
	// Addr is the one known in advance; invalid for a guest that can't be served,
	// and then Note says why.
	Addr netip.Addr `json:"addr"`
	// Port of the bridge: as libvirt has it, else as it is going to be.
	Port  string       `json:"port,omitempty"`
	IPv4  []netip.Addr `json:"ipv4,omitempty"`
	Serve []string     `json:"serve,omitempty"`
	// Listed in host.yaml, Defined in libvirt.
	Listed    bool `json:"listed"`
	Defined   bool `json:"defined"`
	Running   bool `json:"running"`
	Autostart bool `json:"autostart"`
	// Note says what is worth knowing, "" for nothing.
	Note string `json:"note,omitempty"`
}

// hostName is the host's own name in the zone, unless zone is told another; the
// rescue system has it with "-rescue".
const hostName = "host"

// inventory joins the guests of the file and the domains on the bridge. Listed
// ones come first, in the file's order, then the others by name.
func (h host) inventory(found libvirtguests.State) []inventoryGuest {
	var list []inventoryGuest
	for _, g := range h.listed() {
		e := inventoryGuest{Name: g.Name, MAC: g.LinkAddr(), Addr: g.address, Port: g.Port(), IPv4: g.ExtraIPv4, Serve: g.serve, Listed: true}
		for _, w := range h.warnings {
			if w.Guest == g.Name {
				e.note(w.Text)
			}
		}
		list = append(list, e)
	}
	var others []inventoryGuest
	for _, d := range found.Domains {
		for i, n := range d.NICs {
			if at := slices.IndexFunc(list, func(g inventoryGuest) bool { return g.MAC == n.MAC }); at >= 0 {
				g := &list[at]
				g.Defined, g.Running, g.Autostart = true, g.Running || d.Running, g.Autostart || d.Autostart
				if n.Port != "" {
					g.Port = n.Port
				}
				if d.Name != g.Name {
					g.note("libvirt calls it " + d.Name)
				}
				continue
			}
			g := inventoryGuest{Name: label(d.Name, i), MAC: n.MAC, Port: n.Port, Defined: true, Running: d.Running, Autostart: d.Autostart}
			if i == 0 {
				g.Serve = d.Serve
			}
			if slices.ContainsFunc(list, func(l inventoryGuest) bool { return l.Name == d.Name }) {
				g.Note = fmt.Sprintf("host.yaml has a guest of this name with another MAC; set mac: %s there", n.MAC)
			}
			others = append(others, g)
		}
	}
	// Of copies, the one that runs is the one that is meant.
	slices.SortFunc(others, func(a, b inventoryGuest) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), slices.Compare(a.MAC[:], b.MAC[:]), cmp.Compare(truth(b.Running), truth(a.Running)), strings.Compare(a.Port, b.Port))
	})
	taken := map[string]bool{hostName: true, hostName + "-rescue": true}
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
	h.place(list, others)
	return append(list, others...)
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// place gives each of the others its address, or the note why it has none: what
// libvirt has must not bring down what host.yaml has, nor the host.
func (h host) place(list, others []inventoryGuest) {
	macs, addrs, names, serves := map[slaac.MAC]string{}, map[netip.Addr]string{h.address: "the host"}, map[string]bool{}, map[string]string{}
	for _, g := range list {
		macs[g.MAC], addrs[g.Addr], names[g.Name] = g.Name, "guest "+g.Name, true
		for _, name := range g.Serve {
			serves[strings.ToLower(name)] = g.Name
		}
	}
	for _, g := range h.listed() {
		for _, a := range g.entry.Addresses {
			addrs[a] = "guest " + g.Name
		}
	}
	for _, r := range h.wanted.Routes {
		for _, via := range r.Gateways() {
			addrs[via] = "the provider's router"
		}
	}
	for _, a := range h.wanted.Addrs {
		addrs[a.Prefix.Addr()] = "the host"
	}
	// Those that run go before their copies.
	for _, running := range []bool{true, false} {
		for i := range others {
			g := &others[i]
			if g.Running != running {
				continue
			}
			a, err := guest.Guest{Name: g.Name, MAC: g.MAC}.Addr(h.prefix)
			switch {
			case g.MAC.IsZero():
				g.refuse("it has no MAC")
			case err != nil:
				g.refuse(err.Error())
			case g.MAC == h.mac:
				g.refuse("it has the MAC of the host's NIC; give it another")
			case macs[g.MAC] != "":
				g.refuse(fmt.Sprintf("it has the MAC of %s; give it another", macs[g.MAC]))
			case addrs[a] != "":
				g.refuse(fmt.Sprintf("its address %s is that of %s; give it another MAC", a, addrs[a]))
			case names[g.Name]:
				g.refuse("another has its name")
			default:
				g.Addr = a
				macs[g.MAC], addrs[a], names[g.Name] = g.Name, "guest "+g.Name, true
				g.serveOnly(serves)
				continue
			}
			g.Serve = nil
		}
	}
}

// note adds what is worth knowing.
func (g *inventoryGuest) note(text string) { g.Note = strings.TrimPrefix(g.Note+"; "+text, "; ") }

// refuse notes why a guest can't be served, before anything else.
func (g *inventoryGuest) refuse(why string) {
	g.Note = strings.TrimSuffix(why+"; "+g.Note, "; ")
}

// serveOnly keeps the names that can be served and that nobody else serves.
func (g *inventoryGuest) serveOnly(taken map[string]string) {
	var names []string
	for _, name := range g.Serve {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		why := ""
		if err := (guest.Guest{Name: g.Name, MAC: g.MAC, Serve: []string{name}}).Validate(); err != nil {
			why = "is not served: " + err.Error()
		} else if other := taken[name]; other != "" {
			why = "is served by " + other
		}
		if why != "" {
			g.note(fmt.Sprintf("%q in its metadata %s", name, why))
			continue
		}
		taken[name] = g.Name
		names = append(names, name)
	}
	g.Serve = names
}

// listed are the guests of host.yaml.
func (h host) listed() []hostGuest {
	return slices.DeleteFunc(slices.Clone(h.guests), func(g hostGuest) bool { return g.entry == nil })
}

// withFound is the host with these domains on its bridge: those that are not
// listed follow the listed ones in its guests.
func (h host) withFound(found libvirtguests.State) host {
	list := h.inventory(found)
	h.domains, h.guests = found, h.listed()
	for _, g := range list {
		if g.Listed || !g.Addr.IsValid() {
			continue
		}
		e := hostGuest{Guest: guest.Guest{Name: g.Name, MAC: g.MAC, Serve: g.Serve}, address: g.Addr, serve: g.Serve}
		if g.Running {
			e.port = g.Port
		}
		h.guests = append(h.guests, e)
	}
	return h
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
func (h host) zoneOf(name, domain string) guest.Zone {
	z := guest.Zone{Domain: domain, Host: name, Addrs: append([]netip.Addr{h.address}, h.ipv4...), Prefix: h.prefix}
	// The rescue system of the providers comes up on the prefix's second address.
	z.Rescue = h.prefix.Masked().Addr().Next().Next()
	for _, g := range h.guests {
		z.Guests = append(z.Guests, g.Guest)
	}
	return z
}
