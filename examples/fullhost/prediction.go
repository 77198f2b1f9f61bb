package main

import (
	"fmt"
	"net/netip"
	"slices"

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
