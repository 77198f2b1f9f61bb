package nat64

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
)

func TestDiscover(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		answer []string
		err    error
		want   []string
		is     error
	}{
		{"well-known", []string{"64:ff9b::192.0.0.170", "64:ff9b::192.0.0.171"}, nil, []string{"64:ff9b::/96"}, nil},
		{"one address", []string{"64:ff9b::192.0.0.171"}, nil, []string{"64:ff9b::/96"}, nil},
		{"two prefixes", []string{"2001:db8:122:344:c0:0:aa00::", "64:ff9b::192.0.0.170", "64:ff9b::192.0.0.171", "2001:db8:122:344:c0:0:ab00::"}, nil,
			[]string{"2001:db8:122:344::/64", "64:ff9b::/96"}, nil},
		{"all lengths", []string{"2001:db8:c000:aa::", "2001:db8:1c0:0:aa::", "2001:db8:122:c000:0:aa00::", "2001:db8:122:3c0:0:aa::"}, nil,
			[]string{"2001:db8::/32", "2001:db8:100::/40", "2001:db8:122::/48", "2001:db8:122:300::/56"}, nil},
		// The address occurs in the prefix by chance: the other one decides.
		{"twice in one", []string{"2001:db8:c000:aa::192.0.0.170", "2001:db8:c000:aa::192.0.0.171"}, nil, []string{"2001:db8:c000:aa::/96"}, nil},
		{"twice in one, other way", []string{"2001:db8:c000:aa::192.0.0.170", "2001:db8:c000:ab::c000:aa"}, nil, nil, ErrNoNAT64},
		{"undecidable", []string{"2001:db8:c000:aa::192.0.0.170"}, nil, nil, ErrNoNAT64},
		{"IPv4 only", []string{"192.0.0.170", "::ffff:192.0.0.171"}, nil, nil, ErrNoNAT64},
		{"a real AAAA", []string{"2001:db8::1"}, nil, nil, ErrNoNAT64},
		{"empty", nil, nil, nil, ErrNoNAT64},
		{"no such host", nil, &net.DNSError{IsNotFound: true}, nil, ErrNoNAT64},
		{"timeout", nil, broken, nil, broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Discover(t.Context(), func(_ context.Context, host string) ([]netip.Addr, error) {
				if host != "ipv4only.arpa" {
					t.Errorf("asked for %s", host)
				}
				var as []netip.Addr
				for _, s := range tt.answer {
					as = append(as, netip.MustParseAddr(s))
				}
				return as, tt.err
			})
			if !errors.Is(err, tt.is) {
				t.Fatalf("error %v, want %v", err, tt.is)
			}
			var gs []string
			for _, p := range got {
				gs = append(gs, p.String())
			}
			if !slices.Equal(gs, tt.want) {
				t.Errorf("found %v, want %v", gs, tt.want)
			}
		})
	}
}
