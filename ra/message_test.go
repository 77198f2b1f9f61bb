package ra

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ndp"

	"github.com/sixhost/sixhost/slaac"
)

func testLink() Link {
	mac := slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	return Link{Index: 7, MTU: 1500, MAC: mac, Address: slaac.LinkLocal(mac), Forwarding: true}
}

// fullConfig has one of everything.
func fullConfig() Config {
	return Config{
		Interface: "br0",
		Prefixes: []Prefix{
			{Prefix: netip.MustParsePrefix("2001:db8:1:3::/64")},
			{Prefix: netip.MustParsePrefix("2001:db8:4::/56"), OffLink: true, NoSLAAC: true, Preferred: Zero, Valid: time.Hour},
		},
		RDNSS:         []RDNSS{{Servers: []netip.Addr{netip.MustParseAddr("2001:db8:1:3::2"), netip.MustParseAddr("fe80::1")}}},
		DNSSL:         []DNSSL{{Domains: []string{"example.com", "lab.example.net."}}},
		PREF64:        []PREF64{{Prefix: netip.MustParsePrefix("64:ff9b::/96")}},
		Routes:        []Route{{Prefix: netip.MustParsePrefix("2001:db8:ff0::/44"), Preference: High}, {Prefix: netip.MustParsePrefix("::/0"), Preference: Low, Lifetime: time.Minute}},
		MTU:           1500,
		CaptivePortal: ndp.Unrestricted,
		Preference:    High,
		Other:         true,
		ReachableTime: 30 * time.Second,
		RetransTimer:  time.Second,
	}
}

func TestMessagesWire(t *testing.T) {
	// The octets are written down from the RFCs, not from the code.
	tests := []struct {
		name string
		cfg  Config
		link Link
		want string
	}{
		{
			"a router and nothing else, RFC 4861 4.2", Config{Interface: "br0", NoSourceLLA: true}, testLink(),
			"86 00 0000  40 00 0708  00000000 00000000",
		},
		{
			"not forwarding: lifetime 0 and medium preference, RFC 4191 2.2",
			Config{Interface: "br0", Preference: High}, func() Link { l := testLink(); l.Forwarding = false; return l }(),
			"86 00 0000  40 00 0000  00000000 00000000" +
				"01 01 901b0e123456",
		},
		{
			"one of everything", fullConfig(), testLink(),
			"86 00 0000  40 48 0708  00007530 000003e8" +
				"01 01 901b0e123456" +
				"05 01 0000 000005dc" +
				"03 04 40 c0 00001518 00000a8c 00000000 20010db8000100030000000000000000" +
				"03 04 38 00 00000e10 00000000 00000000 20010db8000400000000000000000000" +
				"18 02 2c 08 00000708 20010db80ff00000" +
				"18 01 00 18 0000003c" +
				"19 05 0000 00000708 20010db8000100030000000000000002 fe800000000000000000000000000001" +
				"1f 05 0000 00000708 076578616d706c6503636f6d00 036c6162076578616d706c65036e657400 0000" +
				// 1800 s are 225 units of 8 s; shifted by 3 with PLC 0 for /96.
				"26 02 0708 0064ff9b0000000000000000" +
				"25 05 75726e3a696574663a706172616d733a636170706f72743a756e72657374726963746564 0000",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ms, err := tt.cfg.Messages(tt.link, State{}, clockStart())
			if err != nil {
				t.Fatal(err)
			}
			frames, err := marshalAll(ms)
			if err != nil {
				t.Fatal(err)
			}
			want, err := hex.DecodeString(strings.ReplaceAll(tt.want, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			if len(frames) != 1 || !bytes.Equal(frames[0], want) {
				t.Fatalf("messages (-want +got)\n%s", cmp.Diff(hex.Dump(want), hex.Dump(bytes.Join(frames, nil))))
			}
			back, err := Parse(frames[0])
			if err != nil {
				t.Fatal(err)
			}
			again, err := ndp.MarshalMessage(back)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again, want) {
				t.Errorf("read and written again (-want +got)\n%s", cmp.Diff(hex.Dump(want), hex.Dump(again)))
			}
		})
	}
}

