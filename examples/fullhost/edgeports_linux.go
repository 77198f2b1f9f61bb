package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nldump"
)

// readPorts lists the ports of all bridges.
func readPorts() ([]bridgePort, error) {
	links, err := nldump.Retry(netlink.LinkList)
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

// linkBuffer is the receive buffer of link events: a burst of a thousand ports
// that come and go fits in.
const linkBuffer = 4 << 20

// linkEvents is a subscription to changes of links.
type linkEvents struct {
	updates chan netlink.LinkUpdate
	done    chan struct{}
	failed  chan error // the error that ended it
}

func newLinkEvents() (*linkEvents, error) {
	var err error
	// Not every process may have more than the system's limit.
	for _, force := range []bool{true, false} {
		e := &linkEvents{make(chan netlink.LinkUpdate, 64), make(chan struct{}), make(chan error, 1)}
		err = netlink.LinkSubscribeWithOptions(e.updates, e.done, netlink.LinkSubscribeOptions{
			ReceiveBufferSize: linkBuffer, ReceiveBufferForceSize: force,
			ErrorCallback: func(err error) {
				select {
				case <-e.failed: // the last is the one that counts
				default:
				}
				e.failed <- err
			},
		})
		if err == nil {
			return e, nil
		}
		close(e.done)
		if !errors.Is(err, unix.EPERM) {
			break
		}
	}
	return nil, fmt.Errorf("subscribe to changes of links: %w", err)
}

// run calls changed whenever a link comes, goes or changes, until ctx ends. Where
// changes were lost, because there were more than the socket holds, it subscribes
// anew and calls changed for all of them.
func (e *linkEvents) run(ctx context.Context, changed func(), lost func(error)) {
	for {
		e.follow(ctx, changed)
		if ctx.Err() != nil {
			return
		}
		err := errors.New("the subscription has ended")
		select {
		case err = <-e.failed:
		default:
		}
		for {
			lost(err)
			var again *linkEvents
			if again, err = newLinkEvents(); err == nil {
				e = again
				break
			}
			if sleep(ctx, watchAgain) != nil {
				return
			}
		}
		changed()
	}
}

// follow passes on what comes until the subscription or ctx ends.
func (e *linkEvents) follow(ctx context.Context, changed func()) {
	defer close(e.done)
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-e.updates:
			if !open {
				return
			}
			changed()
		}
	}
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
