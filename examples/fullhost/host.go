package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/bridge/handover"
	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/guest/hostroute"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/nat64/dns64"
	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/persist"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/proxy"
	"github.com/sixhost/sixhost/ra"
	"github.com/sixhost/sixhost/slaac"
)

// host is the one source of truth: what the file says, completed by what the
// machine has. Every package's Config is derived from it, here and nowhere
// else.
type host struct {
	config config

	there  bridge.State // as the machine is
	wanted bridge.State // as it is to be

	bridgeName string
	uplink     string
	mac        slaac.MAC
	prefix     netip.Prefix
	address    netip.Addr          // the host's own in the prefix
	ipv4       []netip.Addr        // the host's public ones
	guests     []hostGuest         // those of the file, then those that only libvirt knows
	domains    libvirtguests.State // on the bridge, as run has last seen them
	edge       edgeInput
	exposed    []gateway.Expose
	warnings   []guest.Warning // about guests of the file
}

// hostGuest is a guest with what follows from its entry.
type hostGuest struct {
	guest.Guest
	address netip.Addr
	serve   []string
	// entry is the file's; nil for a guest that only libvirt knows.
	entry *guestConfig
	// port of the bridge that libvirt says such a guest has, "" where it does not
	// run.
	port string
}

// newHost reads the machine and completes the file.
func newHost(ctx context.Context, c config) (host, error) {
	h := host{config: c, bridgeName: c.Bridge, uplink: c.Uplink}
	if h.uplink == "" {
		uplink, err := bridge.DefaultUplink(ctx)
		if err != nil {
			return host{}, err
		}
		h.uplink = uplink
	}
	cfg := h.bridgeConfig()
	var err error
	if h.there, err = bridge.Capture(ctx, cfg.Scope()); err != nil {
		return host{}, err
	}
	h.wanted, err = cfg.State(h.there)
	if err != nil && !errors.Is(err, bridge.ErrDynamic) {
		return host{}, err
	}
	// Who renews what has a lifetime is worth more than that it has one.
	if err := refuseManager(ctx, h.uplink); err != nil {
		return host{}, err
	}
	if err != nil {
		return host{}, err
	}
	if h.prefix, err = cfg.HostPrefix(h.there); err != nil {
		return host{}, err
	}
	for _, l := range h.wanted.Links {
		if l.Name == h.uplink {
			h.mac = l.MAC
		}
	}
	for _, a := range h.wanted.Addrs {
		switch ip := a.Prefix.Addr(); {
		case ip.Is4():
			h.ipv4 = append(h.ipv4, ip)
		case h.prefix.Contains(ip) && !h.address.IsValid():
			h.address = ip
		}
	}
	if !h.address.IsValid() {
		return host{}, &plan.Refusal{Subject: "address", Reason: fmt.Sprintf("%s has no address in %s to keep; set address to slaac, or to one", h.uplink, h.prefix)}
	}
	if err := h.addGuests(); err != nil {
		return host{}, err
	}
	if err := h.addExposed(); err != nil {
		return host{}, err
	}
	h = h.recalled()
	return h, h.readEdge(ctx)
}

func (h *host) addGuests() error {
	var list []guest.Guest
	for _, g := range h.config.Guests {
		list = append(list, g.guest())
	}
	// What is only worth a warning (a guest's MAC that is not locally
	// administered) does not stop anything.
	var err error
	if h.warnings, err = guest.Validate(list, h.mac); err != nil {
		return &plan.Refusal{Subject: "guests", Reason: err.Error(), Err: err}
	}
	for i, g := range list {
		a, err := g.Addr(h.prefix)
		if err != nil {
			return fmt.Errorf("address of guest %s: %w", g.Name, err)
		}
		if a == h.address {
			return &plan.Refusal{Subject: "guests", Reason: fmt.Sprintf("%s would have the host's own address %s", g.Name, a)}
		}
		h.guests = append(h.guests, hostGuest{Guest: g, address: a, serve: g.Serve, entry: &h.config.Guests[i]})
	}
	return nil
}

// describe prints what was derived, for a reader who wants to know what the
// plan is about.
func (h host) describe(w io.Writer) {
	fmt.Fprintf(w, "Uplink %s, bridge %s, MAC %s.\n", h.uplink, h.bridgeName, h.mac)
	fmt.Fprintf(w, "Guests in %s, host %s", h.prefix, h.address)
	for _, a := range h.ipv4 {
		fmt.Fprintf(w, ", %s", a)
	}
	fmt.Fprintf(w, ". NAT64 %s.\n", h.config.NAT64.Prefix)
	if h.edge.how != "" {
		fmt.Fprintf(w, "The provider is %s: %s.\n", h.edge.kind, h.edge.how)
	}
	for _, g := range h.guests {
		fmt.Fprintf(w, "Guest %s: MAC %s, address %s.\n", g.Name, g.LinkAddr(), g.address)
	}
}

// fewGuests is what the machine should have room for in any case: guests can be
// started without being in the file.
const fewGuests = 64

