package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// readPorts lists the ports of all bridges.
func readPorts() ([]bridgePort, error) {
	var links []netlink.Link
	var err error
	for range 5 {
		// A dump that something changed under is no picture.
		if links, err = netlink.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list the ports of bridges: %w", err)
	}
	bridges := make(map[int]string)
	for _, l := range links {
		if l.Type() == "bridge" {
			bridges[l.Attrs().Index] = l.Attrs().Name
		}
	}
	var list []bridgePort
	for _, l := range links {
		a := l.Attrs()
		if bridge, enslaved := bridges[a.MasterIndex]; enslaved {
			p := bridgePort{bridge: bridge, name: a.Name}
			copy(p.mac[:], a.HardwareAddr)
			// IFF_LOWER_UP: there is a carrier.
			p.up = a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b bridgePort) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// linkEvents calls changed whenever a link comes, goes or changes, until done is
// closed.
func linkEvents(done <-chan struct{}, changed func(), failed func(error)) error {
	ch := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribeWithOptions(ch, done, netlink.LinkSubscribeOptions{ErrorCallback: failed}); err != nil {
		return fmt.Errorf("subscribe to changes of links: %w", err)
	}
	go func() {
		for range ch {
			changed()
		}
	}()
	return nil
}

// neighborEvents does the same for neighbors.
func neighborEvents(done <-chan struct{}, changed func(), failed func(error)) error {
	ch := make(chan netlink.NeighUpdate, 64)
	if err := netlink.NeighSubscribeWithOptions(ch, done, netlink.NeighSubscribeOptions{ErrorCallback: failed}); err != nil {
		return fmt.Errorf("subscribe to changes of neighbors: %w", err)
	}
	go func() {
		for range ch {
			changed()
		}
	}()
	return nil
}
