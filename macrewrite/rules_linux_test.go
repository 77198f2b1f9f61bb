package macrewrite

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// check is one frame, and what becomes of it.
type check struct {
	name    string
	from    place
	frame   []byte
	arrives []place
	counted map[Reason]uint64
}

// checks is the truth about the edge: what passes and what is dropped, and why.
func checks(n *network) []check {
	var (
		all, bcast                 = ip("ff02::1"), slaac.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		allMAC                     = slaac.MAC{0x33, 0x33, 0, 0, 0, 1}
		gwMAC, hostMAC             = n.mac[provider], n.mac[host]
		g1MAC, g2MAC               = n.mac[guest1], n.mac[guest2]
		gw, gwIn, gwKVM            = ip("fe80::1"), ip("2001:db8:1:3::1"), ip("fe80::5054:ff:fe00:1")
		old, own, elsewhere, ownLL = ip("2001:db8:1:3::2"), ip("2001:db8:1:3:921b:eff:fe12:3456"), ip("2001:db8:9::2"), slaac.LinkLocal(hostMAC)
		g1, g1LL                   = ip("2001:db8:1:3:5054:ff:fe00:11"), slaac.LinkLocal(g1MAC)
		g2, g2LL                   = ip("2001:db8:1:3:5054:ff:fe00:22"), slaac.LinkLocal(g2MAC)
		outside, nat64             = ip("2001:db8:2::9"), ip("64:ff9b::203.0.114.1")
		own4, gw4                  = ip("203.0.113.10"), ip("203.0.113.1")
		redirect                   = func(src, dst netip.Addr) []byte {
			return ip6(src, dst, 58, icmp6(src, dst, 137, make([]byte, 36)...))
		}
		icmp = func(src, dst netip.Addr, typ uint8) []byte {
			return ip6(src, dst, 58, icmp6(src, dst, typ, make([]byte, 12)...))
		}
		// Router advertisement behind a hop-by-hop header with padding.
		hidden = func(src netip.Addr) []byte {
			return ip6(src, all, 0, append([]byte{58, 0, 1, 4, 0, 0, 0, 0}, icmp6(src, all, 134, make([]byte, 12)...)...))
		}
		udp6   = func(src, dst netip.Addr, port uint16) []byte { return ip6(src, dst, 17, ports(5000, port)) }
		tcp6   = func(src, dst netip.Addr, port uint16) []byte { return ip6(src, dst, 6, ports(5000, port)) }
		arp    = blank(28)
		onHost = []place{host}
		toAll  = []place{provider, guest1, guest2}
		guests = []place{guest1, guest2}
	)
	one := func(r Reason) map[Reason]uint64 { return map[Reason]uint64{r: 1} }
	const v6, v4, arpType = 0x86dd, 0x0800, 0x0806

	var out []check
	add := func(name string, from place, frame []byte, arrives []place, counted map[Reason]uint64) {
		out = append(out, check{name, from, frame, arrives, counted})
	}
	// From the provider's segment.
	add("segment's broadcast", provider, eth(bcast, gwMAC, 0x88b5, arp), onHost, map[Reason]uint64{UplinkToGuest: 2})
	add("to a guest directly", provider, eth(g1MAC, gwMAC, v6, icmp(outside, g1, 128)), nil, one(UplinkToGuest))
	add("to a guest, tagged", provider, tag(eth(g1MAC, gwMAC, v6, icmp(outside, g1, 128)), 0x8100), nil, one(UplinkToGuest))
	add("to a guest, no IP", provider, eth(g1MAC, gwMAC, 0x88b5, arp), nil, one(UplinkToGuest))
	add("ARP request", provider, eth(bcast, gwMAC, arpType, arp), onHost, map[Reason]uint64{UplinkToGuest: 2})
	add("ARP reply", provider, eth(hostMAC, gwMAC, arpType, arp), onHost, nil)
	for _, a := range []netip.Addr{old, own, elsewhere, ownLL} {
		add("ping to "+a.String(), provider, eth(hostMAC, gwMAC, v6, icmp(outside, a, 128)), onHost, nil)
		group, groupMAC := solicitedNode(a)
		add("solicitation for "+a.String(), provider, eth(groupMAC, gwMAC, v6, nd(135, gw, group, a)), onHost, map[Reason]uint64{UplinkToGuest: 2})
		add("unicast solicitation for "+a.String(), provider, eth(hostMAC, gwMAC, v6, nd(135, gwIn, a, a)), onHost, nil)
	}
	add("routed to a guest", provider, eth(hostMAC, gwMAC, v6, icmp(outside, g1, 128)), onHost, nil)
	add("ping by IPv4", provider, eth(hostMAC, gwMAC, v4, ip4(gw4, own4, 1, blank(16))), onHost, nil)
	for _, a := range []netip.Addr{gw, gwIn, gwKVM} {
		add("advertisement of the gateway "+a.String(), provider, eth(hostMAC, gwMAC, v6, nd(136, a, ownLL, a)), onHost, nil)
		add("ping from the gateway "+a.String(), provider, eth(hostMAC, gwMAC, v6, icmp(a, old, 128)), onHost, nil)
	}
	for _, a := range []netip.Addr{g1, g1LL} {
		add("advertisement for guest "+a.String(), provider, eth(hostMAC, gwMAC, v6, nd(136, gw, ownLL, a)), nil, one(NDFromUplink))
		add("solicitation for guest "+a.String(), provider, eth(allMAC, gwMAC, v6, nd(135, gw, all, a)), nil, one(NDFromUplink))
	}
	add("RA", provider, eth(allMAC, gwMAC, v6, icmp(gw, all, 134)), nil, one(RAFromUplink))
	add("RA to the host", provider, eth(hostMAC, gwMAC, v6, icmp(gw, ownLL, 134)), nil, one(RAFromUplink))
	add("RA behind hop-by-hop", provider, eth(allMAC, gwMAC, v6, hidden(gw)), nil, one(RAFromUplink))
	add("RA in VLAN 0", provider, tag(eth(allMAC, gwMAC, v6, icmp(gw, all, 134)), 0x8100), nil, one(RAFromUplink))
	add("RA in VLAN 0 of VLAN 0", provider, tag(eth(allMAC, gwMAC, v6, icmp(gw, all, 134)), 0x8100, 0x8100), nil, one(StackedVLANFromUplink))
	add("RA in service VLAN 0 of VLAN 0", provider, tag(eth(allMAC, gwMAC, v6, icmp(gw, all, 134)), 0x8100, 0x88a8), nil, one(StackedVLANFromUplink))
	add("router solicitation", provider, eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 2}, gwMAC, v6, icmp(gw, ip("ff02::2"), 133)), nil, one(RSFromUplink))
	add("redirect to the host", provider, eth(hostMAC, gwMAC, v6, redirect(gw, old)), nil, one(RedirectFromUplink))
	add("redirect to a guest", provider, eth(g1MAC, gwMAC, v6, redirect(gw, g1)), nil, one(RedirectFromUplink))
	add("NAT64", provider, eth(hostMAC, gwMAC, v6, tcp6(outside, nat64, 80)), nil, one(NAT64FromUplink))
	add("DNS by UDP", provider, eth(hostMAC, gwMAC, v6, udp6(outside, own, 53)), nil, one(DNSFromUplink))
	add("DNS by TCP", provider, eth(hostMAC, gwMAC, v6, tcp6(outside, own, 53)), nil, one(DNSFromUplink))
	add("DNS by UDP and IPv4", provider, eth(hostMAC, gwMAC, v4, ip4(gw4, own4, 17, ports(5000, 53))), nil, one(DNSFromUplink))
	add("DNS by TCP and IPv4", provider, eth(hostMAC, gwMAC, v4, ip4(gw4, own4, 6, ports(5000, 53))), nil, one(DNSFromUplink))
	add("port 53 of another address", provider, eth(hostMAC, gwMAC, v6, udp6(outside, old, 53)), onHost, nil)
	add("another port", provider, eth(hostMAC, gwMAC, v6, udp6(outside, own, 443)), onHost, nil)
	add("answer from port 53", provider, eth(hostMAC, gwMAC, v6, ip6(outside, own, 17, ports(53, 5000))), onHost, nil)
	add("the NIC's MAC as source", provider, eth(bcast, hostMAC, 0x88b5, arp), nil, one(OwnSourceFromUplink))
	for _, a := range []netip.Addr{old, elsewhere, ownLL, g1, ip("2001:db8:1:3::77"), nat64} {
		add("source "+a.String(), provider, eth(hostMAC, gwMAC, v6, icmp(a, own, 128)), nil, one(OwnSourceFromUplink))
	}
	add("source "+own4.String(), provider, eth(hostMAC, gwMAC, v4, ip4(own4, own4, 1, blank(16))), nil, one(OwnSourceFromUplink))

	// From a guest.
	add("guest to the provider's router", guest1, eth(gwMAC, g1MAC, v6, icmp(g1, outside, 128)), nil, one(GuestToUplink))
	add("guest to the provider's router, no IP", guest1, eth(gwMAC, g1MAC, 0x88b5, arp), nil, one(GuestToUplink))
	add("guest to the provider's router, tagged", guest1, tag(eth(gwMAC, g1MAC, v6, icmp(g1, outside, 128)), 0x8100), nil, one(GuestToUplink))
	add("guest's ARP", guest1, eth(bcast, g1MAC, arpType, arp), []place{guest2, host}, one(GuestToUplink))
	group, groupMAC := solicitedNode(g1)
	add("guest's duplicate address detection", guest1, eth(groupMAC, g1MAC, v6, nd(135, ip("::"), group, g1)), []place{guest2, host}, one(GuestToUplink))
	add("guest's MLD report", guest1, eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 0x16}, g1MAC, v6, icmp(g1LL, ip("ff02::16"), 143)), []place{guest2, host}, one(GuestToUplink))
	add("guest's router solicitation", guest1, eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 2}, g1MAC, v6, icmp(g1LL, ip("ff02::2"), 133)), []place{guest2, host}, one(GuestToUplink))
	add("guest to guest", guest1, eth(g2MAC, g1MAC, v6, icmp(g1, g2, 128)), []place{guest2}, nil)
	add("guest to host", guest1, eth(hostMAC, g1MAC, v6, icmp(g1, own, 128)), onHost, nil)
	add("guest to the world", guest1, eth(hostMAC, g1MAC, v6, icmp(g1, outside, 128)), onHost, nil)
	add("guest to NAT64", guest1, eth(hostMAC, g1MAC, v6, tcp6(g1, nat64, 80)), onHost, nil)
	add("guest's DNS query", guest1, eth(hostMAC, g1MAC, v6, udp6(g1, own, 53)), onHost, nil)
	add("guest's RA", guest1, eth(allMAC, g1MAC, v6, icmp(g1LL, all, 134)), nil, one(RAFromGuest))
	add("guest's RA to a guest", guest1, eth(g2MAC, g1MAC, v6, icmp(g1LL, g2LL, 134)), nil, one(RAFromGuest))
	add("guest's RA behind hop-by-hop", guest1, eth(allMAC, g1MAC, v6, hidden(g1LL)), nil, one(RAFromGuest))
	add("guest's RA in VLAN 0", guest1, tag(eth(allMAC, g1MAC, v6, icmp(g1LL, all, 134)), 0x8100), nil, one(RAFromGuest))
	add("guest's RA in VLAN 0 of VLAN 0", guest1, tag(eth(allMAC, g1MAC, v6, icmp(g1LL, all, 134)), 0x8100, 0x8100), nil, one(StackedVLANFromGuest))
	add("guest's RA in service VLAN 0 of VLAN 0", guest1, tag(eth(allMAC, g1MAC, v6, icmp(g1LL, all, 134)), 0x8100, 0x88a8), nil, one(StackedVLANFromGuest))
	add("guest's redirect", guest1, eth(g2MAC, g1MAC, v6, redirect(ownLL, g2)), nil, one(RedirectFromGuest))

	// From the host.
	add("host's RA", host, eth(allMAC, hostMAC, v6, icmp(ownLL, all, 134)), guests, one(RAToUplink))
	add("host's RA to a guest", host, eth(g1MAC, hostMAC, v6, icmp(ownLL, g1LL, 134)), []place{guest1}, nil)
	add("host's redirect to a guest", host, eth(g1MAC, hostMAC, v6, redirect(ownLL, g1)), nil, one(RedirectOut))
	add("host's redirect to the provider", host, eth(gwMAC, hostMAC, v6, redirect(ownLL, outside)), nil, one(RedirectOut))
	for _, a := range []netip.Addr{g1, g1LL} {
		group, groupMAC := solicitedNode(a)
		add("host asks for guest "+a.String(), host, eth(groupMAC, hostMAC, v6, nd(135, ownLL, group, a)), guests, one(NDInsidePrefixToUplink))
		add("host tells of guest "+a.String(), host, eth(allMAC, hostMAC, v6, nd(136, ownLL, all, a)), guests, one(NDInsidePrefixToUplink))
	}
	add("host asks guest directly", host, eth(g1MAC, hostMAC, v6, nd(135, ownLL, g1, g1)), []place{guest1}, nil)
	for _, a := range []netip.Addr{old, own, elsewhere, ownLL, gw, gwIn, gwKVM} {
		group, groupMAC := solicitedNode(a)
		add("host asks for "+a.String(), host, eth(groupMAC, hostMAC, v6, nd(135, ownLL, group, a)), toAll, nil)
	}
	for _, a := range []netip.Addr{old, own, elsewhere, ownLL} {
		add("host answers for "+a.String(), host, eth(gwMAC, hostMAC, v6, nd(136, a, gw, a)), []place{provider}, nil)
	}
	for _, a := range []netip.Addr{gw, gwIn, gwKVM, outside} {
		add("host to "+a.String(), host, eth(gwMAC, hostMAC, v6, icmp(own, a, 128)), []place{provider}, nil)
	}
	unknown := slaac.MAC{0x52, 0x54, 0, 0, 0, 0x99}
	add("to a guest whose port is unknown", host, eth(unknown, hostMAC, v6, icmp(own, ip("2001:db8:1:3::99"), 128)), guests, one(InsidePrefixToUplink))
	add("to a guest's link-local, port unknown", host, eth(unknown, hostMAC, v6, icmp(ownLL, slaac.LinkLocal(unknown), 128)), guests, one(InsidePrefixToUplink))
	add("the /64 by the default route", host, eth(gwMAC, hostMAC, v6, icmp(outside, g1, 128)), nil, one(InsidePrefixToUplink))
	add("NAT64 by the default route", host, eth(gwMAC, hostMAC, v6, tcp6(g1, nat64, 80)), nil, one(InsidePrefixToUplink))
	for _, a := range []netip.Addr{elsewhere, ownLL} {
		add("own "+a.String()+" by the default route", host, eth(gwMAC, hostMAC, v6, icmp(gw, a, 128)), nil, one(OwnToUplink))
	}
	add("own "+own4.String()+" by the default route", host, eth(gwMAC, hostMAC, v4, ip4(gw4, own4, 1, blank(16))), nil, one(OwnToUplink))
	add("host to a guest", host, eth(g1MAC, hostMAC, v6, icmp(outside, g1, 128)), []place{guest1}, nil)
	add("host's MLD report", host, eth(slaac.MAC{0x33, 0x33, 0, 0, 0, 0x16}, hostMAC, v6, icmp(ownLL, ip("ff02::16"), 143)), toAll, nil)
	add("host's ARP", host, eth(bcast, hostMAC, arpType, arp), toAll, nil)
	add("host by IPv4", host, eth(gwMAC, hostMAC, v4, ip4(own4, gw4, 1, blank(16))), []place{provider}, nil)
	add("foreign source MAC", host, eth(bcast, g1MAC, 0x88b5, arp), guests, one(ForeignSourceToUplink))
	return out
}

