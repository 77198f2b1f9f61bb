package gateway

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

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

// Every case by the portable path.
func TestCases(t *testing.T) {
	s := natcases.NewSite(t)
	if os.Getenv("CI_TIER") == "full" {
		s.FileSize = 1 << 30
	}
	g := serveSite(t, s, Config{Queues: 2})
	for _, c := range natcases.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			began := time.Now()
			if err := c.Run(s); err != nil {
				t.Error(err)
			}
			t.Logf("%v", time.Since(began))
		})
	}
	if st := g.Stats(); st.Failed != 0 || st.Unknown != 0 || st.Fragments != 0 {
		t.Errorf("%+v", st)
	}
}
