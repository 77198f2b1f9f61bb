package macrewrite

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/slaac"
)

// transports are TCP and UDP, which short ways are for.
func transports() map[string]func(src, dst netip.Addr, port uint16) []byte {
	return map[string]func(src, dst netip.Addr, port uint16) []byte{"TCP": tcp6, "UDP": udp6}
}

// ordinary is the traffic that takes the short ways: each of its packets has all
// it needs of the host's addresses, and none that a rule is about.
func (s scenario) ordinary(n *network) []check {
	b := &builder{scenario: s, n: n}
	gwMAC, hostMAC, m := n.mac[provider], n.mac[host], n.mac[guest1]
	outside, own, a := ip("2001:db8:2::9"), ip("2001:db8:1:3:921b:eff:fe12:3456"), ip("2001:db8:1:3:5054:ff:fe00:11")
	for name, packet := range transports() {
		b.add("guest's "+name, guest1, eth(hostMAC, m, v6, packet(a, outside, 443)), []place{host}, nil)
		b.add("guest's "+name+" from an address of the list", guest1, eth(hostMAC, m, v6, packet(ip("2001:db8:1:3::aaaa"), outside, 443)), []place{host}, nil)
		b.add(name+" to a guest", provider, eth(hostMAC, gwMAC, v6, packet(outside, a, 443)), []place{host}, nil)
		b.add(name+" of the host, for itself and guests", host, eth(gwMAC, hostMAC, v6, packet(own, outside, 443)), []place{provider}, nil)
	}
	return b.out
}

// beside is what stands right beside the ordinary: TCP and UDP that one of the
// rules is about.
func (b *builder) beside() {
	n, add := b.n, b.add
	var (
		gwMAC, hostMAC  = n.mac[provider], n.mac[host]
		m, m2           = n.mac[guest1], n.mac[guest2]
		gwIn, own       = ip("2001:db8:1:3::1"), ip("2001:db8:1:3:921b:eff:fe12:3456")
		elsewhere       = ip("2001:db8:9::2")
		ownLL, g1LL     = slaac.LinkLocal(hostMAC), slaac.LinkLocal(m)
		a, a2           = ip("2001:db8:1:3:5054:ff:fe00:11"), ip("2001:db8:1:3:5054:ff:fe00:22")
		outside, nat64  = ip("2001:db8:2::9"), ip("64:ff9b::203.0.114.1")
		stranger        = ip("2001:db8:1:3:5054:ff:fe00:99")
		onHost, onWire  = []place{host}, []place{provider}
		server6, client = []byte{2, 0x23, 0, 9}, []byte{0, 9, 2, 0x22}
	)
	b.out = append(b.out, b.ordinary(n)...)
	var live []netip.Addr
	for _, g := range b.config.Guests {
		live = append(live, g.Addresses(b.config.Prefix)...)
	}
	for name, packet := range transports() {
		// From the provider.
		for _, src := range slices.Concat(live, []netip.Addr{own, ip("2001:db8:1:3::2"), elsewhere, ownLL, nat64}) {
			add(name+" to a guest from "+src.String(), provider, eth(hostMAC, gwMAC, v6, packet(src, a, 443)), nil, one(OwnSourceFromUplink))
		}
		add(name+" to a guest from the gateway", provider, eth(hostMAC, gwMAC, v6, packet(gwIn, a, 443)), onHost, nil)
		add(name+" to a guest from the gateway's other side", provider, eth(hostMAC, gwMAC, v6, packet(ip("fe80::1"), a, 443)), onHost, nil)
		add(name+" to NAT64", provider, eth(hostMAC, gwMAC, v6, packet(outside, nat64, 443)), nil, one(NAT64FromUplink))
		add(name+" with the NIC's MAC", provider, eth(hostMAC, hostMAC, v6, packet(outside, a, 443)), nil, one(OwnSourceFromUplink))
		// From the host.
		for _, dst := range slices.Concat(live, []netip.Addr{nat64}) {
			add(name+" to "+dst.String()+" by the default route", host, eth(gwMAC, hostMAC, v6, packet(outside, dst, 443)), nil, one(InsidePrefixToUplink))
		}
		for _, dst := range []netip.Addr{elsewhere, ownLL} {
			add(name+" to the host's "+dst.String()+" by the default route", host, eth(gwMAC, hostMAC, v6, packet(outside, dst, 443)), nil, one(OwnToUplink))
		}
		add(name+" from a guest's link-local address", host, eth(gwMAC, hostMAC, v6, packet(g1LL, outside, 443)), nil, one(LinkLocalToUplink))
		add(name+" with a guest's MAC", host, eth(gwMAC, m, v6, packet(own, outside, 443)), nil, one(ForeignSourceToUplink))
		add(name+" to the gateway", host, eth(gwMAC, hostMAC, v6, packet(own, gwIn, 443)), onWire, nil)
		// What nobody here has is a neighbour's where the /64 is on-link.
		if b.config.Kind == Routed {
			add(name+" to a guest from a stranger in the /64", provider, eth(hostMAC, gwMAC, v6, packet(stranger, a, 443)), nil, one(OwnSourceFromUplink))
			add(name+" to a stranger in the /64", host, eth(gwMAC, hostMAC, v6, packet(outside, stranger, 443)), nil, one(InsidePrefixToUplink))
		} else {
			add(name+" to a guest from a neighbour", provider, eth(hostMAC, slaac.MAC{2, 5: 9}, v6, packet(stranger, a, 443)), onHost, nil)
			add(name+" to a neighbour", host, eth(gwMAC, hostMAC, v6, packet(outside, stranger, 443)), onWire, nil)
		}
		// From a guest.
		add("guest's "+name+" from its link-local address", guest1, eth(hostMAC, m, v6, packet(g1LL, outside, 443)), onHost, nil)
		add("guest's "+name+" from another's address", guest1, eth(hostMAC, m, v6, packet(a2, outside, 443)), nil, one(SourceFromGuest))
		add("guest's "+name+" from another's address, to the host", guest1, eth(hostMAC, m, v6, packet(a2, own, 443)), nil, one(SourceFromGuest))
		add("guest's "+name+" from another's MAC", guest1, eth(hostMAC, m2, v6, packet(a, outside, 443)), nil, one(MACFromGuest))
		add("guest's "+name+" as another", guest1, eth(hostMAC, m2, v6, packet(a2, outside, 443)), nil, one(MACFromGuest))
		add("guest's "+name+" with a tag", guest1, tag(eth(hostMAC, m, v6, packet(a, outside, 443)), 0x8100), nil, one(EthertypeFromGuest))
		short := packet(a, outside, 443)
		short[5] += 8 // the packet says that there is more of it
		add("guest's "+name+" that is cut off", guest1, eth(hostMAC, m, v6, short), nil, one(MalformedFromGuest))
		old := packet(a, outside, 443)
		old[0] = 0x40
		add("guest's "+name+" of version 4", guest1, eth(hostMAC, m, v6, old), nil, one(MalformedFromGuest))
	}
	// Neighbour discovery between addresses that are far from here.
	add("RA from far away to a guest", provider, eth(hostMAC, gwMAC, v6, icmp(outside, a, 134)), nil, one(RAFromUplink))
	add("redirect from far away to a guest", provider, eth(hostMAC, gwMAC, v6, redirect(outside, a)), nil, one(RedirectFromUplink))
	add("host's RA to far away", host, eth(gwMAC, hostMAC, v6, icmp(own, outside, 134)), nil, one(RAToUplink))
	add("host's redirect to far away", host, eth(gwMAC, hostMAC, v6, redirect(own, outside)), nil, one(RedirectOut))
	// A port is one of DHCP with UDP alone.
	add("guest's DHCPv6 server far away", guest1, eth(hostMAC, m, v6, ip6(a, outside, 17, append(server6, blank(16)...))), nil, one(DHCPFromGuest))
	add("guest's DHCPv6 to a client far away", guest1, eth(hostMAC, m, v6, ip6(a, outside, 17, append(client, blank(16)...))), nil, one(DHCPFromGuest))
	add("guest's TCP from port 547", guest1, eth(hostMAC, m, v6, ip6(a, outside, 6, append(server6, blank(16)...))), onHost, nil)
	add("guest's TCP to port 546", guest1, eth(hostMAC, m, v6, ip6(a, outside, 6, append(client, blank(16)...))), onHost, nil)
	// A lookup that has nothing to look at decides nothing.
	add("guest's IPv4 header alone", guest1, eth(hostMAC, m, v4, ip4(netip.AddrFrom4([4]byte(mark())), ip("203.0.113.10"), 6, nil)), nil, one(IPv4FromGuest))
}

