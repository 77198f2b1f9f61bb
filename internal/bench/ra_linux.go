package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// Senders of router advertisements beside each other: a router and a guest
// joined by a bridge, one sender at a time in the router's namespace, given the
// same configuration.
const (
	raRouterLink = "br0"
	raGuestLink  = "eth0"

	raSources   = 500  // that flood
	raRate      = 5000 // solicitations a second
	raStorm     = 5 * time.Second
	raNobody    = 10 * time.Second // of solicitations from ::
	raIdleAsks  = 200
	raIdleBound = 12 * time.Second

	// raBegun is when a sender is past its beginning, and past the 3 s after its
	// first advertisement in which there may be no other (RFC 4861, section 6.2.6):
	// few guests come up just then.
	raBegun = 5 * time.Second
)

// raSender is a program under test.
type raSender struct {
	name    string
	process string // as /proc/PID/comm has it
	command func(dir string) ([]string, error)
}

const raRadvdConf = `interface br0 {
	AdvSendAdvert on;
	prefix 2001:db8:1:3::/64 { AdvValidLifetime 5400; AdvPreferredLifetime 2700; };
	RDNSS 2001:db8:1:3::2 { AdvRDNSSLifetime 1800; };
};
`

const raCoreRADConf = `[[interfaces]]
name = "br0"
advertise = true
  [[interfaces.prefix]]
  prefix = "2001:db8:1:3::/64"
  preferred_lifetime = "45m"
  valid_lifetime = "90m"
  [[interfaces.rdnss]]
  lifetime = "30m"
  servers = ["2001:db8:1:3::2"]
`

func (b *bench) raSenders() (list []raSender, notes []string) {
	written := func(name, text string, command func(path string) []string) func(string) ([]string, error) {
		return func(dir string) ([]string, error) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				return nil, fmt.Errorf("write %s: %w", name, err)
			}
			return command(path), nil
		}
	}
	if b.raserve == "" {
		notes = append(notes, "no program for package ra's sender was given")
	} else {
		list = append(list,
			raSender{"ra", "raserve", written("radvd.conf", raRadvdConf, func(p string) []string { return []string{b.raserve, "-nodelay", "-greet", "-f", p} })},
			raSender{"ra, RFC 4861's delay", "raserve", written("radvd.conf", raRadvdConf, func(p string) []string { return []string{b.raserve, "-f", p} })})
	}
	if radvd, err := exec.LookPath("radvd"); err == nil {
		list = append(list, raSender{"radvd", "radvd", written("radvd.conf", raRadvdConf, func(p string) []string {
			return []string{radvd, "-n", "-m", "stderr", "-C", p, "-p", p + ".pid"}
		})})
	} else {
		notes = append(notes, "radvd is not installed")
	}
	if b.corerad != "" {
		list = append(list, raSender{"CoreRAD", filepath.Base(b.corerad), written("corerad.toml", raCoreRADConf, func(p string) []string { return []string{b.corerad, "-c", p} })})
	} else {
		notes = append(notes, "CoreRAD was not named by -corerad")
	}
	return list, notes
}

// raFigures are what one sender showed, one sample a run.
type raFigures struct {
	idle, idle99, storm, storm99, lost, cpu, nobody, apart, rss, pss, own, route, address []float64
}

