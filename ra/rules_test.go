package ra

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mdlayher/ndp"
)

// TestRules keeps the rules that senders of advertisements are compared by, one
// test each, with the RFC that makes it. Where the kernel has a part in keeping
// one, another test that has a kernel is named.
func TestRules(t *testing.T) {
	t.Run("RFC 4861 6.2.4: the first 3 multicast RAs at most 16 s apart", func(t *testing.T) {
		bubble(t, Config{Interface: "br0"}, func(f *fakeEdge, _ *Server, _ func()) {
			time.Sleep(time.Hour)
			all := f.sent()
			for i := range 3 {
				if d := all[i+1].at.Sub(all[i].at); d > 16*time.Second {
					t.Errorf("%d: %s", i, d)
				}
			}
			if d := all[4].at.Sub(all[3].at); d < 198*time.Second || d > 600*time.Second {
				t.Errorf("later ones are %s apart", d)
			}
		})
	})
	t.Run("RFC 4861 6.2.6: a solicited answer is delayed by 0 to 0.5 s, by default", func(t *testing.T) {
		for fraction, want := range map[float64]time.Duration{0: 0, 0.5: 250 * time.Millisecond, 1: 500 * time.Millisecond} {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeEdge()
				s := newServer(Config{Interface: "br0"}, f, f, fixed(fraction))
				done := make(chan error, 1)
				go func() { done <- s.Run(t.Context()) }()
				time.Sleep(5 * time.Second)
				f.sent()
				asked := time.Now()
				f.solicit("fe80::a", 255)
				time.Sleep(time.Second)
				if got := f.sent(); len(got) != 1 || got[0].at.Sub(asked) != want {
					t.Errorf("at %g: %v after %s", fraction, got, asked)
				}
				s.Handover()
				<-done
			})
		}
	})
	t.Run("RFC 4861 6.2.6: at least 3 s between multicast RAs", TestStormFromNobody)
	t.Run("RFC 4861 6.2.6: at least 3 s between multicast RAs, whoever comes up", TestGreet)
	t.Run("RFC 4861 6.1.1: RS with a hop limit other than 255 are discarded", TestFiveBadSolicitationsDontMakeItDeaf)
	t.Run("RFC 4861 6.1.1: RS from :: with a source link-layer option are discarded", func(t *testing.T) {
		bubble(t, Config{Interface: "br0", SolicitedDelay: Zero}, func(f *fakeEdge, s *Server, _ func()) {
			time.Sleep(time.Minute)
			f.sent()
			f.solicit("::", 255, unhex(t, "8500000000000000 0101525400123456")...)
			time.Sleep(10 * time.Second)
			if got := f.sent(); len(got) != 0 || s.Stats().UnspecifiedLLA != 1 {
				t.Errorf("sent %v, %+v", got, s.Stats())
			}
		})
	})
	final := func(t *testing.T) (*ndp.RouterAdvertisement, []string) {
		var m *ndp.RouterAdvertisement
		bubble(t, oneOfEach(), func(f *fakeEdge, s *Server, stop func()) {
			time.Sleep(time.Second)
			f.sent()
			s.Stop()
			stop()
			m = lastMessage(t, f.sent())
		})
		return m, told([]*ndp.RouterAdvertisement{m})
	}
	t.Run("RFC 4861 6.2.5: the last RA has router lifetime 0", func(t *testing.T) {
		if m, _ := final(t); m.RouterLifetime != 0 {
			t.Errorf("%+v", m)
		}
	})
	for rule, want := range map[string]string{
		"RFC 8106 5.1: at the end RDNSS have lifetime 0":                                           "rdnss 2001:db8:1::53 0",
		"RFC 8106 5.2: at the end DNSSL have lifetime 0":                                           "dnssl Example.com 0",
		"RFC 4191 2.3: at the end routes have lifetime 0":                                          "route 2001:db8:3::/48 0",
		"RFC 8781 4: at the end PREF64 has lifetime 0":                                             "pref64 64:ff9b::/96 0",
		"RFC 4862 5.5.3: at the end prefixes are deprecated, valid for at most 2 h":                "prefix 2001:db8:2::/64 valid 7200 preferred 0",
		"RFC 4862 5.5.3: at the end prefixes are valid no longer than before, and the default has": "prefix 2001:db8:1::/64 valid 5400 preferred 0",
	} {
		t.Run(rule, func(t *testing.T) {
			if _, got := final(t); !strings.Contains(strings.Join(got, "\n")+"\n", want+"\n") {
				t.Errorf("no %q in %q", want, got)
			}
		})
	}
	one := func(t *testing.T, cfg Config, l Link) *ndp.RouterAdvertisement {
		t.Helper()
		ms, err := cfg.Messages(l, State{}, clockStart())
		if err != nil {
			t.Fatal(err)
		}
		return ms[0]
	}
	t.Run("RFC 4191 2.2: preference is medium when the router lifetime is 0", func(t *testing.T) {
		for _, p := range []Preference{Low, Medium, High} {
			if m := one(t, Config{Interface: "br0", Preference: p, RouterLifetime: Zero}, testLink()); m.RouterSelectionPreference != Medium {
				t.Errorf("%s stays %s", p, m.RouterSelectionPreference)
			}
		}
	})
	// TestKernelLinkComesAndGoes and TestKernelUplinkLost have the kernel's part.
	t.Run("RFC 4861 6.2.5: not forwarding means router lifetime 0, by interface", TestForwardingOffMeansNoDefaultRouter)
	t.Run("RFC 8106 5.1: RDNSS lifetime is 3 x MaxRtrAdvInterval", TestLifetimesFollowIntervals)
	t.Run("RFC 8781 4: 13 bits of lifetime in units of 8 s, and PLC 0 to 5", TestPREF64Wire)
	t.Run("RFC 9096 3.4: preferred for at most 2700 s, valid for at most 5400 s by default", func(t *testing.T) {
		m := one(t, Config{Interface: "br0", Prefixes: []Prefix{{Prefix: mustPrefix("2001:db8:1::/64")}}}, testLink())
		if got := told([]*ndp.RouterAdvertisement{m}); got[0] != "prefix 2001:db8:1::/64 valid 5400 preferred 2700" {
			t.Errorf("%q", got)
		}
	})
	t.Run("RFC 9096 3.5: stale prefixes are advertised as such over a restart", TestStateSurvivesRestart)
	t.Run("RFC 7772 4: solicitations are answered by unicast", func(t *testing.T) {
		bubble(t, Config{Interface: "br0", SolicitedDelay: Zero}, func(f *fakeEdge, _ *Server, _ func()) {
			time.Sleep(time.Minute)
			f.sent()
			for range 10 {
				f.solicit("fe80::a", 255)
				time.Sleep(100 * time.Millisecond)
			}
			for _, s := range f.sent() {
				if s.to != netip.MustParseAddr("fe80::a") {
					t.Errorf("to %s", s.to)
				}
			}
		})
	})
	// TestKernelNoFragments has the kernel's part.
	t.Run("RFC 6980 5: no message needs fragments", TestSplitByOption)
	t.Run("RFC 6980 5: solicitations in fragments are discarded", TestCheckSolicitationPacket)
	t.Run("RFC 8319 4: router lifetime up to 65535 s", func(t *testing.T) {
		if m := one(t, Config{Interface: "br0", RouterLifetime: 65535 * time.Second}, testLink()); m.RouterLifetime != 65535*time.Second {
			t.Errorf("%s", m.RouterLifetime)
		}
		if err := (Config{Interface: "br0", MaxInterval: 65535 * time.Second}).Validate(); err != nil {
			t.Error(err)
		}
		if err := (Config{Interface: "br0", RouterLifetime: 65536 * time.Second}).Validate(); err == nil {
			t.Error("65536 s are taken")
		}
	})
	t.Run("RFC 4861 6.2.1: an MTU option is between 1280 and the link's MTU", func(t *testing.T) {
		if err := (Config{Interface: "br0", MTU: 1279}).Validate(); err == nil {
			t.Error("1279 is taken")
		}
		TestMTUStaysWithinTheLink(t)
	})
	t.Run("RFC 4861 6.2.7: other routers' RAs are checked for consistency", TestInconsistencies)
	t.Run("RFC 8910 2.3: a captive portal's URI, or that there is none", func(t *testing.T) {
		for _, uri := range []string{"https://example.com/api", ndp.Unrestricted} {
			m := one(t, Config{Interface: "br0", NoSourceLLA: true, CaptivePortal: uri}, testLink())
			if got, ok := m.Options[0].(*ndp.CaptivePortal); !ok || got.URI != uri {
				t.Errorf("%+v", m.Options[0])
			}
		}
	})
}
