package gateway

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/natcases"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/plan"
)

// serveSite sets a gateway up on a site and serves it until the test ends.
func serveSite(t *testing.T, s *natcases.Site, cfg Config) *Gateway {
	t.Helper()
	cfg.Prefix, cfg.Guests = nat64.WellKnown(), netip.MustParsePrefix(natcases.Guests)
	cfg.GuestLink, cfg.Uplink, cfg.Mappings = natcases.GuestLink, natcases.Uplink, t.TempDir()+"/nat64.json"
	var g *Gateway
	nstest.Do(t, s.Host, func() error {
		there, err := Capture(context.Background(), cfg.Scope())
		if err != nil {
			return err
		}
		want, err := cfg.State(there)
		if err != nil {
			return err
		}
		p, err := Plan(there, want)
		if err != nil {
			return err
		}
		if err := p.Run(context.Background(), plan.Apply, nil); err != nil {
			return err
		}
		g, err = New(cfg)
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return g
}

// segmentsUDP reports whether this kernel gives a device UDP of many segments.
func segmentsUDP(t *testing.T, s *natcases.Site) (ok bool) {
	t.Helper()
	nstest.Do(t, s.Host, func() error {
		fd, err := openTun("probe0")
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		ok = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, takesPartial|takesTCP4|takesTCP6|takesSegments) == nil
		return nil
	})
	t.Logf("UDP of many segments: %v", ok)
	return ok
}

// Every case by the portable path.
func TestCases(t *testing.T) {
	s := natcases.NewSite(t)
	if os.Getenv("CI_TIER") == "full" {
		s.FileSize = 1 << 30
	}
	g := serveSite(t, s, Config{Queues: 2})
	udp := segmentsUDP(t, s)
	for _, c := range natcases.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			began, before := time.Now(), g.Stats()
			if err := c.Run(s); err != nil {
				t.Error(err)
			}
			took, now := time.Since(began), g.Stats()
			to4, to6 := now.To4.Packets-before.To4.Packets, now.To6.Packets-before.To6.Packets
			t.Logf("%v, %d packets to IPv4, %d to IPv6", took, to4, to6)
			// Packets of many segments stay one: of 1,500 octets these would be
			// ten times as many.
			most := map[string]uint64{"a file both ways": uint64(s.FileSize) / 4000}[c.Name]
			if udp && strings.HasPrefix(c.Name, "UDP segments") {
				most = 20
			}
			if most > 0 && (to4 > most || to6 > most) {
				t.Errorf("%d packets to IPv4 and %d to IPv6, want %d at most", to4, to6, most)
			}
		})
	}
	if st := g.Stats(); st.Failed != 0 || st.Unknown != 0 || st.Fragments != 0 {
		t.Errorf("%+v", st)
	}
}