func (h host) bridgeConfig() bridge.Config {
	return bridge.Config{
		Uplink:  h.uplink,
		Bridge:  h.config.Bridge,
		Prefix:  h.config.Prefix,
		Address: h.config.Address,
		Static:  h.config.Static,
		Guests:  max(len(h.config.Guests), fewGuests),
		Foreign: hostroute.Protocol,

		STP:            h.config.SpanningTree.Enabled,
		ForwardDelay:   h.config.SpanningTree.ForwardDelay,
		AcceptDeadTime: h.config.SpanningTree.AcceptDeadTime,
	}
}

// edgeConfig is the edge for a host that has the given addresses.
func (h host) edgeConfig(own []bridge.Addr) macrewrite.Config {
	c := macrewrite.Config{
		Uplink:   h.uplink,
		Bridge:   h.bridgeName,
		MAC:      h.mac,
		Prefix:   h.prefix,
		NAT64:    []netip.Prefix{h.config.NAT64.Prefix.Prefix()},
		GuestDNS: []netip.AddrPort{h.dnsListen()},

		Kind:       h.edge.kind,
		Guests:     h.edgeGuests(),
		Unlisted:   h.config.UnlistedGuests.Unlisted,
		OtherPorts: h.otherPorts(),
		Isolate:    h.config.IsolateGuests,
	}
	for _, a := range own {
		c.Host = append(c.Host, a.Prefix.Addr())
	}
	for _, r := range h.wanted.Routes {
		for _, via := range r.Gateways() {
			if !slices.Contains(c.Gateways, via) {
				c.Gateways = append(c.Gateways, via)
			}
		}
	}
	c.GatewayMACs = h.gatewayMACs()
	return c
}

// dnsListen is where guests find the name server: the host's own address.
func (h host) dnsListen() netip.AddrPort { return netip.AddrPortFrom(h.address, 53) }

func (h host) gatewayConfig(log *slog.Logger) gateway.Config {
	return gateway.Config{
		Prefix:    h.config.NAT64.Prefix,
		Guests:    h.prefix,
		GuestLink: h.bridgeName,
		Pool:      h.config.NAT64.Pool,
		Known:     h.knownGuests(),
		Routed:    h.routedGuests(),
		Pins:      h.config.NAT64.pins(),
		Expose:    h.exposed,
		Mappings:  filepath.Join(h.config.StateDir, "nat64.json"),
		Logger:    log,
	}
}

func (h host) dns64Config(upstreams []netip.AddrPort, log *slog.Logger) dns64.Config {
	hosts, err := h.hosts()
	if err != nil {
		log.Warn("the guests' names are known to nobody but the zone", "error", err)
	}
	return dns64.Config{
		Prefix:    h.config.NAT64.Prefix,
		Listen:    []netip.AddrPort{h.dnsListen()},
		Upstreams: upstreams,
		Clients:   []netip.Prefix{h.prefix},
		Logger:    log,

		NoSynthesis: h.plainClients(),
		Hosts:       hosts,
	}
}

func (h host) raConfig(log *slog.Logger) ra.Config {
	c := ra.Config{
		Interface: h.bridgeName,
		Prefixes:  []ra.Prefix{{Prefix: h.prefix, OffLink: h.edgeConfig(nil).OffLink()}},
		RDNSS:     []ra.RDNSS{{Servers: []netip.Addr{h.address}}},
		PREF64:    []ra.PREF64{{Prefix: h.config.NAT64.Prefix.Prefix()}},
		// The host is the only router its guests hear: the edge sees to that. So
		// no other router's answer can collide with ours, which is what the delay
		// of RFC 4861, 6.2.6 is for.
		SolicitedDelay: ra.Zero,
		Greet:          true,
		StateFile:      h.raState(),
		Logger:         log,
	}
	if h.config.DNS.Domain != "" {
		c.DNSSL = []ra.DNSSL{{Domains: []string{h.config.DNS.Domain}}}
	}
	for _, l := range h.wanted.Links {
		if l.Name == h.bridgeName {
			c.MTU = l.MTU
		}
	}
	return h.config.RA.over(c)
}

// proxyConfig is the front door, not wanted where no guest serves a name.
func (h host) proxyConfig(log *slog.Logger) (cfg proxy.Config, wanted bool) {
	cfg = proxy.Config{Routes: make(map[string]proxy.Route), Logger: log}
	for _, g := range h.guests {
		for _, name := range g.serve {
			cfg.Routes[name] = proxy.Route{Addr: g.address}
		}
	}
	for _, a := range h.ipv4 {
		if h.givenAway(a) && len(h.ipv4) > 1 {
			continue
		}
		for port, list := range map[uint16]*[]netip.AddrPort{80: &cfg.HTTP, 443: &cfg.TLS} {
			if !h.exposes(a, port) {
				*list = append(*list, netip.AddrPortFrom(a, port))
			}
		}
	}
	return cfg, len(cfg.Routes) > 0 && len(cfg.HTTP)+len(cfg.TLS) > 0
}

