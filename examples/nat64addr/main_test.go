package main

import (
	"context"
	"net/netip"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		args, in    string
		status      int
		out, errOut string
	}{
		{"8.8.4.4", "", 0, "64:ff9b::808:404\n", ""},
		{"64:ff9b::808:404", "", 0, "8.8.4.4\n", ""},
		{"-prefix 2001:db8:122::/48 192.0.2.33 2001:db8:122:c000:2:2100::", "", 0, "2001:db8:122:c000:2:2100::\n192.0.2.33\n", ""},
		{"-discover 8.8.4.4", "", 0, "2001:db8:64::808:404\n", ""},
		{"", "8.8.4.4\n\n 64:ff9b::1.1.1.1 \n", 0, "64:ff9b::808:404\n1.1.1.1\n", ""},
		{"10.0.0.1 8.8.4.4", "", 1, "64:ff9b::808:404\n", "not a global address"},
		{"2001:db8::1", "", 1, "", "does not represent"},
		{"example.net", "", 1, "", "not an IP address"},
		{"-prefix 2001:db8::/33 8.8.4.4", "", 2, "", "33 bits"},
		{"-x", "", 2, "", "usage"},
	} {
		var out, errOut strings.Builder
		status := run(strings.Fields(tt.args), strings.NewReader(tt.in), &out, &errOut, func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("2001:db8:64::192.0.0.170")}, nil
		})
		if status != tt.status || out.String() != tt.out || !strings.Contains(errOut.String(), tt.errOut) {
			t.Errorf("%q: status %d\n%s%s", tt.args, status, out.String(), errOut.String())
		}
	}
}