// barred is a table without the long ways: what still arrives took a short one.
func barred(t *nft.Table) {
	for i := range t.Chains {
		if slices.Contains([]string{"ip6-from-guest", "ip6-from-uplink-closely", "leaving"}, t.Chains[i].Name) {
			t.Chains[i].Rules = slices.Insert(t.Chains[i].Rules, 0, nft.NewRule("barred", nft.L4Proto(nft.TCP), nft.Drop()), nft.NewRule("barred", nft.L4Proto(nft.UDP), nft.Drop()))
		}
	}
}

// weakened lists the tables in which a rule that lets ordinary packets go lacks
// one of its matches.
func weakened(s scenario, want State, add func(string, int, func(*nft.Table)), n int) {
	for ci, c := range want.Table.Chains {
		for ri, r := range c.Rules {
			if r.Comment != shortWay {
				continue
			}
			for ei, e := range r.Exprs[:len(r.Exprs)-1] {
				// The transport protocol says it again, and is asked second for the cost.
				if ei == 0 && len(r.Exprs) > 2 && r.Exprs[1].Kind == nft.KindL4Proto {
					continue
				}
				add(fmt.Sprintf("match %d (%s) of rule %d of %s", ei+1, e.Kind, ri+1, c.Name), n, func(tb *nft.Table) {
					tb.Chains[ci].Rules[ri].Exprs = slices.Delete(tb.Chains[ci].Rules[ri].Exprs, ei, ei+1)
				})
			}
		}
	}
}

// TestShortWays: ordinary packets need none of the long ways.
func TestShortWays(t *testing.T) {
	n := newNetwork(t, true, State{})
	n.up(t)
	pr := newProber(t, n)
	for _, s := range scenarios(n) {
		if s.others {
			continue
		}
		st := s.state(t)
		barred(st.Table)
		if err := n.apply(st); err != nil {
			t.Fatal(err)
		}
		wrong, err := pr.run(s.ordinary(n))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range wrong {
			t.Errorf("%s: %s", s.name, w)
		}
	}
}

// unbarred runs the ordinary traffic over a mutant without the long ways.
func (pr *prober) unbarred(n *network, s scenario, text []byte, cut func(*nft.Table)) ([]string, error) {
	var st State
	if err := json.Unmarshal(text, &st); err != nil {
		return nil, err
	}
	cut(st.Table)
	barred(st.Table)
	if err := n.apply(st); err != nil {
		return nil, err
	}
	return pr.run(s.ordinary(n))
}
