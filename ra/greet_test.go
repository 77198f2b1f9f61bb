package ra

import (
	"testing"
	"testing/synctest"
	"time"
)

// A host that comes up is told before it asks, by a multicast, which keeps RFC
// 4861's 3 s (section 6.2.6).
func TestGreet(t *testing.T) {
	t.Run("at once, once", func(t *testing.T) {
		bubble(t, Config{Interface: "br0", SolicitedDelay: Zero, Greet: true}, func(f *fakeEdge, s *Server, _ func()) {
			time.Sleep(5 * time.Second)
			f.sent()
			begun := time.Now()
			f.arrive("::", 1)
			synctest.Wait()
			f.arrive("::", 1) // hosts repeat it
			time.Sleep(5 * time.Second)
			got := f.sent()
			if len(got) != 1 || got[0].to != allNodes() || !got[0].at.Equal(begun) {
				t.Errorf("sent %v", got)
			}
			if c := s.Stats(); c.Greetings != 1 || c.Solicitations != 0 {
				t.Errorf("%+v", c)
			}
		})
	})
	t.Run("within 3 s the solicitation is waited for", func(t *testing.T) {
		bubble(t, Config{Interface: "br0", SolicitedDelay: Zero, Greet: true}, func(f *fakeEdge, _ *Server, _ func()) {
			time.Sleep(2 * time.Second)
			f.sent()
			f.arrive("::", 1)
			time.Sleep(time.Second)
			f.solicit("fe80::a", 255)
			time.Sleep(5 * time.Second)
			if got := f.sent(); len(got) != 1 || got[0].to.String() != "fe80::a" {
				t.Errorf("sent %v", got)
			}
		})
	})
	t.Run("with the solicited delay", func(t *testing.T) {
		bubble(t, Config{Interface: "br0", Greet: true}, func(f *fakeEdge, _ *Server, _ func()) {
			time.Sleep(5 * time.Second)
			f.sent()
			begun := time.Now()
			f.arrive("::", 1)
			time.Sleep(time.Second)
			if got := f.sent(); len(got) != 1 || got[0].at.Sub(begun) != 250*time.Millisecond {
				t.Errorf("sent %v", got)
			}
		})
	})
	t.Run("a storm of them", func(t *testing.T) {
		bubble(t, Config{Interface: "br0", SolicitedDelay: Zero, Greet: true}, func(f *fakeEdge, s *Server, _ func()) {
			for range 600 {
				for range 100 {
					f.arrive("::", 1)
				}
				time.Sleep(100 * time.Millisecond)
			}
			got := f.sent()
			for i := 1; i < len(got); i++ {
				if d := got[i].at.Sub(got[i-1].at); d < minDelayBetween {
					t.Errorf("%s after the one before", d)
				}
			}
			if len(got) < 18 || len(got) > 21 {
				t.Errorf("%d advertisements", len(got))
			}
		})
	})
	// What has an address is no new host, and what came from elsewhere no neighbor.
	for name, report := range map[string]struct {
		on   bool
		from string
		hops int
	}{
		"not wanted":  {false, "::", 1},
		"an old host": {true, "fe80::a", 1},
		"from afar":   {true, "::", 64},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{Interface: "br0", SolicitedDelay: Zero, Greet: report.on}, func(f *fakeEdge, _ *Server, _ func()) {
				time.Sleep(5 * time.Second)
				f.sent()
				f.arrive(report.from, report.hops)
				time.Sleep(5 * time.Second)
				if got := f.sent(); len(got) != 0 {
					t.Errorf("sent %v", got)
				}
			})
		})
	}
}