// ra measures all senders.
func (b *bench) ra(ctx context.Context) error {
	senders, notes := b.raSenders()
	for _, n := range notes {
		if err := b.note("ra: %s", n); err != nil {
			return err
		}
	}
	idle := raSender{name: "Go with one socket and no work"}
	figures := make([]raFigures, len(senders)+1)
	if err := b.times(ctx, benchRA, 5*time.Minute, func(ctx context.Context) error {
		for i, s := range senders {
			if err := figures[i].measure(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		if b.rafloor == "" {
			return nil
		}
		if err := figures[len(senders)].floor(ctx, b.rafloor); err != nil {
			return fmt.Errorf("%s: %w", idle.name, err)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, figure := range []struct {
		what, unit string
		under      float64
		of         func(raFigures) []float64
	}{
		{"solicitation to unicast answer, idle, median", unitMillis, 0, func(f raFigures) []float64 { return f.idle }},
		{"solicitation to unicast answer, idle, p99", unitMillis, 0, func(f raFigures) []float64 { return f.idle99 }},
		{"the same under 5,000/s from 500 sources, median", unitMillis, 0, func(f raFigures) []float64 { return f.storm }},
		{"the same under 5,000/s from 500 sources, p99", unitMillis, 5, func(f raFigures) []float64 { return f.storm99 }},
		{"not answered within a second under it", unitLost, 0, func(f raFigures) []float64 { return f.lost }},
		{"CPU time for 10,000 answers", unitSeconds, 0, func(f raFigures) []float64 { return f.cpu }},
		{"multicasts in 10 s of 500/s from ::", "RAs", 0, func(f raFigures) []float64 { return f.nobody }},
		{"least time between two of them (3 s, RFC 4861)", unitSeconds, 0, func(f raFigures) []float64 { return f.apart }},
		{"resident (VmRSS) after all that", unitMB, 0, func(f raFigures) []float64 { return f.rss }},
		{"proportional (PSS) after all that", unitMB, 0, func(f raFigures) []float64 { return f.pss }},
		{"its own pages, no file's, after all that", unitMB, 0, func(f raFigures) []float64 { return f.own }},
		{"link-up to default route and name server", unitMillis, 0, func(f raFigures) []float64 { return f.route }},
		{"link-up to usable global address", unitMillis, 0, func(f raFigures) []float64 { return f.address }},
	} {
		samples := make([][]float64, len(figures))
		for i, f := range figures {
			samples[i] = figure.of(f)
		}
		if err := b.emitSenders(row{Group: benchRA, What: figure.what, Unit: figure.unit, Under: figure.under}, append(senders, idle), samples); err != nil {
			return err
		}
	}
	return nil
}

// emitSenders prints one figure of all senders, beside radvd's. A goal is ours,
// who are the first.
func (b *bench) emitSenders(figure row, senders []raSender, samples [][]float64) error {
	beside := indexOf(senders, "radvd")
	for i, s := range senders {
		r := figure
		r.What, r.Samples = s.name+": "+figure.What, samples[i]
		if i > 0 {
			r.Under = 0
		}
		if beside >= 0 && i != beside {
			r.Beside = &peer{What: "radvd", Samples: samples[beside]}
		}
		if err := b.emit(r); err != nil {
			return err
		}
	}
	return nil
}

// raLink is a router and a guest.
type raLink struct {
	router, guest *netns.NS
	h             *netlink.Handle // the guest's
	link          netlink.Link    // the guest's end
}

func newRALink() (l *raLink, err error) {
	l = &raLink{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.router, err = netns.New(); err != nil {
		return l, err
	}
	if l.guest, err = netns.New(); err != nil {
		return l, err
	}
	if err := l.router.Do(func() error {
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
		// A port that is up keeps the bridge up while the guest's is not, as the
		// uplink does.
		port := func(name string) netlink.LinkAttrs {
			a := netlink.NewLinkAttrs()
			a.Name, a.MasterIndex = name, br.Index
			return a
		}
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: port("uplink"), PeerName: "provider"}); err != nil {
			return fmt.Errorf("add uplink: %w", err)
		}
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: port("vnet0"), PeerName: raGuestLink, PeerHardwareAddr: raMAC(0), PeerNamespace: netlink.NsFd(int(l.guest.File().Fd()))}); err != nil {
			return fmt.Errorf("join router and guest: %w", err)
		}
		for _, conf := range []string{"all", raRouterLink} {
			if err := sysctl.Write("net/ipv6/conf/"+conf+"/forwarding", "1"); err != nil {
				return err
			}
		}
		for _, name := range []string{"uplink", "provider", "vnet0", raRouterLink} {
			link, err := netlink.LinkByName(name)
			if err != nil {
				return fmt.Errorf("find %s: %w", name, err)
			}
			if err := netlink.LinkSetUp(link); err != nil {
				return fmt.Errorf("set %s up: %w", name, err)
			}
		}
		return nil
	}); err != nil {
		return l, err
	}
	if l.h, err = l.guest.Handle(unix.NETLINK_ROUTE); err != nil {
		return l, err
	}
	l.link, err = l.h.LinkByName(raGuestLink)
	return l, err
}

func (l *raLink) close() {
	if l.h != nil {
		l.h.Close()
	}
	for _, ns := range []*netns.NS{l.router, l.guest} {
		if ns != nil {
			ns.Close()
		}
	}
}

// raMAC is that of a guest: 0 is the honest one.
func raMAC(i int) net.HardwareAddr {
	return net.HardwareAddr{0x52, 0x54, 0x00, 0xaa, byte(i >> 8), byte(i)}
}

// raLinkLocal is made of a MAC (RFC 4291, appendix A).
func raLinkLocal(m net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// start runs a sender in a namespace until stop is called, which adds what the
// sender said to an error, and waits until it has begun.
func (s raSender) start(ctx context.Context, ns *netns.NS) (stop func(error) error, err error) {
	dir, err := os.MkdirTemp("", "bench-ra-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	remove := func(err error) error { return errors.Join(err, os.RemoveAll(dir)) }
	args, err := s.command(dir)
	if err != nil {
		return nil, remove(err)
	}
	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, remove(fmt.Errorf("make a log: %w", err))
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	err = ns.Start(cmd)
	logFile.Close()
	if err != nil {
		return nil, remove(err)
	}
	stop = func(err error) error {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		if err != nil {
			if said, rerr := os.ReadFile(logFile.Name()); rerr == nil {
				err = fmt.Errorf("%w\nit said: %s", err, said)
			}
		}
		return remove(err)
	}
	if err := sleep(ctx, raBegun); err != nil {
		return nil, stop(err)
	}
	return stop, nil
}

// measure runs one sender through everything.
func (f *raFigures) measure(ctx context.Context, s raSender) (err error) {
	l, err := newRALink()
	if err != nil {
		return err
	}
	defer l.close()
	stop, err := s.start(ctx, l.router)
	if err != nil {
		return err
	}
	defer func() { err = stop(err) }()
	route, address, err := l.linkUp(ctx)
	if err != nil {
		return err
	}
	f.route, f.address = append(f.route, millis(route)), append(f.address, millis(address))
	asker, err := l.newAsker()
	if err != nil {
		return err
	}
	defer asker.close()

	var times []time.Duration
	for end := time.Now().Add(raIdleBound); len(times) < raIdleAsks && time.Now().Before(end); {
		d, ok, err := asker.ask()
		if err != nil {
			return err
		}
		if !ok {
			return errors.New("no answer on an idle link")
		}
		times = append(times, d)
		time.Sleep(time.Duration(rand.Int64N(int64(5 * time.Millisecond))))
	}
	f.idle, f.idle99 = append(f.idle, millis(quantile(times, 0.5))), append(f.idle99, millis(quantile(times, 0.99)))

	pids, err := findProcesses(s.process)
	if err != nil {
		return err
	}
	if err := f.flooded(ctx, l, asker, pids); err != nil {
		return err
	}
	if err := f.fromNobody(ctx, l); err != nil {
		return err
	}
	m, err := memoryOf(pids)
	if err != nil {
		return err
	}
	f.holds(m)
	return nil
}

// memoryOf adds up what processes hold.
func memoryOf(pids []int) (sum memory, err error) {
	for _, pid := range pids {
		m, err := readMemory(pid)
		if err != nil {
			return memory{}, err
		}
		sum = memory{sum.rss + m.rss, sum.pss + m.pss, sum.own + m.own}
	}
	return sum, nil
}

// floor measures the memory of a process that does nothing.
func (f *raFigures) floor(ctx context.Context, program string) error {
	ns, err := netns.New()
	if err != nil {
		return err
	}
	defer ns.Close()
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	if err := ns.Start(cmd); err != nil {
		return err
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
	}()
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	m, err := readMemory(cmd.Process.Pid)
	if err != nil {
		return err
	}
	f.holds(m)
	return nil
}

func (f *raFigures) holds(m memory) {
	f.rss, f.pss, f.own = append(f.rss, m.rss), append(f.pss, m.pss), append(f.own, m.own)
}

func indexOf(senders []raSender, name string) int {
	return slices.IndexFunc(senders, func(s raSender) bool { return s.name == name })
}

// flooded asks while others do, 5,000 times a second.
func (f *raFigures) flooded(ctx context.Context, l *raLink, asker *raAsker, pids []int) error {
	w, err := l.newWire()
	if err != nil {
		return err
	}
	defer unix.Close(w.fd)
	var frames [][]byte
	for i := range raSources {
		mac := raMAC(i + 1)
		frames = append(frames, raSolicitation(mac, raLinkLocal(mac), true))
	}
	cpuBefore, err := cpuClock(pids...)
	if err != nil {
		return err
	}
	before, err := l.received()
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	flooded := make(chan error, 1)
	go func() { flooded <- w.flood(frames, raRate, stop) }()
	var times []time.Duration
	lost := 0
	for end := time.Now().Add(raStorm); time.Now().Before(end) && ctx.Err() == nil; {
		d, ok, err := asker.ask()
		if err != nil {
			close(stop)
			<-flooded
			return err
		}
		if ok {
			times = append(times, d)
		} else {
			lost++
		}
		time.Sleep(time.Duration(rand.Int64N(int64(5 * time.Millisecond))))
	}
	close(stop)
	if err := <-flooded; err != nil {
		return err
	}
	after, err := l.received()
	if err != nil {
		return err
	}
	cpuAfter, err := cpuClock(pids...)
	if err != nil {
		return err
	}
	if len(times) == 0 {
		return errors.New("no answer in the flood")
	}
	if answers := float64(after - before); answers > 0 {
		f.cpu = append(f.cpu, (cpuAfter-cpuBefore).Seconds()*10_000/answers)
	}
	f.storm, f.storm99 = append(f.storm, millis(quantile(times, 0.5))), append(f.storm99, millis(quantile(times, 0.99)))
	f.lost = append(f.lost, float64(lost))
	return ctx.Err()
}

// fromNobody counts multicasts while :: solicits, and how close they come.
func (f *raFigures) fromNobody(ctx context.Context, l *raLink) error {
	asker, err := l.newAsker()
	if err != nil {
		return err
	}
	defer asker.close()
	// What the flood left in queues is over by then.
	if err := sleep(ctx, 4*time.Second); err != nil {
		return err
	}
	w, err := l.newWire()
	if err != nil {
		return err
	}
	defer unix.Close(w.fd)
	asker.drain()
	stop := make(chan struct{})
	flooded := make(chan error, 1)
	go func() {
		flooded <- w.flood([][]byte{raSolicitation(raMAC(1), netip.IPv6Unspecified(), false)}, 500, stop)
	}()
	var at []time.Time
	for end := time.Now().Add(raNobody); time.Now().Before(end) && ctx.Err() == nil; {
		if ok, err := asker.hear(time.Until(end)); err != nil {
			close(stop)
			<-flooded
			return err
		} else if ok {
			at = append(at, time.Now())
		}
	}
	close(stop)
	if err := <-flooded; err != nil {
		return err
	}
	f.nobody = append(f.nobody, float64(len(at)))
	if len(at) > 1 {
		least := raNobody
		for i := 1; i < len(at); i++ {
			least = min(least, at[i].Sub(at[i-1]))
		}
		f.apart = append(f.apart, least.Seconds())
	}
	return ctx.Err()
}

// received is how many frames have come to the guest.
func (l *raLink) received() (uint64, error) {
	link, err := l.h.LinkByName(raGuestLink)
	if err != nil {
		return 0, fmt.Errorf("count frames: %w", err)
	}
	return link.Attrs().Statistics.RxPackets, nil
}

// linkUp brings the guest's link up and measures until its kernel has a default
// route and was told a name server, and until it has an address to use.
func (l *raLink) linkUp(ctx context.Context) (route, address time.Duration, err error) {
	var told int
	if err := l.guest.Do(func() (err error) {
		// The client's own random delay, up to a second, would be most of the figure.
		// What is left beside the sender's share is duplicate address detection.
		if err := sysctl.Write("net/ipv6/conf/"+raGuestLink+"/router_solicitation_delay", "0"); err != nil {
			return err
		}
		told, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("open route netlink: %w", err)
		}
		return unix.Bind(told, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.RTNLGRP_ND_USEROPT - 1)})
	}); err != nil {
		return 0, 0, err
	}
	defer unix.Close(told)
	begun := time.Now()
	if err := l.h.LinkSetUp(l.link); err != nil {
		return 0, 0, fmt.Errorf("set the guest's link up: %w", err)
	}
	server := false
	buf := make([]byte, 1<<16)
	for end := begun.Add(30 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(500 * time.Microsecond) {
		for !server {
			n, _, err := unix.Recvfrom(told, buf, 0)
			// struct nlmsghdr, struct nduseroptmsg, then the option.
			if err != nil || n < 16+16+8 {
				break
			}
			server = buf[16+16] == 25
		}
		if route == 0 && server {
			routes, err := l.h.RouteList(l.link, netlink.FAMILY_V6)
			if err != nil {
				continue
			}
			if slices.ContainsFunc(routes, func(r netlink.Route) bool {
				if r.Dst == nil {
					return r.Gw != nil
				}
				ones, _ := r.Dst.Mask.Size()
				return ones == 0 && r.Gw != nil
			}) {
				route = time.Since(begun)
			}
		}
		addrs, err := l.h.AddrList(l.link, netlink.FAMILY_V6)
		if err != nil {
			continue
		}
		if route > 0 && slices.ContainsFunc(addrs, func(a netlink.Addr) bool {
			return a.IP.IsGlobalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0
		}) {
			return route, time.Since(begun), nil
		}
	}
	return 0, 0, errors.New("the guest has no default route, name server and address after 30 s")
}

func quantile(d []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}
