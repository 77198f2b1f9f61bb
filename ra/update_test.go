package ra

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ndp"
)

// toldLast is what the last frame says of what hosts hold.
func toldLast(t *testing.T, frames []sentFrame) []string {
	t.Helper()
	return told([]*ndp.RouterAdvertisement{lastMessage(t, frames)})
}

func TestUpdateSwapsAtOnce(t *testing.T) {
	first := Config{Interface: "br0", SolicitedDelay: Zero, Prefixes: []Prefix{{Prefix: mustPrefix("2001:db8:1::/64")}}}
	second := Config{Interface: "br0", SolicitedDelay: Zero, Prefixes: []Prefix{{Prefix: mustPrefix("2001:db8:2::/64")}}}
	// The old one was told last 52 s before.
	both := []string{"prefix 2001:db8:2::/64 valid 5400 preferred 2700", "prefix 2001:db8:1::/64 valid 5348 preferred 0"}
	bubble(t, first, func(f *fakeEdge, s *Server, _ func()) {
		time.Sleep(100 * time.Second)
		f.sent()
		if err := s.Update(second); err != nil {
			t.Fatal(err)
		}
		// The next answer is of the new one, in the same instant.
		f.solicit("fe80::a", 255)
		synctest.Wait()
		got := f.sent()
		for _, frame := range got {
			if diff := cmp.Diff(both, toldLast(t, []sentFrame{frame})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		}
		if len(got) == 0 || got[0].to != allNodes() {
			t.Errorf("sent %v", got)
		}
		// And again soon, RFC 4861 6.2.4.
		time.Sleep(50 * time.Second)
		if got := f.sent(); len(got) != 3 {
			t.Errorf("%d more within 50 s", len(got))
		}
		if c := s.Stats(); c.Updates != 1 {
			t.Errorf("%+v", c)
		}
		// An equal one is none.
		if err := s.Update(second); err != nil || s.Stats().Updates != 1 {
			t.Errorf("equal: %v, %+v", err, s.Stats())
		}
		time.Sleep(2 * time.Hour)
		if got := toldLast(t, f.sent()); !slices.Equal(got, both[:1]) {
			t.Errorf("after two hours: %q", got)
		}
	})
}

func TestUpdateKeepsTheRateLimit(t *testing.T) {
	bubble(t, Config{Interface: "br0"}, func(f *fakeEdge, s *Server, _ func()) {
		for i := range 50 {
			c := Config{Interface: "br0", RDNSS: []RDNSS{{Servers: []netip.Addr{netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)})}}}}
			if err := s.Update(c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(20 * time.Second)
		all := f.sent()
		for i := 1; i < len(all); i++ {
			if d := all[i].at.Sub(all[i-1].at); d < 3*time.Second {
				t.Errorf("multicasts %s apart", d)
			}
		}
		if got := toldLast(t, all); len(got) != 50 || got[0] != "rdnss 2001::31 1800" {
			t.Errorf("%d in the last: %q", len(got), got)
		}
	})
}