func (h host) persistConfig() (persist.Config, error) {
	c := persist.Config{
		Bridge:     h.wanted,
		Format:     h.config.Persist.Format,
		Root:       h.config.Persist.Root,
		StateDir:   h.config.StateDir,
		ConfigFile: h.config.path,
	}
	exe, err := os.Executable()
	if err != nil {
		return c, nil // no units without a program
	}
	c.Executable = exe
	c.Edge, err = h.edgeAtBoot()
	return c, err
}

// parts plans every package's share, in the order of the steps.
func (h host) parts(ctx context.Context) ([]part, error) {
	edge, last, err := h.edgeParts(ctx)
	if err != nil {
		return nil, err
	}
	move, err := partOf(bridge.Part, h.there, func(bridge.State) (bridge.State, error) { return h.wanted, nil }, bridge.Plan)
	if err != nil {
		return nil, err
	}
	translate, err := h.gatewayPart(ctx)
	if err != nil {
		return nil, err
	}
	routes, err := h.guestRoutesPart(ctx)
	if err != nil {
		return nil, err
	}
	files, format, err := h.persistPart(ctx)
	if err != nil {
		return nil, err
	}
	first, off, on, err := h.handoverParts(ctx, !files.plan.Empty(), format)
	if err != nil {
		return nil, err
	}
	return []part{first, edge, move, off, translate, routes, last, files, on}, nil
}

// handoverParts plans the hand-over from the manager that runs: off the bridge
// to be before all else, off the NIC after the move, on again with the files of
// the next boot. The captured state stands before all others, as the way back,
// which goes backwards, gives the manager the NIC when it is as it was.
func (h host) handoverParts(ctx context.Context, written bool, format persist.Format) (first, off, on part, err error) {
	there, err := handover.Capture(ctx, h.wanted.Scope)
	if err != nil {
		return first, off, on, err
	}
	if first.captured, err = plan.Capture(handover.Part, there); err != nil {
		return first, off, on, err
	}
	state := there
	to := func(c handover.Config) (plan.Plan, error) {
		c.Scope = h.wanted.Scope
		want, err := c.State(state)
		if err != nil {
			return plan.Plan{}, err
		}
		p, err := handover.Plan(state, want)
		state = want
		return p, err
	}
	if h.moving() {
		if first.plan, err = to(handover.Config{Ahead: true}); err != nil {
			return first, off, on, err
		}
		if off.plan, err = to(handover.Config{Moving: true}); err != nil {
			return first, off, on, err
		}
	}
	// Files below another root are none that a manager of this one reads.
	if format == persist.FormatNone || h.config.Persist.Root != "/" {
		return first, off, on, nil
	}
	state.Stale = written
	on.plan, err = to(handover.Config{Settled: true, Netplan: format == persist.FormatNetplan})
	on.plan = handover.Later(on.plan)
	return first, off, on, err
}

// moving reports whether the NIC is to become a port of the bridge.
func (h host) moving() bool {
	return slices.ContainsFunc(h.there.Links, func(l bridge.Link) bool { return l.Name == h.uplink && l.Master == "" })
}

// edgeParts plans the edge twice: for the apply phase, where the host has the
// address it is about to give up and the new one, and for the confirm phase.
func (h host) edgeParts(ctx context.Context) (first, last part, err error) {
	there, err := macrewrite.Capture(ctx)
	if err != nil {
		return part{}, part{}, err
	}
	during, err := h.edgeConfig(slices.Concat(h.wanted.Addrs, h.wanted.Retiring)).State()
	if err != nil {
		return part{}, part{}, err
	}
	after, err := h.edgeConfig(h.wanted.Addrs).State()
	if err != nil {
		return part{}, part{}, err
	}
	first, err = partOf(macrewrite.Part, there, func(macrewrite.State) (macrewrite.State, error) { return during, nil }, macrewrite.Plan)
	if err != nil {
		return part{}, part{}, err
	}
	last.plan, err = macrewrite.Plan(during, after)
	for i := range last.plan.Steps {
		last.plan.Steps[i].Phase = plan.Confirm
	}
	return first, last, err
}

func (h host) gatewayPart(ctx context.Context) (part, error) {
	cfg, err := h.gatewayConfig(nil).WithFreePool(ctx)
	if err != nil {
		return part{}, err
	}
	there, err := gateway.Capture(ctx, cfg.Scope())
	if err != nil {
		return part{}, err
	}
	return partOf(gateway.Part, there, cfg.State, gateway.Plan)
}

func (h host) persistPart(ctx context.Context) (part, persist.Format, error) {
	there, want, err := h.files(ctx)
	if err != nil {
		return part{}, "", err
	}
	files, err := partOf(persist.Part, there, func(persist.State) (persist.State, error) { return want, nil }, persist.Plan)
	if err != nil {
		return part{}, "", err
	}
	cfg, err := h.persistConfig()
	if err != nil {
		return part{}, "", err
	}
	format, err := cfg.FormatFor(there)
	return files, format, err
}

// checkPrivilege refuses where the network can't be changed.
func checkPrivilege() error { return bridge.CheckPrivilege() }
