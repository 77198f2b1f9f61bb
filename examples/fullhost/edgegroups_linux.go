package main

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// portGroups are the reserved group addresses that a guest's port hands to the
// bridge, and so to the edge's rules, in place of the port's own IP stack, which
// no rule of the bridge family guards. The bridge's own mask can't name
// 01-80-C2-00-00-02. That of the spanning tree is the bridge's affair, and what
// is sent to -01 the kernel drops.
const portGroups = 0xfffc

// forwardGroups sets that for ports; one that is gone by now needs none.
func forwardGroups(ports []bridgePort) error {
	var errs []error
	for _, p := range ports {
		l, err := netlink.LinkByName(p.name)
		if err == nil {
			err = netlink.LinkSetBRSlaveGroupFwdMask(l, portGroups)
		}
		var none netlink.LinkNotFoundError
		if err != nil && !errors.As(err, &none) {
			errs = append(errs, fmt.Errorf("set group forwarding of %s: %w", p.name, err))
		}
	}
	return errors.Join(errs...)
}
