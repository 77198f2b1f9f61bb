package main

import "testing"

func TestAnswer(t *testing.T) {
	for _, tc := range []struct {
		args      []string
		want, err string
	}{
		{args: []string{"52:54:00:12:34:56", "2001:db8:1:3::/64"}, want: "2001:db8:1:3:5054:ff:fe12:3456"},
		{args: []string{"2001:db8:1:3:5054:ff:fe12:3456"}, want: "52:54:00:12:34:56"},
		{args: []string{"fe80::5054:ff:fe12:3456"}, want: "52:54:00:12:34:56"},
		{args: nil, err: "usage: slaacaddr MAC PREFIX, or slaacaddr ADDRESS"},
		{args: []string{"52:54:00:12:34:56"}, err: `"52:54:00:12:34:56" is not an IPv6 address`},
		{args: []string{"2001:db8::1"}, err: "2001:db8::1 was not made from a MAC: it has no ff:fe in the middle of its last 64 bits"},
		{args: []string{"52:54:00:12:34", "2001:db8::/64"}, err: `"52:54:00:12:34" is not a MAC address of six octets`},
		{args: []string{"52:54:00:12:34:56", "2001:db8::1"}, err: `"2001:db8::1" is not a prefix such as 2001:db8:1:3::/64`},
		{args: []string{"52:54:00:12:34:56", "2001:db8::/48"}, err: "prefix 2001:db8::/48: not an IPv6 /64"},
		{args: []string{"33:33:00:00:00:01", "2001:db8::/64"}, err: "MAC 33:33:00:00:00:01: a group address, no interface can have it"},
	} {
		got, err := answer(tc.args)
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && err.Error() != tc.err {
			t.Errorf("%q: %q, %v; want %q, %s", tc.args, got, err, tc.want, tc.err)
		}
	}
}
