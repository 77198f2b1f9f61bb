package macrewrite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/slaac"
)

// Answerer is the host's neighbour proxy towards an on-link provider: it answers
// solicitations of the segment for the addresses of the guests that are there,
// and ARP for their extra IPv4 addresses, and for no other, with the host's MAC.
//
// With a [Routed] provider it answers ARP alone, which is for hosts whose IPv4
// addresses are on-link although the /64 is routed.
type Answerer struct {
	home *netns.Home
	log  *slog.Logger
	wire *wire

	mu     sync.Mutex
	cfg    Config
	live   map[netip.Addr]bool // of both families
	groups map[netip.Addr]*net.UDPConn
	socks  map[*net.UDPConn]int // how many groups each holds
	index  int                  // of the bridge

	// asked is the account of looks at the table for addresses that are in no
	// list: as many as tokens, of which there are looksPerSecond more each second.
	tokens float64
	filled time.Time
}

const (
	looksPerSecond = 100
	looksBurst     = 200
	// groupsPerSocket stays below net.core.optmem_max, which limits the groups
	// that one socket can hold.
	groupsPerSocket = 50
	// reopenAfter is the pause before a link that was gone is looked for again.
	reopenAfter = time.Second
)

// NewAnswerer opens the uplink of the host that c describes, in the calling
// goroutine's network namespace. It hears from then on. It needs CAP_NET_RAW;
// whoever does not call Run closes it.
func NewAnswerer(c Config, log *slog.Logger) (*Answerer, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	home, err := netns.NewHome()
	if err != nil {
		return nil, fmt.Errorf("answer for guests: %w", err)
	}
	a := &Answerer{home: home, log: log, groups: map[netip.Addr]*net.UDPConn{}, socks: map[*net.UDPConn]int{}, tokens: looksBurst, filled: time.Now()}
	if err := a.open(c.Uplink); err != nil {
		return nil, errors.Join(fmt.Errorf("answer for guests: %w", err), home.Close())
	}
	a.Guests(c)
	return a, nil
}

func (a *Answerer) open(uplink string) error {
	return a.home.Do(func() (err error) {
		a.wire, err = openWire(uplink, typeSolicitation)
		return err
	})
}

// Close lets go of everything. After Run there is nothing left to close.
func (a *Answerer) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	errs := []error{a.home.Close()}
	if a.wire != nil {
		errs = append(errs, a.wire.Close())
	}
	for s := range a.socks {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Guests tells of a changed list of guests: c is what the edge's rules are made
// of now. Guests that are new are announced to the segment, so that a router
// that has known them elsewhere finds them here; who is gone is answered for no
// more.
func (a *Answerer) Guests(c Config) {
	c = c.withDefaults()
	live := map[netip.Addr]bool{}
	for _, g := range c.Guests {
		for _, addr := range g.ExtraIPv4 {
			live[addr] = true
		}
		if c.Kind != OnLink {
			continue
		}
		for _, addr := range g.Addresses(c.Prefix) {
			live[addr] = true
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.live
	a.cfg, a.live = c, live
	for addr := range live {
		if !before[addr] && a.wire != nil {
			out := announcement(c.MAC, addr).frame
			if addr.Is6() {
				out = advertisement(c.MAC, addr, allNodes(), slaac.MulticastMAC(allNodes()), flagOverride).frame
			}
			if err := a.wire.send(out()); err != nil {
				a.log.Warn("a guest could not be announced to the segment", "address", addr, "error", err)
			}
		}
	}
	a.joinGroups()
}

// joinGroups has the host be a member of the solicited-node groups of its
// guests, so that switches that listen to MLD lead solicitations here.
func (a *Answerer) joinGroups() {
	wanted := map[netip.Addr]bool{}
	for addr := range a.live {
		if addr.Is4() {
			continue
		}
		wanted[slaac.SolicitedNode(addr)] = true
	}
	err := a.home.Do(func() error {
		br, err := net.InterfaceByName(a.cfg.Bridge)
		if err != nil {
			return err
		}
		if br.Index != a.index { // another bridge of that name knows nothing of it
			for s := range a.socks {
				s.Close()
			}
			clear(a.socks)
			clear(a.groups)
			a.index = br.Index
		}
		for g, s := range a.groups {
			if !wanted[g] {
				if err := setGroup(s, unix.IPV6_LEAVE_GROUP, g, br.Index); err != nil {
					return fmt.Errorf("leave %s: %w", g, err)
				}
				delete(a.groups, g)
				a.socks[s]--
			}
		}
		for g := range wanted {
			if a.groups[g] != nil {
				continue
			}
			var free *net.UDPConn
			for s, n := range a.socks {
				if n < groupsPerSocket {
					free = s
				}
			}
			if free == nil {
				// It only holds memberships: nothing is ever sent to it.
				if free, err = net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback}); err != nil {
					return err
				}
				a.socks[free] = 0
			}
			if err := setGroup(free, unix.IPV6_JOIN_GROUP, g, br.Index); err != nil {
				return fmt.Errorf("join %s: %w", g, err)
			}
			a.groups[g] = free
			a.socks[free]++
		}
		return nil
	})
	if err != nil {
		a.log.Warn("the host is not in all groups of its guests; switches that look at MLD may not lead solicitations here", "bridge", a.cfg.Bridge, "error", err)
	}
}

func setGroup(s *net.UDPConn, option int, group netip.Addr, index int) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IPV6, option, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(index)})
	}); err != nil {
		return err
	}
	return serr
}

