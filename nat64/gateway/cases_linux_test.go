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

// Every case, by each path, and while the path is changed again and again.
func TestCases(t *testing.T) {
	t.Run(PathPortable, func(t *testing.T) {
		s, cfg := newCases(t)
		runCases(t, s, serveSite(t, s, cfg), Stats.portable, 0)
	})
	t.Run(PathFast, func(t *testing.T) {
		s, cfg := newCases(t)
		cfg.Pins, s.IPv4Only = nstest.BPFFS(t)+"/nat64", true
		g := serveSite(t, s, cfg)
		runCases(t, s, g, Stats.both, 0)
		// The file, the connections and what was lost on the way went by the
		// programs; by the process what needs judgement.
		st := g.Stats()
		if st.Path != PathFast || st.To4.FastOctets < uint64(s.FileSize) || st.To6.FastOctets < uint64(s.FileSize) {
			t.Errorf("path %s (%v): %+v %+v", st.Path, st.FastPathError, st.To4, st.To6)
		}
		if st.To4.Octets > st.To4.FastOctets/4 || st.To6.Octets > st.To6.FastOctets/4 {
			t.Errorf("not by the fast path: %+v %+v", st.To4, st.To6)
		}
	})
	t.Run("changing", func(t *testing.T) {
		s, cfg := newCases(t)
		cfg.Pins, s.IPv4Only = nstest.BPFFS(t)+"/nat64", true
		g := serveSite(t, s, cfg)
		stop := changePaths(t, s, g)
		runCases(t, s, g, Stats.both, 2)
		n := stop()
		st := g.Stats()
		t.Logf("%d changes, %+v %+v", n, st.To4, st.To6)
		if n < 4 || st.To4.FastPackets == 0 || st.To6.FastPackets == 0 || st.To4.Packets == 0 || st.To6.Packets == 0 {
			t.Errorf("%d changes, not by both paths: %+v %+v", n, st.To4, st.To6)
		}
	})
}

// newCases makes a site for all cases, and what of a Config is theirs.
func newCases(t *testing.T) (*natcases.Site, Config) {
	s := natcases.NewSite(t)
	if os.Getenv("CI_TIER") == "full" {
		s.FileSize = 1 << 30
	}
	return s, Config{Queues: 2}
}

// portable and both are how many packets were translated in each direction.
func (s Stats) portable() (to4, to6 uint64) { return s.To4.Packets, s.To6.Packets }
func (s Stats) both() (to4, to6 uint64) {
	return s.To4.Packets + s.To4.FastPackets, s.To6.Packets + s.To6.FastPackets
}

func runCases(t *testing.T, s *natcases.Site, g *Gateway, packets func(Stats) (to4, to6 uint64), again int) {
	udp := segmentsUDP(t, s)
	for _, c := range natcases.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			began := time.Now()
			before4, before6 := packets(g.Stats())
			err := c.Run(s)
			// Nobody sends a datagram again, and of one in many pieces one may be
			// lost when the path changes under it.
			for range again {
				if err == nil || !strings.HasPrefix(c.Name, "UDP of") && c.Name != "a stateful firewall" {
					break
				}
				t.Logf("again, as %v", err)
				err = c.Run(s)
			}
			if err != nil {
				t.Error(err)
			}
			to4, to6 := packets(g.Stats())
			to4, to6 = to4-before4, to6-before6
			t.Logf("%v, %d packets to IPv4, %d to IPv6", time.Since(began), to4, to6)
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

// changePaths removes the fast path and puts it back until it is stopped; then
// it tells how often.
func changePaths(t *testing.T, s *natcases.Site, g *Gateway) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	n := 0
	change := func(on bool) error {
		return s.Host.Do(func() error {
			there, err := Capture(ctx, g.config.Scope())
			if err != nil {
				return err
			}
			want, err := g.config.State(there)
			if err != nil {
				return err
			}
			if !on {
				want.Fast = nil
			}
			p, err := Plan(there, want)
			if err != nil {
				return err
			}
			return p.Run(ctx, plan.Apply, nil)
		})
	}
	go func() {
		for on := false; ctx.Err() == nil; on = !on {
			if err := change(on); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
			n++
			g.refollow() // what Run does within a second
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Millisecond):
			}
		}
		done <- nil
	}()
	return func() int {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("change the path: %v", err)
		}
		return n
	}
}
