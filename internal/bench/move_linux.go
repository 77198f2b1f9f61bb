package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/slaac"
)

// moveWindow is long enough for IPv6 to come back after duplicate address
// detection.
const moveWindow = 4 * time.Second

// mover is a way to move the server's addresses onto a bridge.
type mover struct {
	name string
	// needs are the programs it runs, with the Debian packages they are in.
	needs map[string]string
	// root: it works only where this is the machine's own root.
	root bool
	// prepare, if set, brings the server to where the move begins.
	prepare func(ctx context.Context, s *site) error
	move    func(ctx context.Context, s *site) error
	// settle, if set, makes the move final once nothing is counted any more.
	settle func(ctx context.Context, s *site) error
}

// movers lists the ways, ours first.
func movers() []mover {
	return []mover{
		{
			name: "fullhost apply",
			move: func(ctx context.Context, s *site) error {
				_, err := s.apply(ctx)
				return err
			},
			// Its watchdog would go on to wait otherwise.
			settle: func(ctx context.Context, s *site) error {
				_, err := s.run(ctx, "confirm", "-f", s.config)
				return err
			},
		},
		{name: "good order, one ip -batch", needs: map[string]string{"ip": "iproute2"}, move: func(ctx context.Context, s *site) error {
			return s.shell(ctx, "ip -batch - <<END\n"+goodBatch()+"\nEND")
		}},
		{name: "naive order, ip commands", needs: map[string]string{"ip": "iproute2"}, move: func(ctx context.Context, s *site) error {
			return s.shell(ctx, naiveScript())
		}},
		{
			name:    "networkd by netplan's files",
			needs:   map[string]string{"netplan": "netplan.io", "networkctl": "systemd", "dbus-daemon": "dbus", "unshare": "util-linux"},
			root:    true,
			prepare: prepareNetplan,
			move:    moveByNetplan,
		},
	}
}

// goodBatch is our order in the words of ip: what one could write by hand who
// knows it.
func goodBatch() string {
	linkLocal := netip.PrefixFrom(slaac.LinkLocal(slaac.MAC(lab.ServerMAC())), 64)
	return strings.Join([]string{
		fmt.Sprintf("link add %s address %s type bridge stp_state 0 forward_delay 0 mcast_snooping 0", lab.ArticleBridge, lab.ServerMAC()),
		fmt.Sprintf("link set %s up", lab.ArticleBridge),
		fmt.Sprintf("addr add %s dev %s", lab.ServerIPv4(), lab.ArticleBridge),
		fmt.Sprintf("addr add %s dev %s nodad", lab.ServerIPv6(), lab.ArticleBridge),
		fmt.Sprintf("addr replace %s dev %s nodad", linkLocal, lab.ArticleBridge),
		fmt.Sprintf("link set %s master %s", lab.NIC, lab.ArticleBridge),
		fmt.Sprintf("route replace default via %s dev %s onlink", lab.GatewayIPv4(), lab.ArticleBridge),
		fmt.Sprintf("route replace ::/0 via %s dev %s", lab.GatewayIPv6(), lab.ArticleBridge),
		fmt.Sprintf("addr del %s dev %s", linkLocal, lab.NIC),
		fmt.Sprintf("addr del %s dev %s", lab.ServerIPv6(), lab.NIC),
		fmt.Sprintf("addr del %s dev %s", lab.ServerIPv4(), lab.NIC),
	}, "\n")
}

// naiveScript moves what the NIC has in the order of the manuals: make the
// bridge, put the NIC on it, take its addresses off, give them to the bridge.
func naiveScript() string {
	return strings.Join([]string{
		fmt.Sprintf("ip link add %s address %s type bridge", lab.ArticleBridge, lab.ServerMAC()),
		fmt.Sprintf("ip link set %s up", lab.ArticleBridge),
		fmt.Sprintf("ip link set %s master %s", lab.NIC, lab.ArticleBridge),
		fmt.Sprintf("ip addr flush dev %s", lab.NIC),
		fmt.Sprintf("ip addr add %s dev %s", lab.ServerIPv4(), lab.ArticleBridge),
		fmt.Sprintf("ip addr add %s dev %s", lab.ServerIPv6(), lab.ArticleBridge),
		fmt.Sprintf("ip route replace default via %s dev %s onlink", lab.GatewayIPv4(), lab.ArticleBridge),
		fmt.Sprintf("ip -6 route replace default via %s dev %s", lab.GatewayIPv6(), lab.ArticleBridge),
	}, "\n")
}

// shell runs lines on the server, up to the first that fails.
func (s *site) shell(ctx context.Context, script string) error {
	said := new(bytes.Buffer)
	cmd := exec.Command("/bin/sh", "-e", "-c", "PATH=$PATH:/usr/sbin:/sbin\n"+script)
	cmd.Stdout, cmd.Stderr = said, said
	p, err := s.Run(s.Server(), cmd)
	if err != nil {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("run a script on the server: %w\n%s", err, said)
	}
	return nil
}

// move measures what each way does to those who are connected.
func (b *bench) move(ctx context.Context) error {
	var ours harms
	for _, m := range movers() {
		if !strings.Contains(m.name, b.way) {
			continue
		}
		if why := m.missing(); why != "" {
			if err := b.note("move: %s: left out, %s", m.name, why); err != nil {
				return err
			}
			continue
		}
		hs := newHarms()
		if err := b.times(ctx, "move, "+m.name, time.Minute, func(ctx context.Context) error {
			return b.inSite(ctx, 1, func(s *site) error {
				if m.prepare != nil {
					if err := m.prepare(ctx, s); err != nil {
						return err
					}
				}
				err := hs.during(ctx, s, moveWindow, func(ctx context.Context) error { return m.move(ctx, s) })
				if err != nil || m.settle == nil {
					return err
				}
				return m.settle(ctx, s)
			})
		}); err != nil {
			return err
		}
		for _, f := range families() {
			rows := hs[f].rows(benchMove, m.name, f)
			beyond := hs[f].beyond(benchMove, m.name, f)
			if ours != nil {
				// The others are seen against us; their own control is as ours.
				rows[0].Beside = &peer{movers()[0].name, ours[f].stall}
				rows[1].Beside = &peer{movers()[0].name, ours[f].lost}
			}
			if err := b.emit(append(rows, beyond)...); err != nil {
				return err
			}
		}
		if err := b.noteDead(m.name, hs); err != nil {
			return err
		}
		if ours == nil {
			ours = hs
		}
	}
	return nil
}

// missing says what keeps a way from being measured here, "" if nothing does.
func (m mover) missing() string {
	for _, program := range slices.Sorted(maps.Keys(m.needs)) {
		if !installed(program) {
			return fmt.Sprintf("the program %s (package %s) is not installed", program, m.needs[program])
		}
	}
	if m.root && !initialRoot() {
		return "it needs the machine's own root"
	}
	return ""
}

// initialRoot reports whether this is root of the machine, not of a user
// namespace.
func initialRoot() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(b))
	return err == nil && len(f) == 3 && f[0] == "0" && f[1] == "0"
}

// installed looks for a program where root would find it.
func installed(program string) bool {
	for _, dir := range []string{"", "/usr/local/sbin/", "/usr/sbin/", "/sbin/"} {
		if _, err := exec.LookPath(dir + program); err == nil || errors.Is(err, exec.ErrDot) {
			return true
		}
	}
	return false
}