// Run answers until ctx ends, and returns nil then. A link that goes away is
// waited for.
func (a *Answerer) Run(ctx context.Context) error {
	defer a.Close()
	for {
		err := a.serve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		a.log.Warn("nothing is answered for guests for a moment", "error", err)
		for err != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(reopenAfter):
			}
			a.mu.Lock()
			if a.wire != nil {
				a.wire.Close()
				a.wire = nil
			}
			err = a.open(a.cfg.Uplink)
			a.mu.Unlock()
		}
	}
}

func (a *Answerer) serve(ctx context.Context) error {
	stop := a.wire.until(ctx)
	defer stop()
	buf := make([]byte, 2048)
	for {
		n, err := a.wire.receive(buf)
		if errors.Is(err, unix.ENETDOWN) {
			err = a.waitUp(ctx)
		}
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		a.mu.Lock()
		mac := a.cfg.MAC
		a.mu.Unlock()
		live := func(addr netip.Addr) bool { return a.has(ctx, addr) }
		out, ok := answer(buf[:n], mac, live)
		if !ok {
			out, ok = answerARP(buf[:n], mac, live)
		}
		if !ok {
			continue
		}
		if err := a.wire.send(out); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			a.log.Warn("a solicitation for a guest could not be answered", "error", err)
		}
	}
}

// waitUp waits for the wire's link to be up again. That it went down is said once;
// that it is gone for good then, never.
func (a *Answerer) waitUp(ctx context.Context) error {
	for {
		var up bool
		err := a.home.Do(func() (err error) { up, err = a.wire.up(); return err })
		if up || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(reopenAfter):
		}
	}
}

// has reports whether a guest that is there has the address: one of its list,
// or, if it is open, one that it has lately sent from, of which the edge's table
// keeps account.
func (a *Answerer) has(ctx context.Context, addr netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live[addr] {
		return true
	}
	if a.cfg.Kind != OnLink || !a.cfg.Prefix.Contains(addr) || slices.Contains(a.cfg.Host, addr) || slices.Contains(a.cfg.Gateways, addr) {
		return false
	}
	open := func(g Guest) bool { return g.Open && g.Port != "" }
	if !slices.ContainsFunc(a.cfg.Guests, open) {
		return false
	}
	now := time.Now()
	a.tokens, a.filled = min(looksBurst, a.tokens+now.Sub(a.filled).Seconds()*looksPerSecond), now
	if a.tokens < 1 {
		return false
	}
	a.tokens--
	var found bool
	err := a.home.Do(func() (err error) {
		// Most that is asked for is nobody's, which one look tells.
		if found, err = nft.Contains(ctx, nft.Bridge, TableName, accountSeenAddrs(), addr.String()); !found {
			return err
		}
		found = false
		for _, g := range a.cfg.Guests {
			if open(g) && !found && err == nil {
				found, err = nft.Contains(ctx, nft.Bridge, TableName, accountSeen(), nft.Tuple(g.Port, g.MAC, addr))
			}
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		a.log.Warn("the edge's account of addresses can't be read", "error", err)
		return false
	}
	return found
}
