package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/plan/rollback/health"
)

// listener is a socket of this host that waits for whoever comes.
type listener struct {
	protocol string         // tcp or udp
	at       netip.AddrPort // the unspecified IPv4 address for all of them
	who      string         // whose it is, "" if it is run's own
}

// covers reports whether what comes to a port of an address of the host's is the
// socket's.
func (l listener) covers(protocol string, a netip.AddrPort) bool {
	return (protocol == "" || l.protocol == protocol) && l.at.Port() == a.Port() &&
		(l.at.Addr().IsUnspecified() || l.at.Addr() == a.Addr())
}

// refuseTaken refuses to lead to a guest what the host itself is reached by or
// serves at the moment. What was confirmed before is not asked about again: a
// program that has taken the same port since gets nothing there.
func (h host) refuseTaken(ctx context.Context) error {
	last, err := loadConfirmed(h.config.path)
	if err != nil {
		return err
	}
	var in taking
	for i, c := range h.config.Expose {
		if last != nil && slices.Contains(last.Expose, c) {
			continue
		}
		if in.listeners == nil {
			if in, err = h.readTaking(ctx); err != nil {
				return err
			}
		}
		if reason := in.from(h.exposed[i], c.Guest, h.ipv4); reason != "" {
			return &plan.Refusal{Subject: "expose", Reason: reason, Err: gateway.ErrExpose}
		}
	}
	return nil
}

// taking is what could be taken from the host.
type taking struct {
	listeners []listener
	session   health.Connection // of the operator, if there is one
	source    netip.Addr        // what the host itself uses
}

func (h host) readTaking(ctx context.Context) (in taking, err error) {
	if in.listeners, err = localListeners(ctx); err != nil {
		return in, err
	}
	in.session, err = health.SessionOf(ctx, os.Getpid())
	if err != nil && !errors.Is(err, health.ErrNoSession) {
		return in, err
	}
	for _, r := range h.wanted.Routes {
		if r.Dst == netip.PrefixFrom(netip.IPv4Unspecified(), 0) && r.Source.IsValid() {
			in.source = r.Source
			return in, nil
		}
	}
	in.source, err = ownSource()
	return in, err
}

// from tells what e would take from the host, "" if nothing.
func (in taking) from(e gateway.Expose, guest string, ipv4 []netip.Addr) string {
	if e.Port == 0 {
		switch e.Address {
		case in.source:
			return fmt.Sprintf("%s is the address that the host itself uses, and leading all of it to %s would cut the host off; lead another address, or single ports", e.Address, guest)
		case in.session.Local.Addr():
			return fmt.Sprintf("%s is the address that you are logged in by, from %s, and leading all of it to %s would lock you out", e.Address, in.session.Peer.Addr(), guest)
		}
		for _, l := range in.listeners {
			if l.at.Addr() == e.Address && l.who != "" {
				return fmt.Sprintf("%s listens on %s port %d of %s, and leading all of the address to %s would take that away", l.who, l.protocol, l.at.Port(), e.Address, guest)
			}
		}
		return ""
	}
	for _, a := range ipv4 {
		if e.Address.IsValid() && e.Address != a {
			continue
		}
		at := netip.AddrPortFrom(a, e.Port)
		if in.session.Local == at && e.Protocol != "udp" {
			return fmt.Sprintf("tcp port %d of %s is what you are logged in by, from %s; lead another port to port %d of %s (guest_port)", e.Port, a, in.session.Peer.Addr(), e.Port, guest)
		}
		for _, l := range in.listeners {
			if l.covers(e.Protocol, at) && l.who != "" {
				return fmt.Sprintf("%s listens on %s port %d of %s, and leading it to %s would take that away; lead another port to it (guest_port), or stop what listens", l.who, l.protocol, e.Port, a, guest)
			}
		}
	}
	return ""
}