func TestPREF64Wire(t *testing.T) {
	// RFC 8781, section 4: prefix length codes, and lifetimes in units of 8 s.
	for _, tt := range []struct {
		prefix   string
		lifetime time.Duration
		want     string
	}{
		{"64:ff9b::/96", 0, "26020708 0064ff9b0000000000000000"},
		{"2001:db8:1:2::/64", 0, "26020709 20010db80001000200000000"},
		{"2001:db8:1:200::/56", 8 * time.Second, "2602000a 20010db80001020000000000"},
		{"2001:db8:1::/48", 9 * time.Second, "26020013 20010db80001000000000000"},
		{"2001:db8:100::/40", Zero, "26020004 20010db80100000000000000"},
		{"2001:db8::/32", 65528 * time.Second, "2602fffd 20010db80000000000000000"},
	} {
		cfg := Config{Interface: "br0", NoSourceLLA: true, PREF64: []PREF64{{Prefix: netip.MustParsePrefix(tt.prefix), Lifetime: tt.lifetime}}}
		ms, err := cfg.Messages(testLink(), State{}, clockStart())
		if err != nil {
			t.Fatal(err)
		}
		frames, err := marshalAll(ms)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(frames[0][headerLen:]); got != strings.ReplaceAll(tt.want, " ", "") {
			t.Errorf("%s for %s: %s, want %s", tt.prefix, tt.lifetime, got, tt.want)
		}
	}
}

func TestLifetimesFollowIntervals(t *testing.T) {
	// RFC 4861 6.2.1, RFC 8106 5.1, RFC 8781 4.1: 3 x MaxRtrAdvInterval, within
	// what the fields hold.
	for _, tt := range []struct {
		max, router, dns, pref64 time.Duration
	}{
		{0, 1800 * time.Second, 1800 * time.Second, 1800 * time.Second},
		{10 * time.Second, 30 * time.Second, 30 * time.Second, 32 * time.Second},
		{65535 * time.Second, 65535 * time.Second, 196605 * time.Second, 65528 * time.Second},
	} {
		cfg := fullConfig()
		cfg.MaxInterval = tt.max
		ms, err := cfg.Messages(testLink(), State{}, clockStart())
		if err != nil {
			t.Fatal(err)
		}
		got := []time.Duration{ms[0].RouterLifetime, 0, 0, 0, 0}
		for _, o := range ms[0].Options {
			switch o := o.(type) {
			case *ndp.RecursiveDNSServer:
				got[1] = o.Lifetime
			case *ndp.DNSSearchList:
				got[2] = o.Lifetime
			case *ndp.PREF64:
				got[3] = o.Lifetime
			case *ndp.RouteInformation:
				if o.PrefixLength != 0 {
					got[4] = o.RouteLifetime
				}
			}
		}
		want := []time.Duration{tt.router, tt.dns, tt.dns, tt.pref64, tt.router}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("MaxInterval %s: router, RDNSS, DNSSL, PREF64, route %v, want %v", tt.max, got, want)
		}
	}
}

func TestFinalMessages(t *testing.T) {
	cfg := fullConfig()
	cfg.Prefixes = append(cfg.Prefixes, Prefix{Prefix: netip.MustParsePrefix("2001:db8:9::/64"), Preferred: Infinity, Valid: Infinity})
	ms, err := cfg.FinalMessages(testLink(), State{}, clockStart())
	if err != nil {
		t.Fatal(err)
	}
	if len(ms) != 1 || ms[0].RouterLifetime != 0 || ms[0].RouterSelectionPreference != Medium {
		t.Errorf("router lifetime or preference isn't zero: %+v", ms[0])
	}
	kinds := make(map[string]int)
	for _, o := range ms[0].Options {
		kinds[fmt.Sprintf("%T", o)]++
		var left time.Duration
		switch o := o.(type) {
		case *ndp.PrefixInformation:
			left = o.PreferredLifetime
			if o.ValidLifetime > twoHours || o.ValidLifetime == 0 {
				t.Errorf("prefix %s: valid for %s", o.Prefix, o.ValidLifetime)
			}
		case *ndp.RecursiveDNSServer:
			left = o.Lifetime
		case *ndp.DNSSearchList:
			left = o.Lifetime
		case *ndp.PREF64:
			left = o.Lifetime
		case *ndp.RouteInformation:
			left = o.RouteLifetime
		}
		if left != 0 {
			t.Errorf("%T keeps %s", o, left)
		}
	}
	for _, kind := range []string{"*ndp.PrefixInformation", "*ndp.RecursiveDNSServer", "*ndp.DNSSearchList", "*ndp.PREF64", "*ndp.RouteInformation"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s in the final message", kind)
		}
	}
}

