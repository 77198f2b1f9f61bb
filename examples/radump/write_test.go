package main

import (
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ndp"

	"github.com/sixhost/sixhost/ra"
	"github.com/sixhost/sixhost/slaac"
)

func TestWrite(t *testing.T) {
	mac := slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	full := ra.Config{
		Interface:     "br0",
		Prefixes:      []ra.Prefix{{Prefix: netip.MustParsePrefix("2001:db8:1:3::/64")}, {Prefix: netip.MustParsePrefix("2001:db8:9::/48"), NoSLAAC: true, OffLink: true, Valid: ra.Infinity}},
		RDNSS:         []ra.RDNSS{{Servers: []netip.Addr{netip.MustParseAddr("2001:db8:1:3::2"), netip.MustParseAddr("fe80::1")}}},
		DNSSL:         []ra.DNSSL{{Domains: []string{"example.com"}}},
		PREF64:        []ra.PREF64{{Prefix: netip.MustParsePrefix("64:ff9b::/96")}},
		Routes:        []ra.Route{{Prefix: netip.MustParsePrefix("2001:db8:ff0::/44"), Preference: ra.Low}},
		MTU:           1500,
		CaptivePortal: ndp.Unrestricted,
		Managed:       true,
	}
	messages, err := full.Messages(ra.Link{MTU: 1500, MAC: mac, Forwarding: true}, ra.State{}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	messages[0].Options = append(messages[0].Options, &ndp.RawOption{Type: 253, Length: 1, Value: []byte("secret")})
	at := time.Date(2030, 1, 2, 3, 4, 5, 678e6, time.UTC)
	r := ra.Received{At: at, Interface: "eth0", From: slaac.LinkLocal(mac), HopLimit: 255, Raw: make([]byte, 200), Message: messages[0]}
	const want = `2030-01-02 03:04:05.678 eth0: router advertisement from fe80::921b:eff:fe12:3456, hop limit 255, 200 octets
  router lifetime        1800 s, preference medium
  hop limit              64
  flags                  managed (M)
  reachable time         unspecified
  retransmission timer   unspecified
  source link-layer      90:1b:0e:12:34:56
  MTU                    1500
  prefix                 2001:db8:1:3::/64: on-link (L), autonomous (A); valid 5400 s, preferred 2700 s
  prefix                 2001:db8:9::/48: none; valid infinite, preferred 2700 s
  route                  2001:db8:ff0::/44, preference low, lifetime 1800 s
  name servers           2001:db8:1:3::2 fe80::1, lifetime 1800 s
  search domains         ["example.com"], lifetime 1800 s
  NAT64 prefix           64:ff9b::/96, lifetime 1800 s
  captive portal         "urn:ietf:params:capport:unrestricted"
  option 253             736563726574, not understood
`
	var b strings.Builder
	if err := write(&b, r); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	b.Reset()
	_ = write(&b, ra.Received{At: at, Interface: "eth0", From: netip.IPv6Loopback(), HopLimit: 64, Raw: []byte{134, 0}, Err: ra.ErrHopLimit})
	if d := cmp.Diff("2030-01-02 03:04:05.678 eth0: router advertisement from ::1, hop limit 64, 2 octets\n  INVALID: hop limit is not 255\n  8600\n", b.String()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestWriteRadvd(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	cfg := ra.Config{Interface: "eth0", Prefixes: []ra.Prefix{{Prefix: netip.MustParsePrefix("2001:db8:1:3::/64")}}}
	messages, err := cfg.Messages(ra.Link{MTU: 1500, Forwarding: true}, ra.State{}, at)
	if err != nil {
		t.Fatal(err)
	}
	messages[0].Options = append(messages[0].Options, &ndp.RawOption{Type: 253, Length: 1, Value: []byte("secret")})
	var b strings.Builder
	if err := writeRadvd(&b, ra.Received{At: at, Interface: "eth0", From: netip.MustParseAddr("fe80::1"), Message: messages[0], Err: ra.ErrHopLimit}); err != nil {
		t.Fatal(err)
	}
	const want = `# from fe80::1 at 2030-01-02T03:04:05Z
# invalid: hop limit is not 255
# option 253 is not understood: 736563726574
interface eth0
{
	AdvSendAdvert on;
	MinRtrAdvInterval 198;
	MaxRtrAdvInterval 600;
	AdvDefaultLifetime 1800;
	AdvDefaultPreference medium;
	AdvCurHopLimit 64;
	AdvManagedFlag off;
	AdvOtherConfigFlag off;
	AdvReachableTime 0;
	AdvRetransTimer 0;
	AdvSourceLLAddress off;
	prefix 2001:db8:1:3::/64
	{
		AdvOnLink on;
		AdvAutonomous on;
		AdvValidLifetime 5400;
		AdvPreferredLifetime 2700;
		DeprecatePrefix on;
	};
};
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	// What came over the wire must not leave its comment.
	b.Reset()
	messages[0].Options = append(messages[0].Options, &ndp.CaptivePortal{URI: "x\ninterface evil { };"})
	if err := writeRadvd(&b, ra.Received{At: at, Interface: "eth0", From: netip.MustParseAddr("fe80::1"), Message: messages[0]}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "#") {
			t.Errorf("line %q", line)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, bad := range [][]string{{}, {"a", "b"}, {"-n", "-1", "a"}, {"-format", "xml", "a"}, {"-watch", "-format", "radvd", "a"}, {"-router", "fe80::1", "a"}, {"-watch", "-router", "x", "a"}} {
		if _, err := parseOptions(bad, io.Discard); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	o, err := parseOptions([]string{"-watch", "-router", "fe80::1,fe80::2", "-format", "json", "-n", "3", "eth0"}, io.Discard)
	if err != nil || len(o.routers) != 2 || !o.json || !o.watch || o.count != 3 || o.iface != "eth0" {
		t.Errorf("%+v, %v", o, err)
	}
}
