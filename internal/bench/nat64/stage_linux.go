package main

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/plan"
)

// Who is measured.
const (
	plain6   = "plain IPv6"
	plain4   = "IPv4 masquerade"
	byTayga  = "tayga"
	fast     = "fast"
	portable = "portable"
)

func contenders() []string { return []string{plain6, plain4, byTayga, fast, portable} }

const (
	guest6 = "2001:db8:1:3::10"
	host6  = "2001:db8:1:3::1"
	web4   = "203.0.114.9"
	web6   = "2001:db8:2::9"
)

// stage is guest, host and Internet with one contender on the host.
type stage struct {
	who              string
	guest, host, web *netns.NS
	// near and far are where the guest finds the Internet, and where the
	// Internet listens.
	near, far netip.Addr
	closers   []func()
}

func (s *stage) sh(ns *netns.NS, lines ...string) error {
	for _, l := range lines {
		f := strings.Fields(l)
		if err := run(ns, "", f...); err != nil {
			return err
		}
	}
	return nil
}

func run(ns *netns.NS, stdin string, args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := ns.Start(cmd); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out.String())
	}
	return nil
}

func newStage(who string, offloads bool, bpffs string) (*stage, error) {
	s := &stage{who: who}
	for _, ns := range []**netns.NS{&s.guest, &s.host, &s.web} {
		var err error
		if *ns, err = netns.New(); err != nil {
			return nil, err
		}
		n := *ns
		s.closers = append(s.closers, func() { n.Close() })
	}
	err := s.build(offloads, bpffs)
	if err != nil {
		s.close()
		return nil, fmt.Errorf("stage for %s: %w", who, err)
	}
	return s, nil
}

func (s *stage) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

func (s *stage) build(offloads bool, bpffs string) error {
	at := func(ns *netns.NS) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.File().Fd()) }
	for _, ns := range []*netns.NS{s.guest, s.host, s.web} {
		if err := s.sh(ns, "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0",
			"sysctl -qw net.ipv4.tcp_tw_reuse=1"); err != nil {
			return err
		}
		if err := run(ns, "", "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535"); err != nil {
			return err
		}
	}
	if err := s.sh(s.host,
		"ip link add vnet0 type veth peer name eth0 netns "+at(s.guest),
		"ip link add up0 type veth peer name eth0 netns "+at(s.web),
		"ip link set vnet0 up", "ip link set up0 up",
		"ip addr add "+host6+"/64 dev vnet0", "ip addr add 192.168.9.1/24 dev vnet0",
		"ip addr add 2001:db8:2::1/64 dev up0", "ip addr add 203.0.114.1/24 dev up0",
		"sysctl -qw net.ipv6.conf.all.forwarding=1"); err != nil {
		return err
	}
	if err := s.sh(s.guest, "ip link set eth0 up", "ip addr add "+guest6+"/64 dev eth0", "ip addr add 192.168.9.2/24 dev eth0",
		"ip -6 route add default via "+host6, "ip route add default via 192.168.9.1"); err != nil {
		return err
	}
	if err := s.sh(s.web, "ip link set eth0 up", "ip addr add "+web6+"/64 dev eth0", "ip addr add "+web4+"/24 dev eth0",
		"ip -6 route add default via 2001:db8:2::1"); err != nil {
		return err
	}
	if !offloads {
		for _, ns := range []*netns.NS{s.guest, s.web} {
			if err := s.sh(ns, "ethtool -K eth0 tso off gso off gro off tx off rx off"); err != nil {
				return err
			}
		}
	}
	s.near, s.far = nat64.WellKnown().Embed(netip.MustParseAddr(web4)), netip.MustParseAddr(web4)
	switch s.who {
	case plain6:
		s.near, s.far = netip.MustParseAddr(web6), netip.MustParseAddr(web6)
		return nil
	case plain4:
		s.near = s.far
		if err := s.sh(s.host, "sysctl -qw net.ipv4.ip_forward=1"); err != nil {
			return err
		}
		return run(s.host, "table ip nat { chain post { type nat hook postrouting priority 100; oifname up0 masquerade; }; }", "nft", "-f", "-")
	case byTayga:
		return s.tayga()
	case fast:
		return s.gateway(bpffs)
	}
	return s.gateway("")
}

func (s *stage) tayga() error {
	dir, err := os.MkdirTemp("", "sixhost-tayga-")
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() { os.RemoveAll(dir) })
	conf := dir + "/tayga.conf"
	if err := os.WriteFile(conf, []byte("tun-device nat64\nipv4-addr 192.168.255.1\nipv6-addr 2001:db8:9::1\nprefix 64:ff9b::/96\ndynamic-pool 192.168.255.0/24\ndata-dir "+dir+"\n"), 0o600); err != nil {
		return err
	}
	if err := s.sh(s.host, "tayga -c "+conf+" --mktun", "ip link set nat64 up", "ip route add 192.168.255.0/24 dev nat64",
		"ip -6 route add 64:ff9b::/96 dev nat64", "sysctl -qw net.ipv4.ip_forward=1"); err != nil {
		return err
	}
	if err := run(s.host, "table ip nat { chain post { type nat hook postrouting priority 100; oifname up0 ip saddr 192.168.255.0/24 masquerade; }; }", "nft", "-f", "-"); err != nil {
		return err
	}
	return s.start(exec.Command("tayga", "-d", "-c", conf))
}

// start runs a contender's process until the stage is closed.
func (s *stage) start(cmd *exec.Cmd) error {
	if err := s.host.Start(cmd); err != nil {
		return err
	}
	s.closers = append(s.closers, func() {
		cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(3*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		late.Stop()
	})
	return nil
}

func config(pins string) gateway.Config {
	return gateway.Config{Prefix: nat64.WellKnown(), Guests: netip.MustParsePrefix("2001:db8:1:3::/64"), GuestLink: "vnet0", Uplink: "up0", Pins: pins}
}

func (s *stage) gateway(bpffs string) error {
	pins := ""
	if bpffs != "" {
		pins = bpffs + "/nat64"
	}
	cfg := config(pins)
	apply := func(change func(*gateway.State)) error {
		there, err := gateway.Capture(context.Background(), cfg.Scope())
		if err != nil {
			return err
		}
		want := there
		if change == nil {
			if want, err = cfg.State(there); err != nil {
				return err
			}
		} else {
			change(&want)
		}
		p, err := gateway.Plan(there, want)
		if err != nil {
			return err
		}
		return p.Run(context.Background(), plan.Apply, nil)
	}
	if err := s.host.Do(func() error { return apply(nil) }); err != nil {
		return err
	}
	s.closers = append(s.closers, func() {
		if pins != "" {
			s.host.Do(func() error { return apply(func(w *gateway.State) { w.Fast = nil }) })
		}
	})
	cmd := exec.Command("/proc/self/exe", "-serve", "-pins="+pins)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.start(cmd); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if want := map[bool]string{true: "fast\n", false: "portable\n"}[pins != ""]; line != want {
		return fmt.Errorf("the gateway's process says %q: %v", line, err)
	}
	return nil
}

// serve is the gateway's process.
func serve(pins string) error {
	g, err := gateway.New(config(pins))
	if err != nil {
		return err
	}
	st := g.Stats()
	if st.FastPathError != nil {
		fmt.Fprintln(os.Stderr, st.FastPathError)
	}
	fmt.Println(st.Path)
	ctx, stop := signalContext()
	defer stop()
	return g.Run(ctx)
}
