package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// A full bridge, whose guests all solicit at the same moment.
const (
	raPorts     = 1023 // as many as a Linux bridge takes
	raPortBound = 30 * time.Second
)

// portFigures are what one sender showed, one sample a run.
type portFigures struct{ half, all, lost, cpu, rss, pss []float64 }

// raAllPorts measures all senders on a bridge that has no free port.
func (b *bench) raAllPorts(ctx context.Context) error {
	if b.most < maxGuests {
		return b.note("%s: left out, as not all of %d guests may be attached", benchRAPorts, raPorts)
	}
	senders, notes := b.raSenders()
	for _, n := range notes {
		if err := b.note("%s: %s", benchRAPorts, n); err != nil {
			return err
		}
	}
	figures := make([]portFigures, len(senders))
	if err := b.times(ctx, benchRAPorts, 10*time.Minute, func(ctx context.Context) error {
		full, err := newFullBridge()
		if err != nil {
			return err
		}
		defer full.close()
		for i, s := range senders {
			if err := figures[i].measure(ctx, full, s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, figure := range []struct {
		what, unit string
		of         func(portFigures) []float64
	}{
		{fmt.Sprintf("%d solicitations at once until half are answered", raPorts), unitMillis, func(f portFigures) []float64 { return f.half }},
		{"until all are answered", unitMillis, func(f portFigures) []float64 { return f.all }},
		{"not answered within a second, so that they ask again", unitLost, func(f portFigures) []float64 { return f.lost }},
		{"CPU time for it", unitMillis, func(f portFigures) []float64 { return f.cpu }},
		{"resident (VmRSS) after it", unitMB, func(f portFigures) []float64 { return f.rss }},
		{"proportional (PSS) after it", unitMB, func(f portFigures) []float64 { return f.pss }},
	} {
		samples := make([][]float64, len(figures))
		for i, f := range figures {
			samples[i] = figure.of(f)
		}
		if err := b.emitSenders(row{Group: benchRAPorts, What: figure.what, Unit: figure.unit}, senders, samples); err != nil {
			return err
		}
	}
	return nil
}

// fullBridge is a router with a bridge, and a namespace with the other ends of
// all its ports, where nobody but the measurement speaks.
type fullBridge struct {
	router, guests *netns.NS
	fd             int         // hears and speaks on all the guests' links
	port           map[int]int // of a link's index
}

func newFullBridge() (f *fullBridge, err error) {
	f = &fullBridge{fd: -1, port: make(map[int]int)}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if f.router, err = netns.New(); err != nil {
		return f, err
	}
	if f.guests, err = netns.New(); err != nil {
		return f, err
	}
	if err := f.guests.Do(func() error { return sysctl.Write("net/ipv6/conf/default/disable_ipv6", "1") }); err != nil {
		return f, err
	}
	if err := f.router.Do(f.addPorts); err != nil {
		return f, err
	}
	return f, f.guests.Do(f.listen)
}

func (f *fullBridge) addPorts() error {
	if err := sysctl.Write("net/ipv6/conf/default/accept_dad", "0"); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = raRouterLink, net.HardwareAddr{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	snooping := false
	br := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := netlink.LinkAdd(br); err != nil {
		return fmt.Errorf("add bridge: %w", err)
	}
	for _, conf := range []string{"all", raRouterLink} {
		if err := sysctl.Write("net/ipv6/conf/"+conf+"/forwarding", "1"); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(br); err != nil {
		return fmt.Errorf("set bridge up: %w", err)
	}
	if err := sysctl.Write("net/ipv6/conf/default/disable_ipv6", "1"); err != nil {
		return err
	}
	for i := range raPorts {
		a := netlink.NewLinkAttrs()
		a.Name, a.MasterIndex = fmt.Sprintf("vnet%d", i), br.Index
		v := &netlink.Veth{LinkAttrs: a, PeerName: fmt.Sprintf("eth%d", i), PeerHardwareAddr: raMAC(i), PeerNamespace: netlink.NsFd(int(f.guests.File().Fd()))}
		if err := netlink.LinkAdd(v); err != nil {
			return fmt.Errorf("add port %d: %w", i, err)
		}
		// What one guest asks is nothing to the others.
		if err := netlink.LinkSetIsolated(v, true); err != nil {
			return fmt.Errorf("isolate port %d: %w", i, err)
		}
		if err := netlink.LinkSetUp(v); err != nil {
			return fmt.Errorf("set port %d up: %w", i, err)
		}
	}
	return nil
}

func (f *fullBridge) listen() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list the guests' links: %w", err)
	}
	for _, l := range links {
		var i int
		if _, err := fmt.Sscanf(l.Attrs().Name, "eth%d", &i); err != nil {
			continue
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s up: %w", l.Attrs().Name, err)
		}
		f.port[l.Attrs().Index] = i
	}
	// The kernel takes a hundred links a second into use, and a link drops what is
	// sent before.
	for end := time.Now().Add(raPortBound); ; time.Sleep(100 * time.Millisecond) {
		if links, err = netlink.LinkList(); err != nil {
			return fmt.Errorf("list the guests' links: %w", err)
		}
		up := 0
		for _, l := range links {
			if _, ours := f.port[l.Attrs().Index]; ours && l.Attrs().OperState == netlink.OperUp {
				up++
			}
		}
		if up == len(f.port) {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d guests' links are in use after %s", up, len(f.port), raPortBound)
		}
	}
	const protocol = unix.ETH_P_IPV6>>8 | unix.ETH_P_IPV6&0xff<<8 // network order
	if f.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol); err != nil {
		return fmt.Errorf("open packet socket: %w", err)
	}
	if err := unix.SetsockoptInt(f.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return fmt.Errorf("hear only what arrives: %w", err)
	}
	const room = 64 << 20
	if unix.SetsockoptInt(f.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
		if err := unix.SetsockoptInt(f.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room); err != nil {
			return fmt.Errorf("make room for what arrives: %w", err)
		}
	}
	return nil
}

func (f *fullBridge) close() {
	if f.fd >= 0 {
		unix.Close(f.fd)
	}
	for _, ns := range []*netns.NS{f.router, f.guests} {
		if ns != nil {
			ns.Close()
		}
	}
}

// fresh has the router forget its neighbours.
func (f *fullBridge) fresh() error {
	return f.router.Do(func() error {
		br, err := netlink.LinkByName(raRouterLink)
		if err != nil {
			return fmt.Errorf("find bridge: %w", err)
		}
		if err := netlink.LinkSetDown(br); err != nil {
			return fmt.Errorf("set bridge down: %w", err)
		}
		if err := netlink.LinkSetUp(br); err != nil {
			return fmt.Errorf("set bridge up: %w", err)
		}
		return nil
	})
}

// measure runs one sender on the bridge.
func (p *portFigures) measure(ctx context.Context, f *fullBridge, s raSender) (err error) {
	if err := f.fresh(); err != nil {
		return err
	}
	stop, err := s.start(ctx, f.router)
	if err != nil {
		return err
	}
	defer func() { err = stop(err) }()
	pids, err := findProcesses(s.process)
	if err != nil {
		return err
	}
	before, err := cpuClock(pids...)
	if err != nil {
		return err
	}
	half, all, lost, err := f.ask(ctx)
	if err != nil {
		return err
	}
	after, err := cpuClock(pids...)
	if err != nil {
		return err
	}
	p.half, p.all, p.lost = append(p.half, millis(half)), append(p.all, millis(all)), append(p.lost, float64(lost))
	p.cpu = append(p.cpu, millis(after-before))
	m, err := memoryOf(pids)
	if err != nil {
		return err
	}
	p.rss, p.pss = append(p.rss, m.rss), append(p.pss, m.pss)
	return nil
}

// ask has every guest solicit at once, and again after each second for as long
// as it has no answer (RFC 4861, section 6.3.7, has them wait for longer).
func (f *fullBridge) ask(ctx context.Context) (half, all time.Duration, lost int, err error) {
	frames := make(map[int][]byte)
	for _, i := range f.port {
		frames[i] = raSolicitation(raMAC(i), raLinkLocal(raMAC(i)), true)
	}
	answered := make(map[int]bool)
	buf := make([]byte, 1<<16)
	f.hear(buf, 0, nil) // what came before
	begun := time.Now()
	var asking sync.WaitGroup
	defer asking.Wait()
	for round := 0; len(answered) < len(f.port) && time.Since(begun) < raPortBound && ctx.Err() == nil; round++ {
		end := time.Now().Add(time.Second)
		var links []int
		for link, i := range f.port {
			if !answered[i] {
				links = append(links, link)
			}
		}
		// What is lost is asked for again, whatever lost it.
		asking.Wait()
		asking.Go(func() {
			for _, link := range links {
				unix.Sendto(f.fd, frames[f.port[link]], 0, &unix.SockaddrLinklayer{Ifindex: link, Halen: 6})
			}
		})
		for len(answered) < len(f.port) && time.Now().Before(end) {
			if err := f.hear(buf, time.Until(end), answered); err != nil {
				return 0, 0, 0, err
			}
			if half == 0 && 2*len(answered) >= len(f.port) {
				half = time.Since(begun)
			}
		}
		if round == 0 {
			lost = len(f.port) - len(answered)
		}
	}
	if len(answered) < len(f.port) {
		return 0, 0, 0, fmt.Errorf("%d of %d ports have no answer after %s", len(f.port)-len(answered), len(f.port), raPortBound)
	}
	return half, time.Since(begun), lost, ctx.Err()
}

// hear waits for frames, reads all that are there, and notes whose port heard an
// advertisement for its guest, or for all.
func (f *fullBridge) hear(buf []byte, wait time.Duration, answered map[int]bool) error {
	p := []unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(p, int(max(0, wait)/time.Millisecond)); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for answers: %w", err)
	}
	for {
		n, from, err := unix.Recvfrom(f.fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return nil
		}
		sa, ok := from.(*unix.SockaddrLinklayer)
		const icmp, to = 14 + 40, 14 + 24 // behind the Ethernet and the IPv6 header; the destination
		if !ok || answered == nil || n < icmp+16 || buf[14+6] != unix.IPPROTO_ICMPV6 || buf[icmp] != icmpAdvertisement {
			continue
		}
		i, known := f.port[sa.Ifindex]
		dst := netip.AddrFrom16([16]byte(buf[to : to+16]))
		if known && (dst == raLinkLocal(raMAC(i)) || dst.IsMulticast()) {
			answered[i] = true
		}
	}
}
