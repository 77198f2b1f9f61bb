package lab

import (
	"container/heap"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
)

// Relay makes a router's forwarding worse than it is: what comes in by the
// named links goes through a TUN device and a program that loses, delays,
// duplicates and reorders packets by a seeded generator, and is routed from
// there as it would have been. Each packet loses one hop more.
type Relay struct {
	ns    *netns.NS
	f     *os.File
	rules []*netlink.Rule
	route []*netlink.Route

	mu      sync.Mutex
	waiting packets
	wake    chan struct{}
	done    sync.WaitGroup
	stop    chan struct{}

	seen, lost atomic.Uint64
}

const (
	relayName = "relay0"
	// relayTable and relayPriority are out of the way of anything the lab uses.
	relayTable    = 7001
	relayPriority = 7001
)

// NewRelay puts a relay into a namespace that forwards; Close takes it out.
func NewRelay(ns *netns.NS, i Impairment, links ...string) (_ *Relay, err error) {
	r := &Relay{ns: ns, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start relay: %w", err), r.Close())
		}
	}()
	if err := ns.Do(func() (err error) { r.f, err = openRelay(); return err }); err != nil {
		return nil, err
	}
	h, err := ns.Handle()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	l, err := h.LinkByName(relayName)
	if err != nil {
		return nil, err
	}
	if err := h.LinkSetUp(l); err != nil {
		return nil, err
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all := net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
		if family == netlink.FAMILY_V6 {
			all = net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
		}
		route := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: &all, Table: relayTable, Family: family}
		if err := h.RouteReplace(route); err != nil {
			return nil, fmt.Errorf("route through %s: %w", relayName, err)
		}
		r.route = append(r.route, route)
		for _, link := range links {
			rule := netlink.NewRule()
			rule.Family, rule.IifName, rule.Table, rule.Priority = family, link, relayTable, relayPriority
			if err := h.RuleAdd(rule); err != nil {
				return nil, fmt.Errorf("lead %s through %s: %w", link, relayName, err)
			}
			r.rules = append(r.rules, rule)
		}
	}
	r.done.Go(func() { r.read(newFate(i)) })
	r.done.Go(r.write)
	return r, nil
}

func openRelay() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(relayName)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make %s: %w", relayName, err)
	}
	return os.NewFile(uintptr(fd), relayName), nil
}

// Counts returns how many packets came by, and how many of them were lost.
func (r *Relay) Counts() (seen, lost uint64) { return r.seen.Load(), r.lost.Load() }

// Close ends the relay; what it holds is lost.
func (r *Relay) Close() error {
	var errs []error
	if h, err := r.ns.Handle(); err != nil {
		errs = append(errs, err)
	} else {
		defer h.Close()
		for _, rule := range r.rules {
			errs = append(errs, h.RuleDel(rule))
		}
		r.rules = nil
	}
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
	if r.f != nil {
		if err := r.f.SetReadDeadline(time.Unix(1, 0)); err != nil {
			errs = append(errs, err)
		}
		r.done.Wait()
		// The device and the routes to it go with its last descriptor.
		errs = append(errs, r.f.Close())
		r.f = nil
	}
	return errors.Join(errs...)
}

func (r *Relay) read(f *fate) {
	buf := make([]byte, 65536)
	for {
		n, err := r.f.Read(buf)
		if err != nil {
			return
		}
		r.seen.Add(1)
		now := time.Now()
		copies := f.next()
		if len(copies) == 0 {
			r.lost.Add(1)
		}
		r.mu.Lock()
		for _, d := range copies {
			heap.Push(&r.waiting, packet{now.Add(d), r.seen.Load(), append([]byte(nil), buf[:n]...)})
		}
		r.mu.Unlock()
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

func (r *Relay) write() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r.mu.Lock()
		wait := time.Hour
		var due []packet
		for len(r.waiting) > 0 {
			if wait = time.Until(r.waiting[0].due); wait > 0 {
				break
			}
			due = append(due, heap.Pop(&r.waiting).(packet))
			wait = time.Hour
		}
		r.mu.Unlock()
		for _, p := range due {
			// What the kernel doesn't take is a loss more.
			if _, err := r.f.Write(p.data); err != nil {
				r.lost.Add(1)
			}
		}
		timer.Reset(wait)
		select {
		case <-r.stop:
			return
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// packet waits to be sent.
type packet struct {
	due  time.Time
	n    uint64 // in the order in which they came
	data []byte
}

// packets is a heap by time.
type packets []packet

func (p packets) Len() int { return len(p) }
func (p packets) Less(i, j int) bool {
	if !p[i].due.Equal(p[j].due) {
		return p[i].due.Before(p[j].due)
	}
	return p[i].n < p[j].n
}
func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *packets) Push(x any)   { *p = append(*p, x.(packet)) }
func (p *packets) Pop() any {
	old := *p
	x := old[len(old)-1]
	*p = old[:len(old)-1]
	return x
}
