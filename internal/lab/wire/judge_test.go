package wire

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestJudge(t *testing.T) {
	const v6 = typeIPv6
	up := func(p []byte) []byte { return frame(provider, server, v6, p) }
	multi := func(src MAC, dst netip.Addr, p []byte) []byte { return frame(groupMAC(dst), src, v6, p) }
	guestGroup := solicited(guestAddr)
	redirectBody := func(target netip.Addr, opts ...any) []byte {
		return icmp6(hostLL, guestLL, 137, 0, "0000 00000000", target, far, cat(opts...))
	}
	stp := func(root, bridge MAC) []byte {
		return frame(MAC{1, 0x80, 0xc2, 0, 0, 0}, server, 38, "424203 0000 00 00 00", "8000", root, "00000000", "8000", bridge, "8001 0000 1400 0200 0f00")
	}

	for _, tc := range []struct {
		name  string
		frame []byte
		want  []Kind
	}{
		// What a well-behaved host sends.
		{"routed unicast of a guest", up(ip6(guestAddr, far, 63, 6, "00")), nil},
		{"host's unicast", up(ip6(host, far, 64, 6, "00")), nil},
		{"host asks for the gateway", multi(server, solicited(gateway), ns(hostLL, solicited(gateway), gateway, lla(1, server))), nil},
		{"host's DAD", multi(server, solicited(host), ns(unset, solicited(host), host)), nil},
		{"host's link-local DAD", multi(server, solicited(hostLL), ns(unset, solicited(hostLL), hostLL)), nil},
		{"host's autoconfigured DAD", multi(server, solicited(hostLL), ns(unset, solicited(hostLL), server.eui64(prefix))), nil},
		{"host advertises itself", up(na(host, gateway, host, lla(2, server))), nil},
		{"host's router solicitation", multi(server, routers, rs(hostLL, lla(1, server))), nil},
		{"host's listener report", multi(server, netip.MustParseAddr("ff02::16"), mld2(hostLL, solicited(host), solicited(hostLL), routers, solicited(prefix.Addr()))), nil},
		{"host's listener report from ::", multi(server, netip.MustParseAddr("ff02::16"), mld2(unset, solicited(hostLL))), nil},
		{"host's ARP", frame(everyone, server, typeARP, arp(1, server, host4, MAC{}, gateway4)), nil},
		{"host's ARP answer", frame(provider, server, typeARP, arp(2, server, host4, provider, gateway4)), nil},
		{"host's ARP probe", frame(everyone, server, typeARP, arp(1, server, netip.IPv4Unspecified(), MAC{}, host4)), nil},
		{"host's IPv4", frame(provider, server, typeIPv4, ip4(host4, gateway4, 17, udp(1000, 53))), nil},
		{"host's DHCP", frame(everyone, server, typeIPv4, ip4(netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"), 17, udp(68, 67, dhcp(server, 61, 7, 1, server)))), nil},
		{"host's spanning tree", stp(provider, server), nil},
		{"padded", append(up(ns(hostLL, gateway, gateway, lla(1, server))), 0, 0, 0, 0, 0, 0), nil},
		{"later fragment of bulk", up(behind(ip6(guestAddr, far, 63, 17, "00"), protoFragment, 17, 0, uint16(800), "00000001")), nil},
		{"later fragment of a big ping", up(behind(ip6(guestAddr, far, 63, 58, "00"), protoFragment, 58, 0, uint16(800), "00000001")), nil},
		{"mDNS of the host", multi(server, netip.MustParseAddr("ff02::fb"), ip6(hostLL, netip.MustParseAddr("ff02::fb"), 255, 17, udp(5353, 5353, "00"))), nil},

		// Sources and destinations.
		{"guest's MAC as source", frame(provider, guest, v6, ip6(guestAddr, far, 64, 6, "00")), []Kind{ForeignSource}},
		{"stranger's MAC as source", frame(provider, stranger, 0x88b5), []Kind{ForeignSource}},
		{"group as source", frame(provider, everyone, 0x88b5), []Kind{ForeignSource}},
		{"broadcast from a stranger", frame(everyone, stranger, 0x88b5), []Kind{ForeignSource, GuestMulticast}},
		{"flooded to a guest", frame(guest, server, v6, ip6(host, guestAddr, 64, 6, "00")), []Kind{ForeignDestination}},
		{"flooded to a stranger", frame(stranger, server, v6, ip6(host, guestAddr, 64, 6, "00")), []Kind{ForeignDestination}},
		{"tagged", frame(provider, guest, typeVLAN, uint16(7), uint16(v6), ip6(guestAddr, far, 64, 6, "00")), []Kind{ForeignSource}},

		// Router advertisements and redirects.
		{"router advertisement", multi(server, nodes, ra(hostLL, nodes, lla(1, server))), []Kind{RouterAdvertisement}},
		{"unicast router advertisement", up(ra(hostLL, gateway, lla(1, server))), []Kind{RouterAdvertisement}},
		{"guest's router advertisement", multi(guest, nodes, ra(guestLL, nodes, lla(1, guest))), []Kind{ForeignSource, ForeignInside, RouterAdvertisement, GuestMulticast}},
		{"tagged router advertisement", frame(allNodes, server, typeQinQ, uint16(1), uint16(typeVLAN), uint16(2), uint16(v6), ra(hostLL, nodes)), []Kind{RouterAdvertisement}},
		{"advertisement behind hop-by-hop", multi(server, nodes, behind(ra(hostLL, nodes), protoHopByHop, 58, 0, "0104 00000000")), []Kind{RouterAdvertisement}},
		{"advertisement behind many headers", multi(server, nodes, behind(ra(hostLL, nodes), protoDestination,
			protoRouting, 0, "0104 00000000", protoAH, 0, "0000 00000000", protoMobility, 0, "0000 00000000", protoICMPv6, 0, "0000 00000000")), []Kind{RouterAdvertisement}},
		{"advertisement behind AH", multi(server, nodes, behind(ra(hostLL, nodes), protoAH, 58, 1, "0000 00000000 00000000")), []Kind{RouterAdvertisement}},
		{"atomic fragment", multi(server, nodes, behind(ra(hostLL, nodes), protoFragment, 58, 0, "0000 00000001")), []Kind{RouterAdvertisement}},
		{"first fragment", multi(server, nodes, behind(ra(hostLL, nodes), protoFragment, 58, 0, "0001 00000001")), []Kind{RouterAdvertisement}},
		{"first fragment without ICMPv6", multi(server, nodes, ip6(hostLL, nodes, 255, protoFragment, protoDestination, 0, "0001 00000001")), []Kind{Opaque}},
		{"later fragment with hop limit 255", multi(server, nodes, behind(ra(hostLL, nodes), protoFragment, 58, 0, "0008 00000001")), []Kind{Opaque}},
		{"SNAP", frame(allNodes, server, 8+uint16(len(ra(hostLL, nodes))), "aaaa03 000000", uint16(v6), ra(hostLL, nodes)), []Kind{RouterAdvertisement}},
		{"redirect to the gateway", up(redirectBody(gateway, lla(2, provider))), []Kind{Redirect}},
		{"redirect to a guest's neighbour", frame(guest, server, v6, redirectBody(guestLL, lla(2, stranger))), []Kind{ForeignInside, ForeignDestination, Redirect}},
		{"IPv4 redirect", frame(provider, server, typeIPv4, ip4(host4, gateway4, 1, 5, 1, "0000")), []Kind{Redirect}},

		// Guests' neighbour discovery with a rewritten source.
		{"guest's DAD", multi(server, guestGroup, ns(unset, guestGroup, guestAddr)), []Kind{GuestMulticast}},
		{"guest's link-local DAD", multi(server, guestGroup, ns(unset, guestGroup, guestLL)), []Kind{GuestMulticast}},
		{"guest's privacy address DAD", multi(server, nodes, ns(unset, nodes, netip.MustParseAddr("2001:db8:1:3:1234:5678:9abc:def0"))), []Kind{GuestMulticast}},
		{"guest asks for the gateway", multi(server, solicited(gateway), ns(guestLL, solicited(gateway), gateway, lla(1, guest))), []Kind{ForeignInside, GuestMulticast}},
		{"guest asks, option rewritten", multi(server, solicited(gateway), ns(guestAddr, solicited(gateway), gateway, lla(1, server))), []Kind{GuestMulticast}},
		{"guest's router solicitation", multi(server, routers, rs(guestLL, lla(1, guest))), []Kind{ForeignInside, GuestMulticast}},
		{"router solicitation from ::", multi(server, routers, rs(unset)), []Kind{GuestMulticast}},
		{"guest answers the gateway", up(na(guestAddr, gateway, guestAddr, lla(2, guest))), []Kind{ForeignInside, GuestUnicast}},
		{"guest probes the gateway", up(ns(guestLL, gateway, gateway)), []Kind{GuestUnicast}},
		{"guest's announcement", multi(server, nodes, na(guestAddr, nodes, guestAddr, lla(2, guest))), []Kind{ForeignInside, GuestMulticast}},
		{"guest's listener report", multi(server, netip.MustParseAddr("ff02::16"), mld2(guestLL, guestGroup)), []Kind{GuestMulticast}},
		{"guest's listener report from ::", multi(server, netip.MustParseAddr("ff02::16"), mld2(unset, routers, guestGroup)), []Kind{GuestMulticast}},
		{"guest's first listener version", multi(server, guestGroup, icmp6(hostLL, guestGroup, 131, 0, "0000 0000 0000", guestGroup)), []Kind{GuestMulticast}},
		{"guest's done", multi(server, routers, icmp6(hostLL, routers, 132, 0, "0000 0000 0000", guestGroup)), []Kind{GuestMulticast}},
		{"guest's mDNS", multi(server, netip.MustParseAddr("ff02::fb"), ip6(guestLL, netip.MustParseAddr("ff02::fb"), 255, 17, udp(5353, 5353, "00"))), []Kind{GuestMulticast}},
		{"guest's link-local unicast", up(ip6(guestLL, gateway, 64, 6, "00")), []Kind{GuestUnicast}},

		// The host speaking of guests.
		{"host asks for a guest", multi(server, guestGroup, ns(hostLL, guestGroup, guestAddr, lla(1, server))), []Kind{GuestSolicited}},
		{"host asks for a guest's link-local address", multi(server, guestGroup, ns(hostLL, guestGroup, guestLL, lla(1, server))), []Kind{GuestSolicited}},
		{"host asks for an absent address", multi(server, solicited(gateway), ns(host, solicited(gateway), netip.MustParseAddr("2001:db8:1:3::1"), lla(1, server))), []Kind{GuestSolicited}},
		{"host answers for a guest", up(na(hostLL, gateway, guestAddr, lla(2, server))), []Kind{GuestAdvertised}},

		// Other carriers of MACs.
		{"guest's ARP", frame(everyone, server, typeARP, arp(1, guest, netip.MustParseAddr("169.254.1.2"), MAC{}, gateway4)), []Kind{ForeignInside, GuestMulticast}},
		{"guest's ARP with rewritten sender", frame(everyone, server, typeARP, arp(1, server, netip.MustParseAddr("169.254.1.2"), MAC{}, gateway4)), []Kind{GuestMulticast}},
		{"guest's ARP answer", frame(provider, server, typeARP, arp(2, guest, netip.MustParseAddr("169.254.1.2"), provider, gateway4)), []Kind{ForeignInside, GuestUnicast}},
		{"ARP answer about a guest", frame(provider, server, typeARP, arp(2, server, host4, guest, gateway4)), []Kind{ForeignInside}},
		{"RARP of a moved guest", frame(everyone, server, typeRARP, arp(3, guest, netip.IPv4Unspecified(), guest, netip.IPv4Unspecified())), []Kind{ForeignInside, GuestMulticast}},
		{"guest's DHCP", frame(everyone, server, typeIPv4, ip4(netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"), 17, udp(68, 67, dhcp(guest)))), []Kind{ForeignInside, GuestMulticast}},
		{"guest's DHCP client identifier", frame(everyone, server, typeIPv4, ip4(netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"), 17, udp(68, 67, dhcp(server, 0, 53, 1, 1, 61, 7, 1, guest)))), []Kind{ForeignInside}},
		{"guest's DHCPv6 DUID-LLT", multi(server, netip.MustParseAddr("ff02::1:2"), ip6(guestLL, netip.MustParseAddr("ff02::1:2"), 1, 17, udp(546, 547, 1, "000001", uint16(8), uint16(2), "0000", uint16(1), uint16(14), "0001 0001 00000000", guest))), []Kind{ForeignInside, GuestMulticast}},
		{"guest's DHCPv6 DUID-LL", multi(server, netip.MustParseAddr("ff02::1:2"), ip6(hostLL, netip.MustParseAddr("ff02::1:2"), 1, 17, udp(546, 547, 1, "000001", uint16(1), uint16(10), "0003 0001", guest))), []Kind{ForeignInside}},
		{"guest's IGMP", frame(MAC{1, 0, 0x5e, 0, 0, 22}, server, typeIPv4, ip4(netip.MustParseAddr("169.254.1.2"), netip.MustParseAddr("224.0.0.22"), 2, "2200")), []Kind{GuestMulticast}},
		{"spanning tree named by a guest", stp(guest, guest), []Kind{ForeignInside}},
		{"LLDP of a guest", frame(MAC{1, 0x80, 0xc2, 0, 0, 0xe}, server, typeLLDP, "0207 04", guest, "0000"), []Kind{ForeignInside}},

		// Broken ones.
		{"empty", nil, []Kind{Opaque}},
		{"runt", make([]byte, 13), []Kind{Opaque}},
		{"cut tag", frame(provider, server, typeVLAN, 0), []Kind{Opaque}},
		{"cut IPv6", up(make([]byte, 39)), []Kind{Opaque}},
		{"IPv6 that is not", up(make([]byte, 40)), []Kind{Opaque}},
		{"cut extension header", up(ip6(hostLL, gateway, 255, protoHopByHop, 58)), []Kind{Opaque}},
		{"cut solicitation", up(icmp6(hostLL, gateway, 135, 0, "0000 00000000")), []Kind{Opaque}},
		{"option of length zero", up(ns(hostLL, gateway, gateway, "0100")), []Kind{Opaque}},
		{"option beyond the end", up(ns(hostLL, gateway, gateway, "0102", server)), []Kind{Opaque}},
		{"cut listener record", multi(server, nodes, icmp6(hostLL, nodes, 143, 0, "0000 0000 0002", "04000000", routers)), []Kind{Opaque}},
		{"cut ARP", frame(everyone, server, typeARP, make([]byte, 27)), []Kind{Opaque}},
		{"cut IPv4", frame(provider, server, typeIPv4, "46", make([]byte, 19)), []Kind{Opaque}},
		{"cut ICMPv6", up(ip6(hostLL, gateway, 255, 58, "8600")), []Kind{Opaque}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := newJudge(t, nil)
			j.Frame(time.Unix(1, 0), tc.frame)
			r := j.Report()
			var got []Kind
			for _, k := range Kinds() {
				if n := r.Counts[k]; n > 1 {
					t.Errorf("%v counted %d times", k, n)
				} else if n == 1 {
					got = append(got, k)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s%v", diff, r.Findings)
			}
			if r.Frames != 1 || r.Bytes != uint64(len(tc.frame)) || len(r.Findings) != len(got) || r.Offences() != uint64(len(got)) {
				t.Errorf("report %+v", r)
			}
		})
	}
}

// TestJudgeOnLink has the gateway inside the /64.
func TestJudgeOnLink(t *testing.T) {
	inside := netip.MustParseAddr("2001:db8:1:3::1")
	j := newJudge(t, func(c *Config) { c.Gateways = []netip.Addr{inside} })
	j.Frame(time.Time{}, frame(groupMAC(solicited(inside)), server, typeIPv6, ns(host, solicited(inside), inside, lla(1, server))))
	j.Frame(time.Time{}, frame(provider, server, typeIPv6, ns(hostLL, provider.linkLocal(), provider.linkLocal(), lla(1, server))))
	if r := j.Report(); r.Offences() != 0 {
		t.Errorf("%v", r.Findings)
	}
}

// TestJudgeWithoutProvider knows neither the provider's MACs nor IPv4.
func TestJudgeWithoutProvider(t *testing.T) {
	j := newJudge(t, func(c *Config) { c.Provider, c.Host = nil, nil })
	j.Frame(time.Time{}, frame(provider, server, typeIPv6, ip6(guestAddr, far, 63, 6, "00")))
	j.Frame(time.Time{}, frame(everyone, server, typeARP, arp(1, server, host4, MAC{}, gateway4)))
	if r := j.Report(); r.Offences() != 0 {
		t.Errorf("%v", r.Findings)
	}
	j.Frame(time.Time{}, frame(guest, server, typeIPv6, ip6(host, guestAddr, 64, 6, "00")))
	if r := j.Report(); r.Counts[ForeignDestination] != 1 {
		t.Errorf("%v", r.Counts)
	}
}

func TestJudgeLearns(t *testing.T) {
	j := newJudge(t, func(c *Config) { c.Guests, c.Examples = nil, 2 })
	dad := frame(groupMAC(solicited(guestAddr)), server, typeIPv6, ns(unset, solicited(guestAddr), guestAddr))
	j.Frame(time.Unix(1, 0), dad)
	j.AddGuest(guest)
	for range 3 {
		j.Frame(time.Unix(2, 0), dad)
	}
	r := j.Report()
	want := []Finding{
		{GuestMulticast, time.Unix(1, 0), "server > 33:33:ff:aa:bb:cc: duplicate address detection for 2001:db8:1:3:5054:ff:feaa:bbcc"},
		{GuestMulticast, time.Unix(2, 0), "server > 33:33:ff:aa:bb:cc: duplicate address detection for 2001:db8:1:3:5054:ff:feaa:bbcc (guest 52:54:00:aa:bb:cc)"},
	}
	if diff := cmp.Diff(want, r.Findings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Counts[GuestMulticast] != 4 || r.Multicast != 4 {
		t.Errorf("%+v", r)
	}
	if f, ok := r.First(GuestMulticast); !ok || f != want[0] {
		t.Errorf("first %v %t", f, ok)
	}
	if _, ok := r.First(Redirect); ok {
		t.Error("a redirect was found")
	}
	j.AddHost(guestAddr)
	j.Frame(time.Unix(3, 0), dad)
	if n := j.Report().Counts[GuestMulticast]; n != 4 {
		t.Errorf("%d after the address became the host's, want 4", n)
	}
}

func TestReportJSON(t *testing.T) {
	j := newJudge(t, nil)
	j.Frame(time.Unix(1, 0), frame(provider, stranger, typeVLAN, uint16(4000), uint16(0x88b5)))
	b, err := json.Marshal(j.Report())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"foreign source MAC":1`, `"redirect":0`, `"text":"52:54:00:11:22:33 \u003e provider VLAN 4000: source MAC`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
}

func TestNewJudgeRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no server":         {Prefix: prefix},
		"group as server":   {Server: everyone, Prefix: prefix},
		"no prefix":         {Server: server},
		"long prefix":       {Server: server, Prefix: netip.MustParsePrefix("2001:db8::/65")},
		"IPv4 prefix":       {Server: server, Prefix: netip.MustParsePrefix("192.0.2.0/24")},
		"negative examples": {Server: server, Prefix: prefix, Examples: -1},
	} {
		if _, err := NewJudge(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range append(Kinds(), kinds) {
		if s := k.String(); s == "" || seen[s] {
			t.Errorf("kind %d is called %q", k, s)
		} else {
			seen[s] = true
		}
	}
}

func TestMAC(t *testing.T) {
	m, err := ParseMAC("90:1B:0e:12:34:56")
	if err != nil || m != server || m.String() != "90:1b:0e:12:34:56" {
		t.Errorf("%v, %v", m, err)
	}
	if m.linkLocal() != hostLL || guest.eui64(prefix) != guestAddr {
		t.Errorf("%v, %v", m.linkLocal(), guest.eui64(prefix))
	}
	if got, ok := macInside(guestAddr); !ok || got != guest {
		t.Errorf("%v %t", got, ok)
	}
	if _, ok := macInside(host); ok {
		t.Error("a MAC in ::2")
	}
	for _, s := range []string{"", "90:1b:0e:12:34", "90:1b:0e:12:34:5", "90:1b:0e:12:34:zz", "90-1b-0e-12-34-56", "90:1b:0e:12:34:56:78"} {
		if _, err := ParseMAC(s); err == nil {
			t.Errorf("ParseMAC(%q): no error", s)
		}
	}
	var u MAC
	if err := u.UnmarshalText([]byte("52:54:00:aa:bb:cc")); err != nil || u != guest {
		t.Errorf("%v, %v", u, err)
	}
	if _, err := MACOf(make([]byte, 8)); err == nil {
		t.Error("MACOf eight bytes: no error")
	}
}

// FuzzJudge has counts add up and never panics.
func FuzzJudge(f *testing.F) {
	f.Add(frame(allNodes, server, typeQinQ, uint16(1), uint16(typeVLAN), uint16(2), uint16(typeIPv6), ra(hostLL, nodes, lla(1, guest))))
	f.Add(frame(allNodes, server, typeIPv6, behind(ra(hostLL, nodes), protoFragment, 58, 0, "0001 00000001")))
	f.Add(frame(allNodes, server, typeIPv6, mld2(unset, routers, solicited(guestAddr))))
	f.Add(frame(everyone, server, typeARP, arp(1, guest, host4, MAC{}, gateway4)))
	f.Add(frame(everyone, server, typeIPv4, ip4(host4, gateway4, 17, udp(68, 67, dhcp(guest, 61, 7, 1, guest)))))
	f.Add(frame(everyone, server, typeIPv6, ip6(hostLL, nodes, 1, 17, udp(546, 547, 1, "000001", uint16(1), uint16(10), "0003 0001", guest))))
	f.Add(frame(MAC{1, 0x80, 0xc2, 0, 0, 0xe}, server, typeLLDP, "0207 04", guest, "0000"))
	f.Add(frame(MAC{1, 0x80, 0xc2, 0, 0, 0}, server, 38, "424203 0000 00 00 00", "8000", guest, "00000000", "8000", guest))
	f.Fuzz(func(t *testing.T, b []byte) {
		j := newJudge(t, nil)
		j.Frame(time.Time{}, b)
		r := j.Report()
		if len(b) >= 12 && MAC(b[6:12]) != server && r.Counts[ForeignSource] != 1 && len(r.Findings) == 0 {
			t.Error("a foreign source passes")
		}
		for k, n := range r.Counts {
			if n > 1 {
				t.Errorf("%v counted %d times", k, n)
			}
		}
	})
}

func Example() {
	j, err := NewJudge(Config{
		Server: MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56},
		Prefix: netip.MustParsePrefix("2001:db8:1:3::/64"),
	})
	if err != nil {
		panic(err)
	}
	arp := []byte{
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56, 0x08, 0x06,
		0, 1, 8, 0, 6, 4, 0, 1,
		0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc, 169, 254, 1, 2,
		0, 0, 0, 0, 0, 0, 203, 0, 113, 1,
	}
	j.Frame(time.Unix(0, 0), arp)
	for _, f := range j.Report().Findings {
		fmt.Println(f)
	}
	// Output:
	// foreign MAC inside payload: server > ff:ff:ff:ff:ff:ff: ARP sender 52:54:00:aa:bb:cc
	// guest multicast: server > ff:ff:ff:ff:ff:ff: ARP of 169.254.1.2 at 52:54:00:aa:bb:cc about 203.0.113.1
}

// TestOnLinkJudge: at an on-link provider the server answers for its guests,
// and for nobody else.
func TestOnLinkJudge(t *testing.T) {
	server, guest := MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}, MAC{0x52, 0x54, 0, 1, 2, 3}
	prefix := netip.MustParsePrefix("2001:db8:1:3::/64")
	absent := netip.MustParseAddr("2001:db8:1:3::abcd")
	na := func(target netip.Addr) []byte {
		all := netip.MustParseAddr("ff02::1")
		body := append([]byte{icmpNA, 0, 0, 0, 0x60, 0, 0, 0}, target.AsSlice()...)
		body = append(append(body, 2, 1), server[:]...)
		packet := append([]byte{0x60, 0, 0, 0, 0, byte(len(body)), protoICMPv6, 255}, server.linkLocal().AsSlice()...)
		packet = append(append(packet, all.AsSlice()...), body...)
		frame := append([]byte{0x33, 0x33, 0, 0, 0, 1}, server[:]...)
		return append(append(frame, 0x86, 0xdd), packet...)
	}
	for _, tc := range []struct {
		name    string
		onLink  bool
		gone    bool
		target  netip.Addr
		offence uint64
	}{
		{"a guest, on-link", true, false, guest.eui64(prefix), 0},
		{"a guest that has gone, on-link", true, true, guest.eui64(prefix), 1},
		{"nobody, on-link", true, false, absent, 1},
		{"a guest's link-local address, on-link", true, false, guest.linkLocal(), 0},
		{"a guest, routed", false, false, guest.eui64(prefix), 1},
	} {
		j, err := NewJudge(Config{Server: server, Prefix: prefix, Guests: []MAC{guest}, OnLink: tc.onLink})
		if err != nil {
			t.Fatal(err)
		}
		if tc.gone {
			j.RemoveGuest(guest)
		}
		j.Frame(time.Time{}, na(tc.target))
		if r := j.Report(); r.Counts[GuestAdvertised] != tc.offence || r.Offences() != tc.offence {
			t.Errorf("%s: %v", tc.name, r.Counts)
		}
	}
}
