package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/slaac"
)

const (
	// patience is how long something that should answer may take.
	patience = 3 * time.Second
	// silence is how long something that must not answer is listened to.
	silence = 1200 * time.Millisecond
)

// resolver is the name server the guest was told of.
func resolver(g *lab.Guest) (*probe.Resolver, error) {
	servers := g.RDNSS()
	if len(servers) == 0 {
		return nil, errors.New("was told no name server")
	}
	return &probe.Resolver{Server: netip.AddrPortFrom(servers[0], 53)}, nil
}

// same fetches a page and compares it with what its server has.
func same(ctx context.Context, from *lab.Node, url, server, path string, o probe.FetchOptions) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	got, err := probe.Fetch(ctx, from.NS(), url, o)
	if err != nil {
		return err
	}
	if want := lab.Page(server, path); !bytes.Equal(got.Body, want) {
		return fmt.Errorf("%s: status %d, %d bytes that differ from the server's %d", url, got.Status, len(got.Body), len(want))
	}
	return nil
}

func (r *labRun) trafficChecks() []labCheck {
	guests := r.some()
	want := nat64.WellKnown()
	each := func(what string, fn func(context.Context, *lab.Guest) error) func(context.Context) (bool, string) {
		return func(ctx context.Context) (bool, string) {
			return r.forGuests(guests, what, func(g *lab.Guest) error { return fn(ctx, g) })
		}
	}
	return []labCheck{
		{"guests resolve an IPv4-only name through DNS64", each("guests", func(ctx context.Context, g *lab.Guest) error {
			res, err := resolver(g)
			if err != nil {
				return err
			}
			addrs, err := res.Lookup(ctx, g.NS(), lab.NameV4Only)
			if err != nil {
				return err
			}
			web4 := want.Embed(r.lab.Node(lab.Web4).IPv4())
			if len(addrs) != 1 || addrs[0] != web4 {
				return fmt.Errorf("%s is %v, want %s", lab.NameV4Only, addrs, web4)
			}
			return nil
		})},
		{"guests fetch from the IPv4-only server through NAT64", each(fmt.Sprintf("guests, %d bytes each the same", len(lab.Page(lab.Web4, lab.PathLarge))), func(ctx context.Context, g *lab.Guest) error {
			res, err := resolver(g)
			if err != nil {
				return err
			}
			return same(ctx, g.Node, "http://"+lab.NameV4Only+lab.PathLarge, lab.Web4, lab.PathLarge, probe.FetchOptions{Resolver: res})
		})},
		{"guests fetch from the IPv6 server", each(fmt.Sprintf("guests, %d bytes each the same", len(lab.Page(lab.Web6, lab.PathLarge))), func(ctx context.Context, g *lab.Guest) error {
			at := netip.AddrPortFrom(r.lab.Node(lab.Web6).IPv6(), 80)
			return same(ctx, g.Node, "http://"+lab.NameV6Only+lab.PathLarge, lab.Web6, lab.PathLarge, probe.FetchOptions{Addr: at})
		})},
		{"a client beyond the provider fetches from guests over IPv6", each("guests", func(ctx context.Context, g *lab.Guest) error {
			at := netip.AddrPortFrom(g.IPv6(), 80)
			return same(ctx, r.lab.Node(lab.Client6), "http://"+g.Name()+"."+zone()+lab.PathLarge, g.Name(), lab.PathLarge, probe.FetchOptions{Addr: at})
		})},
	}
}