func TestMTUStaysWithinTheLink(t *testing.T) {
	cfg := Config{Interface: "br0", MTU: 9000, NoSourceLLA: true}
	ms, err := cfg.Messages(testLink(), State{}, clockStart())
	if err != nil {
		t.Fatal(err)
	}
	if got := ms[0].Options[0].(*ndp.MTU).MTU; got != 1500 {
		t.Errorf("advertised %d on a link of 1500", got)
	}
}

func TestSplitByOption(t *testing.T) {
	cfg := fullConfig()
	cfg.MTU = 0
	var servers []netip.Addr
	for i := range 100 {
		servers = append(servers, netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}))
	}
	var domains []string
	for i := range 60 {
		domains = append(domains, fmt.Sprintf("d%02d.%s.example", i, strings.Repeat("x", 40)))
	}
	for i := range 40 {
		cfg.Prefixes = append(cfg.Prefixes, Prefix{Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, byte(i)}), 64)})
	}
	cfg.RDNSS[0].Servers = servers
	cfg.DNSSL[0].Domains = domains
	for _, mtu := range []int{1280, 1500, 9000, 65535} {
		l := testLink()
		l.MTU = mtu
		ms, err := cfg.Messages(l, State{}, clockStart())
		if err != nil {
			t.Fatal(err)
		}
		frames, err := marshalAll(ms)
		if err != nil {
			t.Fatal(err)
		}
		var gotServers []netip.Addr
		var gotDomains []string
		prefixes := 0
		for i, f := range frames {
			if len(f)+ipv6HeaderLen > mtu {
				t.Errorf("MTU %d: message %d has %d octets", mtu, i, len(f))
			}
			if i > 0 && !bytes.Equal(f[:headerLen], frames[0][:headerLen]) {
				t.Errorf("MTU %d: header of message %d differs", mtu, i)
			}
			m, err := Parse(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range m.Options {
				switch o := o.(type) {
				case *ndp.RecursiveDNSServer:
					gotServers = append(gotServers, o.Servers...)
				case *ndp.DNSSearchList:
					gotDomains = append(gotDomains, o.DomainNames...)
				case *ndp.PrefixInformation:
					prefixes++
				case *ndp.RawOption:
					t.Errorf("MTU %d: option %d isn't understood", mtu, o.Type)
				}
			}
		}
		if !reflect.DeepEqual(gotServers, servers) || !reflect.DeepEqual(gotDomains, domains) || prefixes != len(cfg.Prefixes) {
			t.Errorf("MTU %d: %d servers, %d domains, %d prefixes arrived in %d messages", mtu, len(gotServers), len(gotDomains), prefixes, len(frames))
		}
		if want := 1; mtu == 65535 && len(frames) != want {
			t.Errorf("MTU %d: %d messages", mtu, len(frames))
		}
	}
}

func TestConfigIsLeftAlone(t *testing.T) {
	cfg, want := fullConfig(), fullConfig()
	for _, fn := range []func(Link, State, time.Time) ([]*ndp.RouterAdvertisement, error){cfg.Messages, cfg.FinalMessages} {
		if _, err := fn(testLink(), State{}, clockStart()); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("config was changed: %+v", cfg)
	}
}
