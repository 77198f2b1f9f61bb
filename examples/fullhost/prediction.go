package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sixhost/sixhost/slaac"
)

// neighbor is an entry of the host's neighbour table on the bridge: somebody
// has answered for the address.
type neighbor struct {
	Addr netip.Addr
	MAC  slaac.MAC
}

// misprediction is a guest that uses another address than the one known in
// advance.
type misprediction struct {
	Guest  string
	Want   netip.Addr
	Uses   netip.Addr
	Beside bool // it has the one known in advance too
}

// String tells it, with the one setting to change in the guest.
func (m misprediction) String() string {
	if m.Beside {
		return fmt.Sprintf("guest %s uses %s beside %s, most likely a privacy address (RFC 8981): set net.ipv6.conf.all.use_tempaddr=0 and net.ipv6.conf.default.use_tempaddr=0 in it, or IPv6PrivacyExtensions=no for networkd", m.Guest, m.Uses, m.Want)
	}
	return fmt.Sprintf("guest %s uses %s and not %s, most likely a stable opaque address (RFC 7217): set ipv6.addr-gen-mode=eui64 in its NetworkManager connection, \"slaac hwaddr\" in its dhcpcd.conf, or net.ipv6.conf.default.addr_gen_mode=0 where the kernel makes it", m.Guest, m.Uses, m.Want)
}

// answerTime is how long a guest may take to answer for an address of its own.
const answerTime = time.Second

// mispredictions looks in the neighbour table for guests that use another
// address. Which setting is to be changed depends on whether a guest has the one
// known in advance too, which it need not have used of late: it is asked.
func (h host) mispredictions(ctx context.Context, guests []inventoryGuest) ([]misprediction, error) {
	table, err := h.neighbors(ctx)
	if err != nil {
		return nil, err
	}
	list := mispredicted(h.prefix, guests, table)
	open := slices.DeleteFunc(slices.Clone(list), func(m misprediction) bool { return m.Beside })
	for end := time.Now().Add(answerTime); len(open) > 0 && time.Now().Before(end); {
		for _, m := range open {
			if err := solicit(m.Want); err != nil {
				return nil, err
			}
		}
		if err := sleep(ctx, answerTime/10); err != nil {
			return nil, err
		}
		if table, err = h.neighbors(ctx); err != nil {
			return nil, err
		}
		list = mispredicted(h.prefix, guests, table)
		open = slices.DeleteFunc(open, func(m misprediction) bool {
			return slices.ContainsFunc(list, func(n misprediction) bool { return n.Guest == m.Guest && n.Beside })
		})
	}
	return list, nil
}

// mispredicted finds guests that the neighbour table knows by another address
// in the prefix than the predicted one.
func mispredicted(prefix netip.Prefix, guests []inventoryGuest, table []neighbor) (list []misprediction) {
	for _, g := range guests {
		if !g.Addr.IsValid() {
			continue
		}
		beside := slices.Contains(table, neighbor{g.Addr, g.MAC})
		for _, n := range table {
			if n.MAC == g.MAC && n.Addr != g.Addr && prefix.Contains(n.Addr) {
				list = append(list, misprediction{g.Name, g.Addr, n.Addr, beside})
				break // one is enough to change the setting
			}
		}
	}
	return list
}

// unheard are guests whose port is up and for whose address nobody has answered
// of late. They are asked again, so that the next look knows.
//
// A guest that is held to its list of addresses, as those of the file are unless
// they are open, can't be seen using another one: the edge drops all of it. That
// it does not answer where it should is what is left to see.
func (h host) unheard(ctx context.Context, guests []inventoryGuest) (list []inventoryGuest, err error) {
	ports, err := readPorts()
	if err != nil {
		return nil, err
	}
	table, err := h.neighbors(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range guests {
		up := slices.ContainsFunc(ports, func(p bridgePort) bool { return p.bridge == h.bridgeName && p.name == g.Port && p.up })
		if !up || !g.Addr.IsValid() || slices.Contains(table, neighbor{g.Addr, g.MAC}) {
			continue
		}
		if err := solicit(g.Addr); err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

// silent are those who are asked and do not answer within a moment.
func (h host) silent(ctx context.Context, guests []inventoryGuest) ([]inventoryGuest, error) {
	for end := time.Now().Add(answerTime); ; {
		list, err := h.unheard(ctx, guests)
		if err != nil || len(list) == 0 || time.Now().After(end) {
			return list, err
		}
		if err := sleep(ctx, answerTime/10); err != nil {
			return nil, err
		}
		guests = list
	}
}

// unansweredText says of a guest that it does not answer, and what that may mean.
func unansweredText(g inventoryGuest) string {
	return fmt.Sprintf("its port is up and it does not answer at %s: if it has started, it has another address, most likely a stable opaque one (RFC 7217), "+
		"which the edge keeps it from using: set ipv6.addr-gen-mode=eui64 in its NetworkManager connection, \"slaac hwaddr\" in its dhcpcd.conf, or "+
		"net.ipv6.conf.default.addr_gen_mode=0 where the kernel makes it", g.Addr)
}