// readCounters reads the counters in the server.
func (n *network) readCounters() (map[Reason]uint64, error) {
	var list []Counter
	if err := n.ns[host].Do(func() (err error) { list, err = Counters(context.Background()); return err }); err != nil {
		return nil, err
	}
	out := map[Reason]uint64{}
	for _, c := range list {
		out[c.Reason] = c.Packets
	}
	return out, nil
}

// run does one check and says what is wrong, or nothing.
func (pr *prober) run(c check) (string, error) {
	before, err := pr.n.readCounters()
	if err != nil {
		return "", err
	}
	arrived, err := pr.probe(c.from, c.frame)
	if err != nil {
		return "", err
	}
	after, err := pr.n.readCounters()
	if err != nil {
		return "", err
	}
	var wrong []string
	for p := range places {
		if want := slices.Contains(c.arrives, p); arrived[p] != want {
			wrong = append(wrong, fmt.Sprintf("arrived at %s: %v, want %v", p, arrived[p], want))
		}
	}
	for _, r := range Reasons() {
		want := c.counted[r]
		// The broadcasts behind the frame: one of the provider to two guests,
		// one of each guest.
		if r == UplinkToGuest || r == GuestToUplink {
			want += 2
		}
		if got := after[r] - before[r]; got != want {
			wrong = append(wrong, fmt.Sprintf("%s counted %d, want %d", r, got, want))
		}
	}
	return strings.Join(wrong, "; "), nil
}

