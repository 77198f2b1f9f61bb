package lab

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

// ArticleBridge is the bridge that Article makes.
const ArticleBridge = "br0"

// Article sets the server up the way the article does, with the programs it uses:
// addresses and routes moved to a bridge as they come, forwarding, Debian's
// ebtables to rewrite every source MAC, Debian's radvd on the bridge. It is what
// people do today, and here for the judge to be seen to fail it.
//
// Errors: *MissingProgramError, before anything is changed.
func Article(ctx context.Context, l *Lab) error {
	if l.Server() == nil {
		return fmt.Errorf("the article's recipe: %w", errElsewhere)
	}
	ebtables, err := l.findEbtables(ctx)
	if err != nil {
		return fmt.Errorf("the article's recipe: %w", err)
	}
	radvd, err := findProgram("radvd", "radvd")
	if err != nil {
		return fmt.Errorf("the article's recipe: %w", err)
	}
	s := l.Server()
	if err := naiveMove(ctx, s, l.Gateway6()); err != nil {
		return fmt.Errorf("the article's recipe: move to %s: %w", ArticleBridge, err)
	}
	if err := s.sysctls("net/ipv4/conf/all/forwarding", "1", "net/ipv6/conf/all/forwarding", "1"); err != nil {
		return fmt.Errorf("the article's recipe: %w", err)
	}
	if err := l.finish(ctx, exec.Command(ebtables, "-t", "nat", "-A", "POSTROUTING",
		"-j", "snat", "--to-source", ServerMAC().String(), "--snat-target", "ACCEPT")); err != nil {
		return fmt.Errorf("the article's recipe: rewrite source MACs: %w", err)
	}
	if err := l.startRadvd(ctx, radvd); err != nil {
		return fmt.Errorf("the article's recipe: advertise the prefix: %w", err)
	}
	return nil
}

// shellPace is what a shell takes to start the next command, at least.
const shellPace = 5 * time.Millisecond

// findEbtables finds an ebtables that works here. Debian has two: that of the
// package ebtables needs tables that newer kernels are built without, that of the
// package iptables makes nftables of its rules.
func (l *Lab) findEbtables(ctx context.Context) (string, error) {
	path, err := findProgram("ebtables-nft", "iptables")
	if err == nil {
		return path, nil
	}
	if legacy, lerr := findProgram("ebtables", "iptables"); lerr == nil && l.finish(ctx, exec.Command(legacy, "-t", "nat", "-L")) == nil {
		return legacy, nil
	}
	return "", err
}

// naiveMove moves what the NIC has to a bridge in the order of the manuals: make
// the bridge with the NIC's MAC, as the article insists, put the NIC on it, take
// the addresses off the NIC, give them to the bridge. It goes at a shell's pace,
// which leaves the host without addresses for some packets' time.
func naiveMove(ctx context.Context, s *Node, gateway6 netip.Addr) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = ArticleBridge, hardware(ServerMAC())
	if err := s.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("make it: %w", err)
	}
	if err := s.up(ArticleBridge); err != nil {
		return err
	}
	br, err := s.link(ArticleBridge)
	if err != nil {
		return err
	}
	nic, err := s.link(NIC)
	if err != nil {
		return err
	}
	if err := s.nl.LinkSetMaster(nic, br); err != nil {
		return fmt.Errorf("put %s on it: %w", NIC, err)
	}
	addrs, err := s.nl.AddrList(nic, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", NIC, err)
	}
	for i := range addrs {
		if err := s.nl.AddrDel(nic, &addrs[i]); err != nil {
			return fmt.Errorf("remove %v from %s: %w", addrs[i].IPNet, NIC, err)
		}
	}
	select {
	case <-time.After(shellPace):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// Deleting the addresses took the IPv4 default route with them, but not
	// that of IPv6.
	if err := s.dropRoutes(nic); err != nil {
		return err
	}
	if err := s.up(ArticleBridge, ServerIPv4(), ServerIPv6()); err != nil {
		return err
	}
	if err := s.route(anywhere4(), GatewayIPv4(), ArticleBridge); err != nil {
		return err
	}
	return s.route(anywhere6(), gateway6, ArticleBridge)
}

// dropRoutes removes the default routes through a link.
func (n *Node) dropRoutes(link netlink.Link) error {
	routes, err := n.nl.RouteList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list routes through %s: %w", link.Attrs().Name, err)
	}
	for i, r := range routes {
		if r.Gw == nil {
			continue
		}
		if err := n.nl.RouteDel(&routes[i]); err != nil {
			return fmt.Errorf("remove route via %v: %w", r.Gw, err)
		}
	}
	return nil
}

// radvdConf is the article's configuration: no DNS server in it yet. The
// intervals are those of the manuals' examples.
func radvdConf(link string, prefix netip.Prefix) string {
	return fmt.Sprintf(`interface %s {
	AdvSendAdvert on;
	MinRtrAdvInterval 3;
	MaxRtrAdvInterval 10;
	AdvManagedFlag off;
	AdvOtherConfigFlag off;
	prefix %v {
		AdvOnLink on;
		AdvAutonomous on;
		AdvRouterAddr on;
	};
};
`, link, prefix)
}

func (l *Lab) startRadvd(ctx context.Context, path string) error {
	dir, err := l.tempDir()
	if err != nil {
		return err
	}
	conf, pid := filepath.Join(dir, "radvd.conf"), filepath.Join(dir, "radvd.pid")
	if err := os.WriteFile(conf, []byte(radvdConf(ArticleBridge, ServerIPv6().Masked())), 0o600); err != nil {
		return fmt.Errorf("write radvd's configuration: %w", err)
	}
	said := new(bytes.Buffer)
	cmd := exec.Command(path, "--nodaemon", "--logmethod", "stderr", "--config", conf, "--pidfile", pid)
	cmd.Stderr = said
	p, err := l.Run(l.Server(), cmd)
	if err != nil {
		return err
	}
	// It writes its number once it has understood what it was told.
	for {
		if b, err := os.ReadFile(pid); err == nil && len(b) > 0 {
			return nil
		}
		select {
		case <-p.Done():
			return fmt.Errorf("radvd ended: %w: %s", p.err, oneLine(said.String()))
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for radvd: %w", context.Cause(ctx))
		}
	}
}

// finish runs a program in the server to its end.
func (l *Lab) finish(ctx context.Context, cmd *exec.Cmd) error {
	said := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = said, said
	p, err := l.Run(l.Server(), cmd)
	if err != nil {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, oneLine(said.String()))
	}
	return nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
