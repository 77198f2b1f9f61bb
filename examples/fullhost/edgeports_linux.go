package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// otherPorts lists the ports of bridges other than ours.
func otherPorts(bridge string) ([]string, error) {
	var links []netlink.Link
	var err error
	for range 5 {
		// A dump that something changed under is no picture.
		if links, err = netlink.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list the ports of other bridges: %w", err)
	}
	others := map[int]bool{}
	for _, l := range links {
		if l.Type() == "bridge" && l.Attrs().Name != bridge {
			others[l.Attrs().Index] = true
		}
	}
	var list []string
	for _, l := range links {
		if others[l.Attrs().MasterIndex] {
			list = append(list, l.Attrs().Name)
		}
	}
	slices.Sort(list)
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
