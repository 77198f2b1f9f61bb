package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"syscall"

	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
)

// build makes everything that stands before the first guest.
func (l *Lab) build(ctx context.Context) error {
	nodes := []string{Provider, Server}
	steps := []func() error{
		l.setUpRouter, l.connectServer, l.setUpPort, l.watchPort,
		func() error { return l.configureServer(ctx) },
		l.startService,
	}
	if l.cfg.Elsewhere {
		nodes, steps = nodes[:1], []func() error{l.setUpRouter, l.openPort, l.setUpPort, l.watchPort}
	}
	for _, name := range nodes {
		n, err := newNode(name, l.cfg.Names)
		if err != nil {
			return err
		}
		l.nodes[name] = n
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if l.cfg.Provider == OnLink {
		if err := l.addNeighbour(); err != nil {
			return err
		}
	}
	for _, p := range internet() {
		if err := l.addInternet(p); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) setUpRouter() error {
	p := l.nodes[Provider]
	p.v4, p.v6 = GatewayIPv4(), ProviderIPv6()
	err := p.sysctls(
		// New namespaces may inherit the machine's own IPv4 settings.
		"net/ipv4/conf/all/rp_filter", "0",
		"net/ipv4/conf/default/rp_filter", "0",
		"net/ipv4/conf/all/forwarding", "1",
		"net/ipv6/conf/all/forwarding", "1",
		"net/ipv6/conf/default/accept_ra", "0",
	)
	if err != nil {
		return err
	}
	return p.upAtOnce("lo", host(p.v6))
}

// connectServer joins the server to the provider.
func (l *Lab) connectServer() error {
	p, s := l.nodes[Provider], l.nodes[Server]
	// Without DAD on the NIC, for the set-up only, the server's first addresses
	// are usable at once and yet look as on any host.
	err := s.sysctls(
		"net/ipv4/conf/all/forwarding", "0",
		"net/ipv4/conf/all/rp_filter", "0",
		"net/ipv4/conf/default/rp_filter", "0",
		"net/ipv6/conf/default/accept_dad", "0",
	)
	if err != nil {
		return err
	}
	mac := hardware(ProviderMAC())
	if l.cfg.Provider == OnLink {
		mac = nil // the router's is that of the segment
	}
	return cable(end{p, Port, mac}, end{s, NIC, hardware(ServerMAC())})
}

// setUpPort configures the provider's port. The whole /64 is routed to the
// link-local address that belongs to the server's MAC.
func (l *Lab) setUpPort() error {
	if l.cfg.Provider == OnLink {
		return l.setUpSegment()
	}
	p := l.nodes[Provider]
	if err := p.upAtOnce(Port, host(GatewayIPv4()), netip.PrefixFrom(GatewayIPv6(), 64)); err != nil {
		return err
	}
	if err := p.route(ServerIPv4(), netip.Addr{}, Port); err != nil {
		return err
	}
	return p.route(ServerIPv6().Masked(), linkLocal(ServerMAC()), Port)
}

// watchPort puts judge and port security at the provider's port, while the
// server's end is still down.
func (l *Lab) watchPort() error {
	p := l.nodes[Provider]
	var err error
	cfg := wire.Config{
		Server:   ServerMAC(),
		Provider: []wire.MAC{ProviderMAC()},
		Prefix:   ServerIPv6().Masked(),
		Host:     []netip.Addr{ServerIPv4().Addr(), ServerIPv6().Addr()},
		Gateways: []netip.Addr{GatewayIPv4(), GatewayIPv6()},
		Examples: 100,
	}
	if l.cfg.Provider == OnLink {
		cfg.OnLink = true
		cfg.Provider = append(cfg.Provider, NeighbourMAC())
		cfg.Gateways = append(cfg.Gateways, OnLinkGateway(), neighbourGateway())
	}
	l.judge, err = wire.NewJudge(cfg)
	if err != nil {
		return fmt.Errorf("set judge at %s: %w", Port, err)
	}
	if err := p.Do(func() error {
		l.capture, err = wire.NewCapture(wire.CaptureConfig{Interface: Port, Frame: l.judge.Frame})
		return err
	}); err != nil {
		return fmt.Errorf("set judge at %s: %w", Port, err)
	}
	if err := l.services.run("judge at "+Port, l.capture.Run); err != nil {
		return err
	}
	return p.Do(func() error {
		l.port, err = securePort(Port, ServerMAC())
		return err
	})
}

func (l *Lab) configureServer(ctx context.Context) error {
	s := l.nodes[Server]
	s.v4, s.v6 = ServerIPv4().Addr(), ServerIPv6().Addr()
	if err := s.up(NIC, ServerIPv4(), ServerIPv6()); err != nil {
		return err
	}
	if err := s.waitUsable(ctx, NIC); err != nil {
		return err
	}
	if err := s.route(anywhere4(), GatewayIPv4(), NIC); err != nil {
		return err
	}
	if err := s.route(anywhere6(), l.Gateway6(), NIC); err != nil {
		return err
	}
	return s.sysctls("net/ipv6/conf/default/accept_dad", "1", "net/ipv6/conf/"+NIC+"/accept_dad", "1")
}

// startService opens the server's service, sshd's stand-in: whoever is connected
// to it must not notice that the host is rebuilt.
func (l *Lab) startService() error {
	// The IPv6 wildcard takes IPv4 too.
	at := netip.AddrPortFrom(netip.IPv6Unspecified(), ServiceTCP)
	echo, err := probe.NewEchoServer(l.nodes[Server].ns, at)
	if err != nil {
		return fmt.Errorf("open the server's service: %w", err)
	}
	return l.services.run("echo of "+Server, echo.Run)
}

// addInternet makes a node behind the provider, on a link of its own.
func (l *Lab) addInternet(at place) error {
	n, err := newNode(at.name, l.cfg.Names)
	if err != nil {
		return err
	}
	l.nodes[at.name] = n
	n.v4, n.v6 = at.v4, at.v6
	p := l.nodes[Provider]
	if err := n.sysctls(
		"net/ipv4/conf/all/rp_filter", "0",
		"net/ipv4/conf/default/rp_filter", "0",
		"net/ipv6/conf/default/accept_ra", "0",
	); err != nil {
		return err
	}
	if !at.v6.IsValid() {
		if err := n.sysctls("net/ipv6/conf/all/disable_ipv6", "1", "net/ipv6/conf/default/disable_ipv6", "1"); err != nil {
			return err
		}
	}
	if err := cable(end{p, at.name, nil}, end{n, "eth0", nil}); err != nil {
		return err
	}
	var near, own []netip.Prefix
	if at.v4.IsValid() {
		near, own = append(near, host(internetGateway4())), append(own, host(at.v4))
	}
	if at.v6.IsValid() {
		near, own = append(near, netip.PrefixFrom(GatewayIPv6(), 64)), append(own, host(at.v6), netip.MustParsePrefix("fe80::2/64"))
	}
	if err := p.upAtOnce(at.name, near...); err != nil {
		return err
	}
	if err := n.upAtOnce("eth0", own...); err != nil {
		return err
	}
	if at.v4.IsValid() {
		if err := p.route(host(at.v4), netip.Addr{}, at.name); err != nil {
			return err
		}
		if err := n.route(anywhere4(), internetGateway4(), "eth0"); err != nil {
			return err
		}
	}
	if at.v6.IsValid() {
		if err := p.route(host(at.v6), netip.Addr{}, at.name); err != nil {
			return err
		}
		if err := n.route(anywhere6(), GatewayIPv6(), "eth0"); err != nil {
			return err
		}
	}
	return l.startInternet(n)
}

// internetGateway4 is the provider's address towards the IPv4 Internet.
func internetGateway4() netip.Addr { return InternetIPv4().Addr().Next() }

// startInternet starts what a node behind the provider serves.
func (l *Lab) startInternet(n *Node) error {
	switch n.name {
	case Web4:
		return l.serveWeb(n, n.v4, nil)
	case Web6:
		return l.serveWeb(n, n.v6, nil)
	case DNS:
		for _, a := range []netip.Addr{n.v4, n.v6} {
			at := netip.AddrPortFrom(a, 53)
			c, err := n.listenUDP(at)
			if err != nil {
				return err
			}
			if err := l.services.dnsUDP("DNS of "+n.name, l.zone, c); err != nil {
				return err
			}
			ls, err := n.listen(at)
			if err != nil {
				return err
			}
			if err := l.services.dnsTCP("DNS of "+n.name, l.zone, ls); err != nil {
				return err
			}
		}
	}
	return nil
}

// serveWeb serves a node's pages by HTTP and, given a certificate, by HTTPS.
func (l *Lab) serveWeb(n *Node, at netip.Addr, cert *certificate) error {
	ls, err := n.listen(netip.AddrPortFrom(at, 80))
	if err != nil {
		return err
	}
	if err := l.services.http("HTTP of "+n.name, webServer(n.name), ls); err != nil || cert == nil {
		return err
	}
	if ls, err = n.listen(netip.AddrPortFrom(at, 443)); err != nil {
		return err
	}
	return l.services.http("HTTPS of "+n.name, webServer(n.name), cert.listener(ls))
}

// ownGroup makes a program the first of a new process group, so that it can be
// killed with its children.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

func killGroup(cmd *exec.Cmd) {
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}