// refusalChecks ask for what must not be had. A refusal must be spoken: that
// nobody answers from an address nobody has would prove nothing.
func (r *labRun) refusalChecks() []labCheck {
	guest := r.lab.Guests()[0]
	var list []labCheck
	for _, d := range []struct {
		name string
		to   netip.AddrPort
	}{
		{"a documentation address", netip.MustParseAddrPort("192.0.2.80:80")},
		{"a private address (RFC 1918)", netip.MustParseAddrPort("10.0.0.1:80")},
		{"a loopback address", netip.MustParseAddrPort("127.0.0.1:22")},
		{"the host's own IPv4 address", netip.AddrPortFrom(lab.ServerIPv4().Addr(), lab.ServiceTCP)},
	} {
		list = append(list, labCheck{"NAT64 refuses " + d.name, func(ctx context.Context) (bool, string) {
			to := nat64.WellKnown().Embed(d.to.Addr())
			a := probe.TryTCP(ctx, guest.NS(), netip.AddrPortFrom(to, d.to.Port()), patience)
			// ICMPv6 type 1 code 1: communication administratively prohibited (RFC
			// 4443, 3.1). That somebody farther on has no route would prove nothing.
			return a.Outcome == probe.RefusedBy && strings.Contains(a.Detail, "type 1 code 1"), a.String()
		}})
	}
	return append(list,
		labCheck{"DNS64 does not answer the provider's side", func(ctx context.Context) (bool, string) {
			at := netip.AddrPortFrom(predictedServer(), 53)
			from := r.lab.Node(lab.Provider).NS()
			return unanswered(
				probe.TryDNS(ctx, from, at, lab.NameV4Only, probe.TypeAAAA, silence),
				probe.TryTCP(ctx, from, at, silence))
		}},
		labCheck{"NAT64 does not carry for the provider's side", func(ctx context.Context) (bool, string) {
			web4 := nat64.WellKnown().Embed(r.lab.Node(lab.Web4).IPv4())
			if err := r.routeToServer(nat64.WellKnown().Prefix()); err != nil {
				return false, err.Error()
			}
			from := r.lab.Node(lab.Provider).NS()
			return unanswered(
				probe.TryTCP(ctx, from, netip.AddrPortFrom(web4, 80), silence),
				probe.TryPing(ctx, from, web4, silence))
		}})
}

func unanswered(attempts ...probe.Attempt) (bool, string) {
	if err := probe.Unanswered(attempts...); err != nil {
		return false, err.Error()
	}
	s := ""
	for i, a := range attempts {
		if i > 0 {
			s += "; "
		}
		s += a.What + ": " + a.Outcome.String()
	}
	return true, s
}

// routeToServer makes the provider send a prefix to the server, as it sends
// the /64.
func (r *labRun) routeToServer(p netip.Prefix) error {
	h, err := r.lab.Node(lab.Provider).NS().Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	port, err := h.LinkByName(r.lab.RouterLink())
	if err != nil {
		return fmt.Errorf("find the provider's port: %w", err)
	}
	_, dst, err := net.ParseCIDR(p.String())
	if err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: port.Attrs().Index, Dst: dst, Gw: slaac.LinkLocal(serverMAC()).AsSlice()}
	if err := h.RouteReplace(route); err != nil {
		return fmt.Errorf("route %s to the server: %w", p, err)
	}
	return nil
}

func (r *labRun) frontDoorChecks() []labCheck {
	guests := r.some()
	client := r.lab.Node(lab.Client4)
	dns := &probe.Resolver{Server: r.lab.Resolvers()[0], Types: []uint16{probe.TypeA}}
	return []labCheck{
		{"an IPv4 client fetches from guests by name, HTTP", func(ctx context.Context) (bool, string) {
			return r.forGuests(guests, "guests", func(g *lab.Guest) error {
				return same(ctx, client, "http://"+g.Name()+"."+zone()+lab.PathLarge, g.Name(), lab.PathLarge, probe.FetchOptions{Resolver: dns})
			})
		}},
		{"an IPv4 client fetches from guests by name, TLS passed through", func(ctx context.Context) (bool, string) {
			return r.forGuests(guests, "guests, their own certificates", func(g *lab.Guest) error {
				roots := x509.NewCertPool()
				roots.AddCert(g.Certificate())
				return same(ctx, client, "https://"+g.Name()+"."+zone()+lab.PathLarge, g.Name(), lab.PathLarge, probe.FetchOptions{Resolver: dns, Roots: roots})
			})
		}},
		{"an IPv4 client fetches from a guest by an exposed port", func(ctx context.Context) (bool, string) {
			name := guestName(0)
			url := fmt.Sprintf("http://%s:%d%s", lab.ServerIPv4().Addr(), labExposed, lab.PathLarge)
			if err := same(ctx, client, url, name, lab.PathLarge, probe.FetchOptions{}); err != nil {
				return false, err.Error()
			}
			return true, fmt.Sprintf("%s, %d bytes the same, without the front door", url, len(lab.Page(name, lab.PathLarge)))
		}},
	}
}
