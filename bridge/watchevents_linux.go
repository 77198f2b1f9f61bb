package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	route "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
)

// watchEvents receives rtnetlink's notifications and keeps what matters of
// them until somebody asks.
type watchEvents struct {
	cfg  WatchConfig
	home *netns.Home
	// wake has an element when there is something to take.
	wake chan struct{}

	mu        sync.Mutex
	conn      *route.Conn
	closed    bool
	ours      map[int32]bool // indexes of the scope's links; nil: not known
	concerned bool
	asking    []asker
	told      int // of asking, how many were reported
	lost      bool
}

// askersKept is how many are remembered between two looks.
const askersKept = 8

func newWatchEvents(home *netns.Home, cfg WatchConfig) (*watchEvents, error) {
	e := &watchEvents{cfg: cfg, home: home, wake: make(chan struct{}, 1)}
	return e, e.subscribe()
}

// subscribe opens a new subscription in place of the one before.
func (e *watchEvents) subscribe() error {
	var c *route.Conn
	err := e.home.Do(func() (err error) {
		c, err = route.Dial(unix.NETLINK_ROUTE, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("open route netlink: %w", err)
	}
	if err := c.SetReadBuffer(e.cfg.readBuffer); err != nil {
		return errors.Join(fmt.Errorf("set the receive buffer of route netlink: %w", err), c.Close())
	}
	for _, group := range []uint32{
		unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV4_NETCONF,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV6_NETCONF,
	} {
		if err := c.JoinGroup(group); err != nil {
			return errors.Join(fmt.Errorf("join route netlink group %d: %w", group, err), c.Close())
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errors.Join(os.ErrClosed, c.Close())
	}
	old := e.conn
	e.conn = c
	if old != nil {
		return old.Close()
	}
	return nil
}

func (e *watchEvents) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.conn == nil {
		return nil
	}
	e.closed = true
	return e.conn.Close()
}

// run receives until it is closed.
func (e *watchEvents) run() error {
	for {
		e.mu.Lock()
		c, closed := e.conn, e.closed
		e.mu.Unlock()
		if closed {
			return os.ErrClosed
		}
		msgs, err := c.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			// Until its queue is empty the kernel keeps the socket from everything new,
			// without a word. A new one misses nothing from now on, and what was missed
			// the look that follows sees.
			if err := e.subscribe(); err != nil {
				return err
			}
			e.mu.Lock()
			e.ours, e.lost = nil, true
			e.mu.Unlock()
			e.note(true, nil)
			continue
		}
		if err != nil {
			return fmt.Errorf("receive route netlink event: %w", err)
		}
		for _, m := range msgs {
			concerned := e.concerns(m)
			var who *asker
			if concerned {
				who = askerOf(m.Header.PID)
			}
			e.note(concerned, who)
		}
	}
}

func (e *watchEvents) note(concerned bool, who *asker) {
	e.mu.Lock()
	e.concerned = e.concerned || concerned
	// The first are those that began it; what comes later may be the way back.
	if who != nil && len(e.asking) < askersKept && !slices.ContainsFunc(e.asking, func(o asker) bool { return o.port == who.port }) {
		e.asking = append(e.asking, *who)
	}
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// take reports whether one of the events since the last time concerned what is
// wanted.
func (e *watchEvents) take() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.concerned
	e.concerned = false
	return c
}

// suspects names those who asked for changes since they were forgotten, and
// tells whether notifications were lost.
func (e *watchEvents) suspects() (list []Suspect, lost bool) {
	e.mu.Lock()
	asking, lost := slices.Clone(e.asking), e.lost
	e.told = len(asking)
	e.mu.Unlock()
	return suspectsOf(asking), lost
}

// forgetTold clears whom suspects has named: what they did is dealt with.
func (e *watchEvents) forgetTold() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.told > 0 {
		e.lost = false
	}
	e.asking, e.told = slices.Delete(e.asking, 0, e.told), 0
}

// forget clears who asked.
func (e *watchEvents) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asking, e.told, e.lost = nil, 0, false
}

// learn takes the indexes of the scope's links from a list of all.
func (e *watchEvents) learn(links []netlink.Link) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ours == nil {
		e.ours = make(map[int32]bool)
	}
	for _, l := range links {
		if a := l.Attrs(); e.names(a.Name) {
			e.ours[int32(a.Index)] = true
		}
	}
}

func (e *watchEvents) names(link string) bool {
	return link == e.cfg.Wanted.Uplink || link == e.cfg.Wanted.Bridge
}

func (e *watchEvents) isOurs(index int32) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ours == nil || e.ours[index]
}

