package ra

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mdlayher/ndp"
)

// told is what one message says of prefixes, servers, domains, NAT64 prefixes
// and routes, as "prefix 2001:db8::/64 valid 5400 preferred 2700".
func told(ms []*ndp.RouterAdvertisement) []string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, m := range ms {
		for _, o := range m.Options {
			switch o := o.(type) {
			case *ndp.PrefixInformation:
				add("prefix %s/%d valid %g preferred %g", o.Prefix, o.PrefixLength, o.ValidLifetime.Seconds(), o.PreferredLifetime.Seconds())
			case *ndp.RouteInformation:
				add("route %s/%d %g", o.Prefix, o.PrefixLength, o.RouteLifetime.Seconds())
			case *ndp.RecursiveDNSServer:
				for _, a := range o.Servers {
					add("rdnss %s %g", a, o.Lifetime.Seconds())
				}
			case *ndp.DNSSearchList:
				for _, d := range o.DomainNames {
					add("dnssl %s %g", d, o.Lifetime.Seconds())
				}
			case *ndp.PREF64:
				add("pref64 %s %g", o.Prefix, o.Lifetime.Seconds())
			}
		}
	}
	return list
}

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// oneOfEach is advertised first, and replaced by a Config with nothing.
func oneOfEach() Config {
	return Config{
		Interface: "br0",
		Prefixes:  []Prefix{{Prefix: mustPrefix("2001:db8:1::/64")}, {Prefix: mustPrefix("2001:db8:2::/64"), Valid: 24 * time.Hour}},
		RDNSS:     []RDNSS{{Servers: []netip.Addr{netip.MustParseAddr("2001:db8:1::53")}}},
		DNSSL:     []DNSSL{{Domains: []string{"Example.com."}, Lifetime: time.Hour}},
		PREF64:    []PREF64{{Prefix: mustPrefix("64:ff9b::/96")}},
		Routes:    []Route{{Prefix: mustPrefix("2001:db8:3::/48"), Preference: High}},
	}
}

// RFC 4861, section 6.2.5, and RFC 9096, section 3.5: what was withdrawn is
// advertised with lifetime 0 for as long as a host could hold it. RFC 4862,
// section 5.5.3 e: an address outlives its prefix by two hours at most.
func TestWithdrawnIsTakenBackWhileHeld(t *testing.T) {
	t0 := clockStart()
	before := oneOfEach().State(State{}, t0)
	none := Config{Interface: "br0"}
	s := none.State(before, t0)
	for _, tt := range []struct {
		after time.Duration
		want  []string
	}{
		{0, []string{
			"prefix 2001:db8:1::/64 valid 5400 preferred 0", "prefix 2001:db8:2::/64 valid 7200 preferred 0",
			"route 2001:db8:3::/48 0", "rdnss 2001:db8:1::53 0", "dnssl Example.com 0", "pref64 64:ff9b::/96 0",
		}},
		{1000 * time.Second, []string{
			"prefix 2001:db8:1::/64 valid 4400 preferred 0", "prefix 2001:db8:2::/64 valid 6200 preferred 0",
			"route 2001:db8:3::/48 0", "rdnss 2001:db8:1::53 0", "dnssl Example.com 0", "pref64 64:ff9b::/96 0",
		}},
		// Routes, servers and NAT64 prefixes had 1800 s.
		{1801 * time.Second, []string{
			"prefix 2001:db8:1::/64 valid 3599 preferred 0", "prefix 2001:db8:2::/64 valid 5399 preferred 0", "dnssl Example.com 0",
		}},
		{3601 * time.Second, []string{"prefix 2001:db8:1::/64 valid 1799 preferred 0", "prefix 2001:db8:2::/64 valid 3599 preferred 0"}},
		{5401 * time.Second, []string{"prefix 2001:db8:2::/64 valid 1799 preferred 0"}},
		// A host that missed all of it may hold the address for a day.
		{23 * time.Hour, []string{"prefix 2001:db8:2::/64 valid 0 preferred 0"}},
		{24*time.Hour + time.Second, nil},
	} {
		now := t0.Add(tt.after)
		// Whether the state was asked in between makes no difference.
		for _, state := range []State{s, none.State(s, now)} {
			ms, err := none.Messages(testLink(), state, now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, told(ms)); diff != "" {
				t.Errorf("after %s (-want +got)\n%s", tt.after, diff)
			}
		}
	}
	if got := none.State(s, t0.Add(25*time.Hour)); len(got.Held) != 0 {
		t.Errorf("after all has run out it still remembers %+v", got)
	}
}

