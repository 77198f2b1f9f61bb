package main

import (
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
	write(&b, r)
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	b.Reset()
	write(&b, ra.Received{At: at, Interface: "eth0", From: netip.IPv6Loopback(), HopLimit: 64, Raw: []byte{134, 0}, Err: ra.ErrHopLimit})
	if d := cmp.Diff("2030-01-02 03:04:05.678 eth0: router advertisement from ::1, hop limit 64, 2 octets\n  INVALID: hop limit is not 255\n  8600\n", b.String()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}
