package dns64_test

import (
	"fmt"
	"net/netip"

	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/dns64"
)

// A name server for the guests of one /64. What can't be served is said before
// anything is opened.
func ExampleConfig_Validate() {
	cfg := dns64.Config{
		Prefix:    nat64.WellKnown(),
		Listen:    []netip.AddrPort{netip.MustParseAddrPort("[::]:53")},
		Upstreams: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")},
		Clients:   []netip.Prefix{netip.MustParsePrefix("2001:db8:1:3::/64")},
	}
	fmt.Println(cfg.Validate())
	cfg.Listen[0] = netip.MustParseAddrPort("[2001:db8:1:3:921b:eff:fe12:3456]:53")
	fmt.Println(cfg.Validate())
	// Output:
	// dns64: listen: want an address of the host's own, not [::]:53
	// <nil>
}
