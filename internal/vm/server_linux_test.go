package vm

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
)

// server is a virtual machine at the practice provider.
type server struct {
	t     *testing.T
	ctx   context.Context
	lab   *lab.Lab
	m     *Machine
	site  site
	begin time.Time
	// stray judges what comes without the provider's tag.
	stray *wire.Judge
}

// start boots a server of a site.
func start(t *testing.T, p parts, s site) *server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute) // on a busy machine a boot takes three
	t.Cleanup(cancel)
	l, err := lab.New(ctx, lab.Config{Dir: t.TempDir(), Elsewhere: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	mac, _ := net.ParseMAC(guestMAC)
	l.Judge().AddGuest(wire.MAC(mac))

	files := p.common()
	for name, text := range s.files {
		files[name] = File{Mode: 0o644, Content: []byte(text)}
	}
	cfg := Config{Dir: t.TempDir(), Files: files}
	for i := range max(s.nics, 1) {
		nic := lab.ServerMAC()
		nic[5] += byte(i)
		cfg.MACs = append(cfg.MACs, nic[:])
	}
	srv := &server{t: t, ctx: ctx, lab: l, site: s, begin: time.Now()}
	if srv.m, err = p.root.Start(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.m.Close() })
	if srv.stray, err = wire.NewJudge(wire.Config{Server: lab.ServerMAC(), Prefix: lab.ServerIPv6().Masked()}); err != nil {
		t.Fatal(err)
	}
	carry, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		sw := &Switch{Router: l.Wire(), NICs: srv.m.NICs(), VLAN: s.vlan, Stray: srv.stray.Frame}
		if err := sw.Run(carry); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
	t.Cleanup(srv.explain)
	srv.booted("first boot")
	return srv
}

// explain shows what a failed test's machine is like.
func (s *server) explain() {
	if !s.t.Failed() {
		return
	}
	for _, log := range []string{s.m.Console(), filepath.Join(filepath.Dir(s.m.Console()), "qemu.log")} {
		b, err := os.ReadFile(log)
		s.t.Logf("%s, %v:\n%s", log, err, b[max(0, len(b)-20000):])
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 20*time.Second)
	defer cancel()
	out, err := s.m.Run(ctx, "ip -d addr; ip route; ip -6 route; networkctl; systemctl --failed; ls -lR /etc/systemd/network /etc/netplan /etc/sixhost; journalctl -b --no-pager -q -u sixhost -u sixhost-edge -u systemd-networkd -u guest | tail -60; nft list counters table bridge sixhost_edge")
	s.t.Logf("the machine, %v:\n%s", err, out)
	s.t.Logf("the judge: %+v", s.lab.Judge().Report())
}

// run runs a command that must not fail.
func (s *server) run(shell string) string {
	s.t.Helper()
	out, err := s.m.Run(s.ctx, shell)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// booted waits for a boot and until the provider reaches the server.
func (s *server) booted(what string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Minute)
	defer cancel()
	if err := s.m.WaitBoot(ctx); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	took := time.Since(s.begin)
	s.reachable(what, time.Minute)
	s.t.Logf("%s: commands are taken after %.1f s, both families answer after %.1f s", what, took.Seconds(), time.Since(s.begin).Seconds())
}

// reachable waits until the server answers the provider over both families.
func (s *server) reachable(when string, within time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, within)
	defer cancel()
	for _, to := range []netip.Addr{lab.ServerIPv4().Addr(), lab.ServerIPv6().Addr()} {
		for {
			a := probe.TryPing(ctx, s.lab.Node(lab.Provider).NS(), to, 2*time.Second)
			if a.Outcome == probe.Answered {
				break
			}
			if ctx.Err() != nil {
				s.t.Fatalf("%s: not within %v: %v", when, within, a)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// reboot reboots the server in good order.
func (s *server) reboot(what string) {
	s.t.Helper()
	s.begin = time.Now()
	// The answer may or may not make it out.
	go s.m.Run(s.ctx, "systemctl reboot")
	s.booted(what)
}

// apply runs the apply phase and waits for its end; the provider must find the
// server there then.
func (s *server) apply() {
	s.t.Helper()
	const log = "/run/apply.log"
	ended := make(chan error, 1)
	go func() {
		_, err := s.m.Run(s.ctx, "fullhost apply >"+log+" 2>&1")
		ended <- err
	}()
	for {
		if _, err := s.m.Run(s.ctx, "grep -q ^Applied "+log); err == nil {
			break
		}
		select {
		case err := <-ended:
			s.t.Fatalf("apply ended too early: %v\n%s", err, s.run("cat "+log))
		case <-time.After(200 * time.Millisecond):
		case <-s.ctx.Done():
			s.t.Fatalf("apply does not end: %v", s.ctx.Err())
		}
	}
	s.reachable("after apply", 10*time.Second)
}

// guestSent waits until the guest has sent another round of all it has, and
// returns how many frames it has sent since the boot.
func (s *server) guestSent() int {
	s.t.Helper()
	count := func() int {
		n, err := strconv.Atoi(s.run("cat " + guestCount))
		if err != nil {
			s.t.Fatal(err)
		}
		return n
	}
	first := count()
	for now := first; ; now = count() {
		if now >= first+40 {
			return now
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-s.ctx.Done():
			s.t.Fatalf("the guest is silent after %d frames", now)
		}
	}
}

// clean fails the test if the provider has seen anything that is not the
// server's own.
func (s *server) clean(when string) {
	s.t.Helper()
	for name, r := range map[string]wire.Report{"": s.lab.Judge().Report(), "untagged, ": s.stray.Report()} {
		if n := r.Offences(); n > 0 {
			s.t.Errorf("%s: %s%d offences in %d frames: %v", when, name, n, r.Frames, r.Findings)
		}
	}
	if n, err := s.lab.Dropped(); n > 0 || err != nil {
		s.t.Errorf("%s: port security refused %d frames, %v", when, n, err)
	}
	if w := s.lab.Watched(); w.Lost > 0 || w.Frames == 0 {
		s.t.Errorf("%s: the judge saw %d frames and missed %d", when, w.Frames, w.Lost)
	}
}
