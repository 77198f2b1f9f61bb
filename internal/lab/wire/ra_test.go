package wire

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var compareAddrs = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestParseRAFrame(t *testing.T) {
	opts := cat(
		lla(1, server),
		"0304 40 e0 00001518 00000a8c 00000000", prefix.Addr(),
		"0501 0000 000005dc",
		"1803 40 18 00000e10 fd00 0000 0000 0000 0000 0000 0000 0000",
		"1801 00 08 ffffffff",
		"1905 0000 00000708", hostLL, host,
		"1f04 0000 00000e10 03 6c6162 07 6578616d706c65 00 03 6f7267 00 000000 000000",
		"2602 0e10 0064ff9b 00000000 00000000", // 450 x 8 s, code 0: /96
		"2602 000d 20010db8 64000000 00000000", // 8 s, code 5: /32
		"fd01 0000 00000000",
	)
	f := frame(allNodes, server, typeVLAN, uint16(5), uint16(typeIPv6), ra(hostLL, nodes, opts))
	got, err := ParseRAFrame(f)
	if err != nil {
		t.Fatal(err)
	}
	want := RA{
		From: server, Source: hostLL, Destination: nodes, IPHopLimit: 255, ChecksumOK: true,
		HopLimit: 64, RouterLifetime: 1800 * time.Second,
		SourceLLA: server,
		MTU:       1500,
		Prefixes: []Prefix{{
			Prefix: prefix, OnLink: true, Autonomous: true, RouterAddr: true,
			Valid: 5400 * time.Second, Preferred: 2700 * time.Second,
		}},
		Routes: []Route{
			{Prefix: netip.MustParsePrefix("fd00::/64"), Preference: -1, Lifetime: time.Hour},
			{Prefix: netip.MustParsePrefix("::/0"), Preference: 1, Lifetime: Infinity},
		},
		RDNSS: []RDNSS{{Servers: []netip.Addr{hostLL, host}, Lifetime: 1800 * time.Second}},
		DNSSL: []DNSSL{{Domains: []string{"lab.example", "org"}, Lifetime: time.Hour}},
		PREF64: []PREF64{
			{Prefix: netip.MustParsePrefix("64:ff9b::/96"), Lifetime: time.Hour},
			{Prefix: netip.MustParsePrefix("2001:db8:6400::/32"), Lifetime: 8 * time.Second},
		},
		Unknown: []uint8{0xfd},
	}
	if diff := cmp.Diff(want, got, compareAddrs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f[len(f)-1] ^= 1
	if got, err := ParseRAFrame(f); err != nil || got.ChecksumOK {
		t.Errorf("checksum of a changed frame: %t, %v", got.ChecksumOK, err)
	}
}

func TestParseRAFlags(t *testing.T) {
	for flags, want := range map[string]RA{
		"80": {Managed: true},
		"40": {Other: true},
		"20": {HomeAgent: true},
		"08": {Preference: 1},
		"18": {Preference: -1},
		"10": {Preference: -2},
		"04": {Proxy: true},
	} {
		want.HopLimit, want.Reachable, want.Retransmit = 1, time.Second, 2*time.Millisecond
		got, err := ParseRA(cat("8600 0000 01", flags, "0000 000003e8 00000002"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", flags, diff)
		}
	}
}

func TestParseRARefuses(t *testing.T) {
	const head = "8600 0000 40 00 0708 00000000 00000000"
	for _, tc := range []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrNotRA},
		{"solicitation", "8500 0000 00000000 00000000 00000000", ErrNotRA},
		{"code 1", "8601 0000 40 00 0708 00000000 00000000", ErrNotRA},
		{"short", head[:len(head)-2], ErrTruncated},
		{"option of length zero", head + "0100 000000000000", ErrTruncated},
		{"option beyond the end", head + "0102 000000000000", ErrTruncated},
		{"odd byte", head + "01", ErrTruncated},
		{"long link-layer address", head + "0102 000000000000 0000000000000000", ErrTruncated},
		{"short prefix", head + "0301 40c000000000", ErrTruncated},
		{"prefix of 129 bits", head + "0304 81 c0 00000000 00000000 00000000 00000000 00000000 00000000 00000000", ErrTruncated},
		{"long MTU", head + "0502 000000000000 0000000000000000", ErrTruncated},
		{"route without its prefix", head + "1801 40 00 00000000", ErrTruncated},
		{"DNS without servers", head + "1901 0000 00000000", ErrTruncated},
		{"half a DNS server", head + "1902 0000 00000000 0000000000000000", ErrTruncated},
		{"search list without names", head + "1f01 0000 00000000", ErrTruncated},
		{"search list cut inside a label", head + "1f02 0000 00000000 0861626364656667", ErrTruncated},
		{"search list without an end", head + "1f02 0000 00000000 0761626364656667", ErrTruncated},
		{"short NAT64 prefix", head + "2601 0000 00000000", ErrTruncated},
		{"NAT64 prefix length code 6", head + "2602 0006 000000000000000000000000", ErrTruncated},
	} {
		if _, err := ParseRA(cat(tc.in)); !errors.Is(err, tc.want) {
			t.Errorf("%s: error %v, want %v", tc.name, err, tc.want)
		}
	}
	for name, f := range map[string][]byte{
		"short":          {1},
		"ARP":            frame(everyone, server, typeARP, arp(1, server, host4, MAC{}, gateway4)),
		"TCP":            frame(provider, server, typeIPv6, ip6(host, far, 64, 6, "00")),
		"later fragment": frame(allNodes, server, typeIPv6, behind(ra(hostLL, nodes), protoFragment, 58, 0, "0008 00000001")),
	} {
		if _, err := ParseRAFrame(f); !errors.Is(err, ErrNotRA) {
			t.Errorf("frame of %s: error %v, want ErrNotRA", name, err)
		}
	}
}

func FuzzParseRA(f *testing.F) {
	f.Add(cat("8600 0000 40 00 0708 00000000 00000000", lla(1, server), "1f02 0000 00000000 0261620000000000", "2602 0e10 0064ff9b 00000000 00000000"))
	f.Add(cat("8600 0000 40 00 0708 00000000 00000000", "1803 40 18 00000e10 fd00 0000 0000 0000 0000 0000 0000 0000", "1903 0000 00000708", hostLL))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseRA(b)
		if err != nil {
			if !errors.Is(err, ErrNotRA) && !errors.Is(err, ErrTruncated) {
				t.Errorf("unnamed error %v", err)
			}
			return
		}
		for _, p := range got.PREF64 {
			if !p.Prefix.IsValid() {
				t.Error("invalid NAT64 prefix")
			}
		}
	})
}
