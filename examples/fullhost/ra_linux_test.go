package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/mdlayher/ndp"
	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/ra"
)

// listeningGuest is on a port of br0 and notes what it hears.
type listeningGuest struct {
	mu    sync.Mutex
	heard []*ndp.RouterAdvertisement
}

func attachListener(t *testing.T, server *netns.NS) *listeningGuest {
	t.Helper()
	g := &listeningGuest{}
	guest := nstest.NS(t)
	nstest.Do(t, server, func() error {
		br, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MasterIndex = "vnet0", br.Attrs().Index
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(guest.File().Fd()))}); err != nil {
			return fmt.Errorf("attach guest: %w", err)
		}
		l, err := netlink.LinkByName("vnet0")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
	var l *ra.Listener
	nstest.Do(t, guest, func() (err error) {
		if l, err = ra.NewListener("eth0"); err != nil {
			return err
		}
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(eth0) // and the kernel solicits
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- l.Run(ctx, func(r ra.Received) {
			g.mu.Lock()
			defer g.mu.Unlock()
			if r.Err == nil {
				g.heard = append(g.heard, r.Message)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return g
}

// hears waits for an advertisement of which something holds, and returns it.
func (g *listeningGuest) hears(t *testing.T, what string, holds func(*ndp.RouterAdvertisement) bool) {
	t.Helper()
	eventually(t, "the guest to hear "+what, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return slices.ContainsFunc(g.heard, holds)
	})
}

// forget makes hears wait for what comes from now on.
func (g *listeningGuest) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heard = nil
}

func domains(m *ndp.RouterAdvertisement) (list []string) {
	for _, o := range m.Options {
		if d, ok := o.(*ndp.DNSSearchList); ok {
			for _, name := range d.DomainNames {
				list = append(list, fmt.Sprintf("%s %g", name, d.Lifetime.Seconds()))
			}
		}
	}
	return list
}

// TestRunChangesWhatGuestsAreTold: by SIGUSR1, without a new start; what was
// withdrawn is taken back, also by the next run, before which SIGUSR2 ended this
// one without a word; SIGTERM ends it with one.
func TestRunChangesWhatGuestsAreTold(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	g := attachListener(t, s.ns)
	g.hears(t, "a default router", func(m *ndp.RouterAdvertisement) bool { return m.RouterLifetime > 0 })
	signal := func(sig syscall.Signal) {
		t.Helper()
		if err := s.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	s.configure(t, "ra: {dnssl: [{domains: [a.example], lifetime: 1h}], preference: high}\n")
	signal(reloadSignal)
	g.hears(t, "the domain", func(m *ndp.RouterAdvertisement) bool {
		return m.RouterSelectionPreference == ra.High && slices.Equal(domains(m), []string{"a.example 3600"})
	})
	s.configure(t, "ra: {preference: high}\nmetrics: \"127.0.0.1:9364\"\n")
	signal(reloadSignal)
	s.until(t, "changes nothing") // metrics want a new start
	s.configure(t, "ra: {preference: high}\n")
	signal(reloadSignal)
	g.hears(t, "that the domain is gone", func(m *ndp.RouterAdvertisement) bool { return slices.Equal(domains(m), []string{"a.example 0"}) })
	g.forget()
	signal(restartSignal)
	if status := s.ended(t); status != 128+int(restartSignal) {
		t.Errorf("exit status %d", status)
	}

	nstest.Do(t, s.ns, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	s.configure(t, "ra: {preference: high}\nmetrics: \"127.0.0.1:9364\"\n")
	s.again(t)
	g.hears(t, "the next run taking the domain back", func(m *ndp.RouterAdvertisement) bool { return slices.Equal(domains(m), []string{"a.example 0"}) })
	g.mu.Lock()
	if slices.ContainsFunc(g.heard, func(m *ndp.RouterAdvertisement) bool { return m.RouterLifetime == 0 }) {
		t.Error("a run that is followed by another says goodbye")
	}
	g.mu.Unlock()
	var page string
	nstest.Do(t, s.ns, func() error {
		c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialIn(ctx, s.ns, network, addr)
		}}}
		defer c.CloseIdleConnections()
		resp, err := c.Get("http://127.0.0.1:9364/metrics")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		page = string(b)
		return err
	})
	for _, want := range []string{`sixhost_ra_advertisements_total{destination="multicast",interface="br0"} `, `sixhost_ra_withdrawn{interface="br0"} 1`, `sixhost_ra_default_router{interface="br0"} 1`} {
		if !strings.Contains(page, want) {
			t.Errorf("/metrics lacks %s:\n%s", want, page)
		}
	}
	s.stop(t)
	g.hears(t, "the goodbye", func(m *ndp.RouterAdvertisement) bool { return m.RouterLifetime == 0 })
}

// dialIn dials from a namespace, whichever goroutine asks.
func dialIn(ctx context.Context, ns *netns.NS, network, addr string) (c net.Conn, err error) {
	derr := ns.Do(func() error {
		c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return nil
	})
	if derr != nil {
		return nil, derr
	}
	return c, err
}

// TestRunWithoutUplink: the router lifetime follows the host's default route.
func TestRunWithoutUplink(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	g := attachListener(t, s.ns)
	g.hears(t, "a default router", func(m *ndp.RouterAdvertisement) bool { return m.RouterLifetime > 0 })
	// The keeper would put the route back at once; a change that is open keeps it
	// from that.
	s.configure(t, "address: 2001:db8:1:3::77\n")
	apply := &applying{file: s.file, lines: make(chan string, 1000)}
	apply.start(t, s.ns)
	apply.until(t, "Applied.")
	nstest.Output(t, s.ns, "ip", "-6", "route", "del", "default")
	g.hears(t, "that the way is gone", func(m *ndp.RouterAdvertisement) bool { return m.RouterLifetime == 0 })
	// Before undo: what it brings back may be told before it has ended.
	g.forget()
	if status, _, stderr := program(t, s.ns, nil, "undo", "-f", s.file); status != 0 {
		t.Fatalf("undo: status %d, %s", status, stderr)
	}
	apply.watchdogDone(t)
	g.hears(t, "that it is back", func(m *ndp.RouterAdvertisement) bool { return m.RouterLifetime > 0 })
}

// TestSIGTERMIsNoHandover: when a signal ends run, the keeper's end may reach the
// advertiser first. It is the signal that counts.
func TestSIGTERMIsNoHandover(t *testing.T) {
	t.Parallel()
	for signal, want := range map[syscall.Signal]bool{syscall.SIGTERM: true, restartSignal: false} {
		nstest.Do(t, nstest.NS(t), func() error {
			if _, err := rented(); err != nil {
				return err
			}
			h, err := newHost(context.Background(), config{StateDir: t.TempDir()}.withDefaults())
			if err != nil {
				return err
			}
			h.bridgeName = h.uplink // which is there
			root, end := context.WithCancelCause(context.Background())
			end(signalError{signal})
			var s runningServer
			adv, err := newAdvertiser(root, h, slog.New(slog.NewTextHandler(&s, nil)))
			if err != nil {
				return err
			}
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			ended := make(chan error, 1)
			go func() { ended <- adv.Run(ctx) }()
			s.until(t, "msg=advertising")
			stop()
			if err := <-ended; err != nil {
				return err
			}
			if got := strings.Contains(s.said(), "said goodbye"); got != want {
				t.Errorf("%v: it says goodbye: %v, want %v\n%s", signal, got, want, s.said())
			}
			return nil
		})
	}
}
