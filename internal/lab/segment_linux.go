package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Provider is the kind of the lab's provider.
func (l *Lab) Provider() ProviderKind { return l.cfg.Provider }

// Gateway6 is the server's IPv6 gateway.
func (l *Lab) Gateway6() netip.Addr {
	if l.cfg.Provider == OnLink {
		return OnLinkGateway()
	}
	return GatewayIPv6()
}

// RouterLink is the name of the interface by which the provider's router
// reaches the server.
func (l *Lab) RouterLink() string {
	if l.cfg.Provider == OnLink {
		return segment
	}
	return Port
}

// setUpSegment makes the port of an on-link provider's router one of a
// switch. The router is the switch's own port: it answers and asks there as any
// host of the segment does.
func (l *Lab) setUpSegment() error {
	p := l.nodes[Provider]
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = segment, hardware(ProviderMAC())
	// Without snooping it floods multicast to all ports, as simple switches do.
	off := false
	if err := p.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}); err != nil {
		return fmt.Errorf("make segment %s of %s: %w", segment, Provider, err)
	}
	if err := l.join(Port); err != nil {
		return err
	}
	if err := p.upAtOnce(segment,
		host(GatewayIPv4()), netip.PrefixFrom(GatewayIPv6(), 64),
		netip.PrefixFrom(OnLinkGateway(), ServerIPv6().Bits()),
		netip.PrefixFrom(neighbourGateway(), neighbourIPv6().Bits()),
	); err != nil {
		return err
	}
	for _, to := range []netip.Prefix{ServerIPv4(), neighbourIPv4()} {
		if err := p.route(to, netip.Addr{}, segment); err != nil {
			return err
		}
	}
	return nil
}

// join puts an interface of the provider on the segment.
func (l *Lab) join(name string) error {
	p := l.nodes[Provider]
	port, err := p.link(name)
	if err != nil {
		return err
	}
	br, err := p.link(segment)
	if err != nil {
		return err
	}
	if err := p.nl.LinkSetMaster(port, br); err != nil {
		return fmt.Errorf("put %s of %s on the segment: %w", name, Provider, err)
	}
	return p.upAtOnce(name)
}

// addNeighbour makes the other customer's host. It takes the server's /64 for
// on-link too, so that it asks for guests itself.
func (l *Lab) addNeighbour() error {
	n, err := newNode(Neighbour, l.cfg.Names)
	if err != nil {
		return err
	}
	l.nodes[Neighbour] = n
	n.v4, n.v6 = neighbourIPv4().Addr(), neighbourIPv6().Addr()
	if err := n.sysctls(
		"net/ipv4/conf/all/rp_filter", "0",
		"net/ipv4/conf/default/rp_filter", "0",
		"net/ipv6/conf/default/accept_ra", "0",
	); err != nil {
		return err
	}
	if err := cable(end{l.nodes[Provider], Neighbour, nil}, end{n, "eth0", hardware(NeighbourMAC())}); err != nil {
		return err
	}
	if err := l.join(Neighbour); err != nil {
		return err
	}
	if err := n.upAtOnce("eth0", neighbourIPv4(), neighbourIPv6(), netip.PrefixFrom(linkLocal(NeighbourMAC()), 64)); err != nil {
		return err
	}
	for _, r := range []struct {
		to  netip.Prefix
		via netip.Addr
	}{
		{anywhere4(), GatewayIPv4()},
		{anywhere6(), neighbourGateway()},
		{ServerIPv6().Masked(), netip.Addr{}},
	} {
		if err := n.route(r.to, r.via, "eth0"); err != nil {
			return err
		}
	}
	return l.serveWeb(n, netip.IPv6Unspecified(), nil)
}