func TestUpdateRefusals(t *testing.T) {
	bubble(t, Config{Interface: "br0", StateFile: ""}, func(f *fakeEdge, s *Server, stop func()) {
		time.Sleep(time.Minute)
		f.sent()
		for field, c := range map[string]Config{
			"Interface":   {Interface: "br1"},
			"StateFile":   {Interface: "br0", StateFile: "/x"},
			"MTU":         {Interface: "br0", MTU: 9000},
			"MaxInterval": {Interface: "br0", MaxInterval: time.Second},
		} {
			var ce *ConfigError
			if err := s.Update(c); !errors.As(err, &ce) || ce.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		synctest.Wait()
		if got := f.sent(); len(got) != 0 || s.Stats().Updates != 0 {
			t.Errorf("refused, and sent %v", got)
		}
		stop()
		if err := s.Update(Config{Interface: "br0", Managed: true}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// The countdown goes on over restarts, of whatever kind, and what a new
// configuration leaves out is taken back.
func TestStateSurvivesRestart(t *testing.T) {
	for _, end := range []string{"handover", "stop", "crash"} {
		t.Run(end, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "br0.json")
			first := Config{Interface: "br0", StateFile: file, Prefixes: []Prefix{{Prefix: mustPrefix("2001:db8:1::/64")}}}
			second := Config{Interface: "br0", StateFile: file, Prefixes: []Prefix{{Prefix: mustPrefix("2001:db8:2::/64")}}}
			var kept []byte
			synctest.Test(t, func(t *testing.T) {
				generation := func(c Config, after time.Duration, fn func(f *fakeEdge, s *Server)) {
					time.Sleep(after)
					f := newFakeEdge()
					s := newServer(c, f, f, fixed(0.5))
					done := make(chan error, 1)
					go func() { done <- s.Run(t.Context()) }()
					synctest.Wait()
					fn(f, s)
					kept, _ = os.ReadFile(file)
					if end == "stop" {
						s.Stop()
					} else {
						s.Handover()
					}
					if err := <-done; err != nil {
						t.Error(err)
					}
					if end == "crash" { // as if it had never got to the end
						if err := os.WriteFile(file, kept, 0o644); err != nil {
							t.Fatal(err)
						}
					}
				}
				generation(first, 0, func(*fakeEdge, *Server) {})
				generation(second, 10*time.Second, func(f *fakeEdge, s *Server) {
					got := toldLast(t, f.sent())
					want := "prefix 2001:db8:1::/64 valid 5390 preferred 0"
					if end == "crash" { // it may have been told a moment ago
						want = "prefix 2001:db8:1::/64 valid 5400 preferred 0"
					}
					if len(got) != 2 || got[1] != want {
						t.Errorf("second start tells %q, want %q", got, want)
					}
				})
				generation(second, 1000*time.Second, func(f *fakeEdge, s *Server) {
					got := toldLast(t, f.sent())
					var left int
					if len(got) == 2 {
						fmt.Sscanf(got[1], "prefix 2001:db8:1::/64 valid %d preferred 0", &left)
					}
					// The three seconds before a goodbye count too.
					if left < 4384 || left > 4400 {
						t.Errorf("third start tells %q", got)
					}
				})
				generation(second, 6000*time.Second, func(f *fakeEdge, s *Server) {
					if got := toldLast(t, f.sent()); len(got) != 1 {
						t.Errorf("after all have forgotten: %q", got)
					}
				})
			})
		})
	}
}

func TestBadStateFileKeepsNobodyFromAdvertising(t *testing.T) {
	file := filepath.Join(t.TempDir(), "br0.json")
	if err := os.WriteFile(file, []byte("garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	bubble(t, Config{Interface: "br0", StateFile: file, PREF64: []PREF64{{Prefix: mustPrefix("64:ff9b::/96")}}}, func(f *fakeEdge, s *Server, _ func()) {
		if got := f.sent(); len(got) != 1 {
			t.Errorf("sent %v", got)
		}
		if s.Stats().StateErrors != 1 {
			t.Errorf("%+v", s.Stats())
		}
		if state, err := LoadState(file); err != nil || len(state.Held) != 1 {
			t.Errorf("written anew: %+v, %v", state, err)
		}
	})
}

// RFC 4861, section 6.2.1: lifetimes may decrement in real time.
func TestLifetimesCountDownToADate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEdge()
		start := time.Now()
		s := newServer(Config{Interface: "br0", SolicitedDelay: Zero, Prefixes: []Prefix{{
			Prefix: mustPrefix("2001:db8:1::/64"), Preferred: Infinity, Valid: Infinity,
			PreferredUntil: start.Add(time.Hour), ValidUntil: start.Add(2 * time.Hour),
		}}}, f, f, fixed(0.5))
		done := make(chan error, 1)
		go func() { done <- s.Run(t.Context()) }()
		for _, tt := range []struct {
			at   time.Duration
			want string
		}{
			{time.Minute, "prefix 2001:db8:1::/64 valid 7140 preferred 3540"},
			{61 * time.Second, "prefix 2001:db8:1::/64 valid 7139 preferred 3539"},
			{90 * time.Minute, "prefix 2001:db8:1::/64 valid 1800 preferred 0"},
			{3 * time.Hour, "prefix 2001:db8:1::/64 valid 0 preferred 0"},
		} {
			time.Sleep(time.Until(start.Add(tt.at)))
			synctest.Wait()
			f.sent()
			f.solicit("fe80::a", 255)
			synctest.Wait()
			if got := toldLast(t, f.sent()); len(got) != 1 || got[0] != tt.want {
				t.Errorf("after %s: %q, want %q", tt.at, got, tt.want)
			}
		}
		s.Handover()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
