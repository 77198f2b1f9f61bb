package macrewrite_test

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/slaac"
)

// The rules are pure values: they can be made, printed and compared anywhere.
func ExampleConfig_State() {
	state, err := macrewrite.Config{
		Uplink:   "enp2s0",
		MAC:      slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56},
		Prefix:   netip.MustParsePrefix("2001:db8:1:3::/64"),
		Gateways: []netip.Addr{netip.MustParseAddr("fe80::1")},
	}.State()
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(state.String()) {
		if strings.Contains(line, "oifname") && strings.Contains(line, "drop") {
			fmt.Println(strings.TrimSpace(line))
		}
	}
	p, err := macrewrite.Plan(macrewrite.State{}, state)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(p.Steps), "step")
	// Output:
	// oifname "enp2s0" counter name "guest-to-uplink" drop comment "bridged from a guest to the provider, for whom the host routes"
	// meta protocol ip6 meta l4proto ipv6-icmp icmpv6 type nd-redirect oifname != @other-ports counter name "redirect-out" drop comment "a redirect of the host: guests shall not learn the router of the provider"
	// 1 step
}
