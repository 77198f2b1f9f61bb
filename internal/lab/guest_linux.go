package lab

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// GuestLink is the name of a guest's interface in the guest.
const GuestLink = "eth0"

// Guest is a virtual machine's stand-in: a node that is on a bridge of the server
// and gets its addresses from the kernel's own SLAAC.
type Guest struct {
	*Node
	mac     wire.MAC
	port    string
	cert    *certificate
	catcher *wire.Catcher
	started time.Time
}

// AddGuest starts a guest on a bridge of the server, the way libvirt does: its
// port (Config.Ports), with a MAC that starts with fe, is put on the bridge and set up.
// The guest serves its pages on HTTP and HTTPS, and gets name's A (the server's)
// and AAAA (what SLAAC will give it) in the lab's DNS.
//
// It returns once the guest's link is up; see Guest.WaitAddress.
func (l *Lab) AddGuest(ctx context.Context, name string, mac wire.MAC, bridge string) (*Guest, error) {
	if l.Server() == nil {
		return nil, fmt.Errorf("add guest %s: %w", name, errElsewhere)
	}
	if l.Node(name) != nil {
		return nil, fmt.Errorf("add guest %s: there is a node of this name", name)
	}
	n, err := newNode(name, l.cfg.Names)
	if err != nil {
		return nil, fmt.Errorf("add guest: %w", err)
	}
	n.v4, n.v6 = ServerIPv4().Addr(), predicted(ServerIPv6(), mac)
	g := &Guest{Node: n, mac: mac}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		n.close()
		return nil, errStopped
	}
	g.port = fmt.Sprintf("vnet%d", l.ports)
	l.ports++
	if l.cfg.Ports != nil {
		g.port = l.cfg.Ports(name)
	}
	l.guests = append(l.guests, g)
	l.mu.Unlock()
	if err := l.startGuest(g, bridge); err != nil {
		return nil, fmt.Errorf("add guest %s: %w", name, err)
	}
	return g, nil
}

func (l *Lab) startGuest(g *Guest, bridge string) error {
	err := g.sysctls(
		"net/ipv4/conf/all/forwarding", "0",
		"net/ipv6/conf/all/forwarding", "0",
		"net/ipv6/conf/default/accept_ra", "1",
		"net/ipv6/conf/default/autoconf", "1",
		"net/ipv6/conf/default/use_tempaddr", "0",
		"net/ipv6/conf/default/addr_gen_mode", "0", // EUI-64
	)
	if err != nil {
		return err
	}
	// Not every kernel knows route information (RFC 4191).
	err = g.sysctls("net/ipv6/conf/default/accept_ra_rt_info_max_plen", "128")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	portMAC := g.mac
	portMAC[0] = 0xfe
	server := l.nodes[Server]
	if err := cable(end{server, g.port, hardware(portMAC)}, end{g.Node, GuestLink, hardware(g.mac)}); err != nil {
		return err
	}
	// From its port on the server may answer for it.
	l.judge.AddGuest(g.mac)
	if err := l.plug(g, bridge); err != nil {
		return err
	}
	l.SetName(g.name, g.v4, g.v6)
	if err := g.Do(func() (err error) {
		g.catcher, err = wire.NewCatcher(GuestLink)
		return err
	}); err != nil {
		return err
	}
	if err := l.services.run("listener for router advertisements in "+g.name, g.catcher.Run); err != nil {
		return err
	}
	if g.cert, err = selfSigned(g.name + "." + ZoneName[:len(ZoneName)-1]); err != nil {
		return err
	}
	if err := l.serveWeb(g.Node, netip.IPv6Unspecified(), g.cert); err != nil {
		return err
	}
	g.started = time.Now()
	return g.up(GuestLink)
}

// plug puts a guest's port on a bridge of the server.
func (l *Lab) plug(g *Guest, bridge string) error {
	server := l.nodes[Server]
	br, err := server.link(bridge)
	if err != nil {
		return err
	}
	port, err := server.link(g.port)
	if err != nil {
		return err
	}
	if err := server.nl.LinkSetMTU(port, br.Attrs().MTU); err != nil {
		return fmt.Errorf("set MTU of %s: %w", g.port, err)
	}
	if err := server.nl.LinkSetMaster(port, br); err != nil {
		return fmt.Errorf("put %s on %s: %w", g.port, bridge, err)
	}
	return server.up(g.port)
}

// MAC is the guest's own.
func (g *Guest) MAC() wire.MAC { return g.mac }

// Port is the name of the server's interface that leads to the guest.
func (g *Guest) Port() string { return g.port }

// Started is when the guest's link came up.
func (g *Guest) Started() time.Time { return g.started }

// Certificate is what the guest's web server shows, its own authority.
func (g *Guest) Certificate() *x509.Certificate { return g.cert.Leaf }

// Advertisements holds the router advertisements that have reached the guest.
func (g *Guest) Advertisements() *wire.Catcher { return g.catcher }

// RDNSS returns the DNS servers of the newest advertisement that names some
// whose lifetime is not 0 (RFC 8106 section 5.1).
func (g *Guest) RDNSS() []netip.Addr {
	seen := g.catcher.Seen()
	for i := len(seen) - 1; i >= 0; i-- {
		var servers []netip.Addr
		for _, o := range seen[i].RDNSS {
			if o.Lifetime > 0 {
				servers = append(servers, o.Servers...)
			}
		}
		if len(servers) > 0 {
			return servers
		}
	}
	return nil
}

// WaitAddress waits until the guest can use the address that its MAC and the
// server's prefix predict, and has a default route. It returns how long that took
// from the start of the guest.
func (g *Guest) WaitAddress(ctx context.Context) (time.Duration, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		addrs, err := g.Addrs(GuestLink)
		if err != nil {
			return 0, err
		}
		usable := false
		for _, a := range addrs {
			usable = usable || a.Prefix.Addr() == g.v6 && !a.Tentative
		}
		if usable {
			gws, err := g.DefaultRoutes()
			if err != nil {
				return 0, err
			}
			if len(gws) > 0 {
				return time.Since(g.started), nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for %v and a default route in guest %s, which has %v: %w", g.v6, g.name, addrs, context.Cause(ctx))
		}
	}
}
