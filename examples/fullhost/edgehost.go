package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/plan"
)

// provider is the key of that name: a kind, or auto. Without it the provider is
// taken for routed, as those are that the rest of the defaults is made for.
type provider struct {
	macrewrite.Kind
	auto bool
}

// UnmarshalText accepts auto, routed and on-link.
func (p *provider) UnmarshalText(b []byte) error {
	switch k := macrewrite.Kind(b); k {
	case macrewrite.Routed, macrewrite.OnLink:
		*p = provider{Kind: k}
	case "auto":
		*p = provider{auto: true}
	default:
		return fmt.Errorf("want auto, routed or on-link, not %q", b)
	}
	return nil
}

// unlisted is the key unlisted_guests.
type unlisted struct{ macrewrite.Unlisted }

// UnmarshalText accepts strict and drop.
func (u *unlisted) UnmarshalText(b []byte) error {
	switch v := macrewrite.Unlisted(b); v {
	case macrewrite.UnlistedStrict, macrewrite.UnlistedDrop:
		u.Unlisted = v
		return nil
	}
	return fmt.Errorf("want strict or drop, not %q", b)
}

// edgeInput is what the edge's rules need to know beyond the bridge's state.
type edgeInput struct {
	kind macrewrite.Kind
	// how the kind is known, where it was found out just now.
	how string
	// ports are those of all bridges, as they are at the moment.
	ports []bridgePort
	// gateways are those inside the /64, with the MACs from which their packets
	// must come.
	gateways []macrewrite.Neighbor
}

// readEdge completes h by what the edge has to know. The provider's kind is the
// one the file names. Where that is auto, it is that of the rules that stand, so
// that a host that is set up neither asks again nor depends on an answer; else
// it is found out by trying.
func (h *host) readEdge(ctx context.Context) error {
	var err error
	if h.edge.ports, err = readPorts(); err != nil {
		return err
	}
	inside := len(h.gatewaysInside()) > 0
	if !h.config.Provider.auto && !inside {
		h.edge.kind = h.config.Provider.Kind
		return nil
	}
	there, err := macrewrite.Capture(ctx)
	if err != nil {
		return err
	}
	if inside {
		h.edge.gateways = there.GatewayMACs()
	}
	if !h.config.Provider.auto {
		h.edge.kind = h.config.Provider.Kind
		return nil
	}
	if h.edge.kind = there.Kind(); h.edge.kind != "" {
		return nil
	}
	c := macrewrite.DetectConfig{Uplink: h.uplink, MAC: h.mac, Prefix: h.prefix, Used: h.has}
	for _, r := range h.wanted.Routes {
		for _, via := range r.Gateways() {
			if r.Dst.Bits() == 0 && via.Is6() && !c.Gateway.IsValid() {
				c.Gateway = via
			}
		}
	}
	if !c.Gateway.IsValid() {
		return &plan.Refusal{Subject: "provider", Reason: "there is no IPv6 default route by which to find out whether it is routed or on-link; set provider to one of them"}
	}
	d, err := macrewrite.Detect(ctx, c)
	if err != nil {
		return err
	}
	if d.Kind == "" {
		return &plan.Refusal{Subject: "provider", Reason: "it is not known whether it is routed or on-link (" + d.How + "); set provider to one of them"}
	}
	h.edge.kind, h.edge.how = d.Kind, d.How
	return nil
}

// has reports whether somebody here has an address.
func (h *host) has(a netip.Addr) bool {
	for _, addr := range h.there.Addrs {
		if addr.Prefix.Addr() == a {
			return true
		}
	}
	return slices.ContainsFunc(h.guests, func(g hostGuest) bool { return g.address == a })
}

// edgeGuests are the guests as the edge sees them. Those that only libvirt knows
// may take other addresses than that of their MAC, as nobody has said that they
// don't; where unlisted guests are dropped, they are among these.
func (h host) edgeGuests() []macrewrite.Guest {
	var list []macrewrite.Guest
	for _, g := range h.guests {
		if g.entry == nil && h.config.UnlistedGuests.Unlisted == macrewrite.UnlistedDrop {
			continue
		}
		port, _ := h.portOf(g)
		e := macrewrite.Guest{Name: g.Name, Port: port.name, MAC: g.LinkAddr(), ExtraIPv4: g.ExtraIPv4, Open: true}
		if g.entry != nil {
			e.Addrs, e.Open = slices.Clone(g.entry.Addresses), g.entry.Open
		}
		if slices.ContainsFunc(list, func(o macrewrite.Guest) bool { return o.Port == e.Port }) {
			e.Port = "" // two say the same, and one of them has to be wrong
		}
		if !slices.Contains(e.Addresses(h.prefix), g.address) {
			e.Addrs = append(e.Addrs, g.address)
		}
		list = append(list, e)
	}
	return list
}

// edgeAfter is the edge's wanted state once all is confirmed.
func (h host) edgeAfter() (macrewrite.State, error) { return h.edgeConfig(h.wanted.Addrs).State() }