// follow keeps the indexes as links come, go and are renamed, and reports
// whether the link is or was one of the scope's.
func (e *watchEvents) follow(gone bool, index int32, name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ours == nil {
		return true
	}
	was, is := e.ours[index], e.names(name)
	if is && !gone {
		e.ours[index] = true
	} else {
		delete(e.ours, index)
	}
	return was || is
}

// Numbers of linux/netconf.h.
const (
	netconfLen   = 4 // struct netconfmsg, padded
	netconfIndex = 1 // NETCONFA_IFINDEX
)

// concerns reports whether an event is about what is wanted.
func (e *watchEvents) concerns(m route.Message) bool {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(m.Data) < unix.SizeofIfInfomsg {
			return false
		}
		// Of a bridge's family it is only the port's membership that ends.
		gone := m.Header.Type == unix.RTM_DELLINK && m.Data[0] != unix.AF_BRIDGE
		return e.follow(gone, int32(binary.NativeEndian.Uint32(m.Data[4:])), attributes(m.Data[unix.SizeofIfInfomsg:]).text(unix.IFLA_IFNAME))
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return len(m.Data) >= unix.SizeofIfAddrmsg && e.isOurs(int32(binary.NativeEndian.Uint32(m.Data[4:])))
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		return len(m.Data) >= unix.SizeofNdMsg && e.isOurs(int32(binary.NativeEndian.Uint32(m.Data[4:]))) && e.permanentNeighbor(m)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return len(m.Data) >= unix.SizeofRtMsg && e.concernsRoute(m.Header.Type, m.Data)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		return true
	case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		if len(m.Data) < netconfLen {
			return false
		}
		index, ok := attributes(m.Data[netconfLen:]).int32(netconfIndex)
		return ok && (index < 0 || e.isOurs(index)) // below zero: all, default
	}
	return false
}

// permanentNeighbor reports whether a neighbour is, or may have been, one that
// is wanted. The others come and go by themselves.
func (e *watchEvents) permanentNeighbor(m route.Message) bool {
	if m.Data[0] != unix.AF_INET && m.Data[0] != unix.AF_INET6 {
		return false // a bridge's forwarding entries
	}
	ip, ok := attributes(m.Data[unix.SizeofNdMsg:]).ip(unix.NDA_DST)
	return ok && slices.ContainsFunc(e.cfg.Wanted.Neighbors, func(n Neighbor) bool { return n.Permanent && n.IP == ip })
}

// concernsRoute tells routes through the scope's links and those in the place
// of wanted ones, but for what the kernel makes of addresses.
func (e *watchEvents) concernsRoute(kind route.HeaderType, data []byte) bool {
	family, bits, protocol, flags := data[0], int(data[1]), data[5], binary.NativeEndian.Uint32(data[8:])
	attrs := attributes(data[unix.SizeofRtMsg:])
	table := uint32(data[4])
	if t, ok := attrs.int32(unix.RTA_TABLE); ok {
		table = uint32(t)
	}
	if table == unix.RT_TABLE_LOCAL && kind == unix.RTM_DELROUTE {
		dst, ok := attrs.ip(unix.RTA_DST)
		return ok && hasIP(e.cfg.Wanted.Addrs, dst)
	}
	if table == unix.RT_TABLE_LOCAL || protocol == protocolKernel || flags&unix.RTM_F_CLONED != 0 {
		return false
	}
	if index, ok := attrs.int32(unix.RTA_OIF); ok && e.isOurs(index) || !ok {
		return true
	}
	ip := netip.IPv6Unspecified()
	if family == unix.AF_INET {
		ip = netip.IPv4Unspecified()
	}
	if dst, ok := attrs.ip(unix.RTA_DST); ok {
		ip = dst
	}
	dst := netip.PrefixFrom(ip, bits)
	return slices.ContainsFunc(e.cfg.Wanted.Routes, func(r Route) bool { return r.Dst == dst && uint32(r.Table) == table })
}

// attributes are a notification's, encoded.
type attributes []byte

func (a attributes) find(kind uint16) ([]byte, bool) {
	d, err := route.NewAttributeDecoder(a)
	if err != nil {
		return nil, false
	}
	for d.Next() {
		if d.Type() == kind {
			return d.Bytes(), true
		}
	}
	return nil, false
}

func (a attributes) int32(kind uint16) (int32, bool) {
	b, ok := a.find(kind)
	if !ok || len(b) != 4 {
		return 0, false
	}
	return int32(binary.NativeEndian.Uint32(b)), true
}

func (a attributes) text(kind uint16) string {
	b, _ := a.find(kind)
	if n := len(b); n > 0 && b[n-1] == 0 {
		b = b[:n-1]
	}
	return string(b)
}

func (a attributes) ip(kind uint16) (netip.Addr, bool) {
	b, ok := a.find(kind)
	if !ok {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(net.IP(b))
}