func TestStateOverTime(t *testing.T) {
	t0 := clockStart()
	with := func(d time.Duration) Config {
		return Config{Interface: "br0", RDNSS: []RDNSS{{Servers: []netip.Addr{netip.MustParseAddr("2001:db8::53")}, Lifetime: d}}}
	}
	none := Config{Interface: "br0"}
	t.Run("advertised again, it isn't taken back", func(t *testing.T) {
		s := none.State(with(time.Hour).State(State{}, t0), t0)
		s = with(time.Hour).State(s, t0.Add(time.Minute))
		if len(s.withdrawn(t0.Add(time.Minute))) != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("a longer lifetime of before counts", func(t *testing.T) {
		s := with(24*time.Hour).State(State{}, t0)
		s = with(time.Hour).State(s, t0)
		s = none.State(s, t0.Add(time.Minute))
		if !s.Held[0].Until.Equal(t0.Add(24 * time.Hour)) {
			t.Errorf("%+v", s)
		}
	})
	t.Run("after a handover what was told last counts", func(t *testing.T) {
		s := with(time.Hour).State(State{}, t0)
		s.Told = t0.Add(10 * time.Minute)
		s = none.State(s, t0.Add(30*time.Minute))
		if !s.Held[0].Until.Equal(t0.Add(70 * time.Minute)) {
			t.Errorf("%+v", s)
		}
	})
	t.Run("after a crash it may have been told until now", func(t *testing.T) {
		s := none.State(with(time.Hour).State(State{}, t0), t0.Add(30*time.Minute))
		if !s.Held[0].Until.Equal(t0.Add(90 * time.Minute)) {
			t.Errorf("%+v", s)
		}
	})
	t.Run("endless ends", func(t *testing.T) {
		s := none.State(with(Infinity).State(State{}, t0), t0)
		if !s.Held[0].Until.Equal(t0.Add(longestHeld)) {
			t.Errorf("%+v", s)
		}
	})
	t.Run("bounded", func(t *testing.T) {
		s := State{}
		for i := range 2 * mostHeld {
			c := Config{Interface: "br0", Routes: []Route{{Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i)}), 48)}}}
			s = c.State(s, t0.Add(time.Duration(i)*time.Second))
		}
		if len(s.Held) != mostHeld+1 {
			t.Errorf("%d entries", len(s.Held))
		}
		// The latest are kept.
		if s.Held[0].Prefix.Addr().As16()[5] != 255 || s.Held[0].Withdrawn && s.Held[0].Prefix.Addr().As16()[4] != 0 {
			t.Errorf("kept first %+v", s.Held[0])
		}
	})
}

// A host that hears any part of the advertisements never believes anything for
// longer than the state says, whatever was configured in which order.
func TestNoHostHoldsLongerThanTheState(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		now := clockStart()
		var s State
		believed := make(map[string]time.Time) // by the host that forgets it last
		for range 30 {
			var c Config
			c.Interface = "br0"
			for i := range byte(4) {
				if r.IntN(2) == 0 {
					continue
				}
				d := time.Duration(1+r.IntN(20000)) * time.Second
				c.Routes = append(c.Routes, Route{Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 15: i}), 128), Lifetime: d})
			}
			s = c.State(s, now)
			for range r.IntN(4) {
				for _, m := range c.messages(testLink(), s, now) {
					for _, o := range m.Options {
						if o, ok := o.(*ndp.RouteInformation); ok {
							key := o.Prefix.String()
							if end := now.Add(o.RouteLifetime); end.After(believed[key]) {
								believed[key] = end
							}
						}
					}
				}
				now = now.Add(time.Duration(r.IntN(3000)) * time.Second)
				s = c.State(s, now)
			}
			// What somebody may believe is either advertised or taken back.
			said := make(map[string]bool)
			for _, m := range c.messages(testLink(), s, now) {
				for _, o := range m.Options {
					if o, ok := o.(*ndp.RouteInformation); ok {
						said[o.Prefix.String()] = true
					}
				}
			}
			for key, end := range believed {
				if end.After(now) && !said[key] {
					t.Fatalf("%s is believed for %s more and not taken back", key, end.Sub(now))
				}
			}
		}
	}
}

func TestStateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "ra.json")
	if s, err := LoadState(path); err != nil || len(s.Held) != 0 {
		t.Errorf("no file: %+v, %v", s, err)
	}
	t0 := clockStart()
	want := Config{Interface: "br0", Prefixes: []Prefix{{Prefix: mustPrefix("2001:db8:9::/64"), OffLink: true}}}.State(oneOfEach().State(State{}, t0), t0)
	want.Told = t0
	if err := SaveState(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := LoadState(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, bad := range []string{
		"", "{", `{"held":[{"kind":"other"}]}`, `{"held":[{"kind":"prefix","prefix":"2001:db8::1/64"}]}`, `{"what":1}`,
		`{"held":[{"kind":"pref64","prefix":"2001:db8::/65"}]}`, `{"held":[{"kind":"dnssl","domain":"a..b"}]}`, `{"held":[{"kind":"rdnss","server":"192.0.2.1"}]}`,
		`{"held":[{"kind":"rdnss","server":"2001:db8::1","seconds":-1}]}`,
	} {
		if err := os.WriteFile(path, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if s, err := LoadState(path); err == nil {
			t.Errorf("%s: read as %+v", bad, s)
		}
	}
}

func FuzzParseState(f *testing.F) {
	b, err := json.Marshal(Config{Interface: "br0"}.State(oneOfEach().State(State{}, clockStart()), clockStart()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"told":"2030-01-01T00:00:00Z","held":[{"kind":"prefix","prefix":"::/0","seconds":4294967295}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState("file", b)
		if err != nil {
			return
		}
		// Whatever a file says, what is made of it can be sent.
		none := Config{Interface: "br0"}
		for _, state := range []State{none.State(s, clockStart()), oneOfEach().State(s, clockStart()).Withdraw(clockStart())} {
			frames, err := marshalAll(none.messages(testLink(), state, clockStart()))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range frames {
				if len(b)+ipv6HeaderLen > testLink().MTU {
					t.Fatalf("a message of %d octets", len(b))
				}
			}
		}
	})
}