func (n *network) apply(s State) error {
	return n.ns[host].Do(func() error {
		p, err := Plan(State{}, s)
		if err != nil {
			return err
		}
		return p.Run(context.Background(), plan.Apply, nil)
	})
}

// learn lets the bridge learn where everybody is.
func (pr *prober) learn(t *testing.T) {
	t.Helper()
	if _, err := pr.probe(provider, pr.broadcast(provider)); err != nil {
		t.Fatal(err)
	}
}

func TestEdge(t *testing.T) {
	n := newNetwork(t, true, must(t, sample()))
	n.up(t)
	pr := newProber(t, n)
	pr.learn(t)
	for _, c := range checks(n) {
		t.Run(c.from.String()+": "+c.name, func(t *testing.T) {
			wrong, err := pr.run(c)
			if err != nil {
				t.Fatal(err)
			}
			if wrong != "" {
				t.Error(wrong)
			}
		})
	}
}

// TestEveryRuleMatters takes each rule, and each element of each set, out of
// the table, and wants some check to notice.
func TestEveryRuleMatters(t *testing.T) {
	want := must(t, sample())
	n := newNetwork(t, true, want)
	n.up(t)
	pr := newProber(t, n)
	pr.learn(t)
	all := checks(n)
	mutant := func(t *testing.T, what string, cut func(*nft.Table)) {
		var s State
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatal(err)
		}
		cut(s.Table)
		if err := n.apply(s); err != nil {
			t.Fatal(err)
		}
		for i, c := range all {
			wrong, err := pr.run(c)
			if err != nil {
				t.Fatal(err)
			}
			if wrong != "" {
				t.Logf("without %s, check %q fails: %s", what, c.name, wrong)
				// Rules near each other are noticed by checks near each other.
				all = slices.Concat(all[i:], all[:i])
				pr.learn(t)
				return
			}
		}
		t.Errorf("nothing notices the lack of %s", what)
	}
	tried := 0
	for ci, c := range want.Table.Chains {
		for ri := range c.Rules {
			mutant(t, fmt.Sprintf("rule %d of %s", ri+1, c.Name), func(tb *nft.Table) {
				tb.Chains[ci].Rules = slices.Delete(tb.Chains[ci].Rules, ri, ri+1)
			})
			tried++
		}
	}
	for si, s := range want.Table.Sets {
		for ei, e := range s.Elements {
			mutant(t, fmt.Sprintf("%s in set %s", e, s.Name), func(tb *nft.Table) {
				tb.Sets[si].Elements = slices.Delete(tb.Sets[si].Elements, ei, ei+1)
			})
			tried++
		}
	}
	t.Logf("%d mutants, all noticed by one of %d checks", tried, len(all))
}

func TestNftTakesTheText(t *testing.T) {
	ns := nstest.NS(t)
	loadNft(t, ns, "-c", must(t, sample()).String())
	loadNft(t, ns, "", must(t, sample()).String())
	var got State
	nstest.Do(t, ns, func() (err error) { got, err = Capture(context.Background()); return err })
	p, err := Plan(got, must(t, sample()))
	if err != nil {
		t.Fatal(err)
	}
	if !p.Empty() {
		t.Errorf("what nft loads from our text is not the wanted state: %s\n%s", p.Steps[0].Text, got)
	}
	loadNft(t, ns, "", State{}.String())
}
