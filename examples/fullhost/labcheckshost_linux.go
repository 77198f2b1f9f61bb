package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/slaac"
)

const labBridge = "br0"

func serverMAC() slaac.MAC { return slaac.MAC(lab.ServerMAC()) }

// predictedServer is the address that the config's "address: slaac" asks for.
func predictedServer() netip.Addr {
	a, err := slaac.Addr(lab.ServerIPv6().Masked(), serverMAC())
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// linkView is what the kernel says of one of the server's links.
type linkView struct {
	mac    string
	ipv4   []netip.Prefix
	global []netip.Prefix
	local  []netip.Prefix
}

func (r *labRun) view(link string) (linkView, error) {
	var v linkView
	h, err := r.lab.Server().NS().Handle()
	if err != nil {
		return v, err
	}
	defer h.Close()
	l, err := h.LinkByName(link)
	if err != nil {
		return v, fmt.Errorf("%s: %w", link, err)
	}
	v.mac = l.Attrs().HardwareAddr.String()
	addrs, err := h.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return v, fmt.Errorf("list addresses of %s: %w", link, err)
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		ip = ip.Unmap()
		ones, _ := a.Mask.Size()
		p := netip.PrefixFrom(ip, ones)
		switch {
		case ip.Is4():
			v.ipv4 = append(v.ipv4, p)
		case ip.IsLinkLocalUnicast():
			v.local = append(v.local, p)
		default:
			v.global = append(v.global, p)
		}
	}
	return v, nil
}

func (r *labRun) hostChecks() []labCheck {
	onBridge := func(judge func(linkView) (bool, string)) func(context.Context) (bool, string) {
		return func(context.Context) (bool, string) {
			v, err := r.view(labBridge)
			if err != nil {
				return false, err.Error()
			}
			return judge(v)
		}
	}
	return []labCheck{
		{"br0 has the NIC's MAC", onBridge(func(v linkView) (bool, string) {
			return v.mac == lab.ServerMAC().String(), fmt.Sprintf("%s, NIC %s", v.mac, lab.ServerMAC())
		})},
		{"br0's link-local address is the EUI-64 one", onBridge(func(v linkView) (bool, string) {
			want := slaac.LinkLocal(serverMAC())
			return len(v.local) == 1 && v.local[0].Addr() == want, fmt.Sprintf("%s, want %s", joined(v.local), want)
		})},
		{"br0 has one IPv4, one global, one link-local address", onBridge(func(v linkView) (bool, string) {
			return len(v.ipv4) == 1 && v.ipv4[0] == lab.ServerIPv4() && len(v.global) == 1 && len(v.local) == 1,
				joined(slices.Concat(v.ipv4, v.global, v.local))
		})},
		{"the NIC has none", func(context.Context) (bool, string) {
			v, err := r.view(lab.NIC)
			if err != nil {
				return false, err.Error()
			}
			all := slices.Concat(v.ipv4, v.global, v.local)
			return len(all) == 0, "addresses: " + joined(all)
		}},
		{"the server's address is the SLAAC-derived one", onBridge(func(v linkView) (bool, string) {
			return len(v.global) == 1 && v.global[0].Addr() == predictedServer(), fmt.Sprintf("%s, want %s", joined(v.global), predictedServer())
		})},
		{"a second run would change nothing", func(ctx context.Context) (bool, string) {
			if left := r.recipe.repeat(ctx); left != "" {
				return false, left
			}
			return true, "the plan is empty"
		}},
	}
}

func joined[T fmt.Stringer](list []T) string {
	if len(list) == 0 {
		return "none"
	}
	var words []string
	for _, v := range list {
		words = append(words, v.String())
	}
	return strings.Join(words, " ")
}

func (r *labRun) guestChecks() []labCheck {
	guests := r.lab.Guests()
	each := func(what string, fn func(*lab.Guest) error) func(context.Context) (bool, string) {
		return func(context.Context) (bool, string) { return r.forGuests(guests, what, fn) }
	}
	return []labCheck{
		{"guests have exactly the predicted address", each("guests", func(g *lab.Guest) error {
			want, err := slaac.Addr(lab.ServerIPv6().Masked(), slaac.MAC(g.MAC()))
			if err != nil {
				return err
			}
			addrs, err := g.Addrs(lab.GuestLink)
			if err != nil {
				return err
			}
			addrs = slices.DeleteFunc(addrs, func(a lab.Addr) bool { return a.Prefix.Addr().IsLinkLocalUnicast() })
			if len(addrs) != 1 || addrs[0].Prefix.Addr() != want || addrs[0].Tentative {
				return fmt.Errorf("has %v, want %s", addrs, want)
			}
			return nil
		})},
		{"guests' default route leads to br0's link-local address", each("guests", func(g *lab.Guest) error {
			routes, err := g.DefaultRoutes()
			if err != nil {
				return err
			}
			if want := slaac.LinkLocal(serverMAC()); len(routes) != 1 || routes[0].WithZone("") != want {
				return fmt.Errorf("has %v, want %s", routes, want)
			}
			return nil
		})},
		{"guests are told our name server (RDNSS)", each("guests", func(g *lab.Guest) error {
			if got := g.RDNSS(); len(got) != 1 || got[0] != predictedServer() {
				return fmt.Errorf("was told %v, want %s", got, predictedServer())
			}
			return nil
		})},
		{"guests are told the NAT64 prefix (PREF64)", each("guests", func(g *lab.Guest) error {
			for _, a := range g.Advertisements().Seen() {
				if slices.ContainsFunc(a.PREF64, func(p wire.PREF64) bool { return p.Prefix == nat64.WellKnown().Prefix() && p.Lifetime > 0 }) {
					return nil
				}
			}
			return errors.New("no advertisement carried it")
		})},
		{"guests reach each other and the host", r.reachability},
	}
}

// maxPairs bounds how many neighbours the guests get to know. The kernel's
// table of IPv6 neighbours holds 1,024 entries for all namespaces together.
const maxPairs = 240

// reachability pings from every guest to the host and to every other guest,
// or to the next few where there are too many pairs for the kernel.
func (r *labRun) reachability(ctx context.Context) (bool, string) {
	guests := r.lab.Guests()
	next := len(guests) - 1
	sampled := ""
	if len(guests)*next > maxPairs {
		next = max(1, maxPairs/len(guests))
		sampled = fmt.Sprintf(" (each guest its next %d; all pairs are more than the kernel's neighbour table holds)", next)
	}
	host := predictedServer()
	if v, err := r.view(labBridge); err == nil && len(v.global) > 0 {
		host = v.global[0].Addr()
	}
	var t tally
	r.forGuests(guests, "", func(g *lab.Guest) error {
		i := slices.Index(guests, g)
		targets := []netip.Addr{host}
		for k := range next {
			targets = append(targets, guests[(i+1+k)%len(guests)].IPv6())
		}
		for _, to := range targets {
			a := probe.TryPing(ctx, g.NS(), to, patience)
			if a.Outcome != probe.Answered {
				t.note(g.Name(), errors.New(a.String()))
			} else {
				t.note(g.Name(), nil)
			}
		}
		return nil
	})
	ok, measured := t.result("ways")
	return ok, measured + sampled
}
