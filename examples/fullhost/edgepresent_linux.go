package main

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// presentPorts are the bridge's ports that are up and have somebody at their
// other end.
func presentPorts(bridge string) (map[string]bool, error) {
	var links []netlink.Link
	var err error
	for range 5 {
		// A dump that something changed under is no picture.
		if links, err = netlink.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list the ports of %s: %w", bridge, err)
	}
	index := 0
	for _, l := range links {
		if l.Attrs().Name == bridge {
			index = l.Attrs().Index
		}
	}
	ports := make(map[string]bool)
	for _, l := range links {
		// IFF_LOWER_UP: there is a carrier.
		if a := l.Attrs(); index != 0 && a.MasterIndex == index && a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0 {
			ports[a.Name] = true
		}
	}
	return ports, nil
}
