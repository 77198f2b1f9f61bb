package main

import (
	"bytes"
	"context"
	"testing"
)

func TestBadUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "dns64: listen: no address to listen on\n"},
		{[]string{"-listen", "[::]:53", "-client", "2001:db8::/64", "-upstream", "192.0.2.53:53"},
			"dns64: listen: want an address of the host's own, not [::]:53\n"},
		{[]string{"start"}, "dns64: \"start\" is no option\n"},
	} {
		var out, errOut bytes.Buffer
		if status := run(context.Background(), tt.args, &out, &errOut); status != 2 || errOut.String() != tt.want {
			t.Errorf("%q: status %d, %q, want 2, %q", tt.args, status, errOut.String(), tt.want)
		}
	}
}
