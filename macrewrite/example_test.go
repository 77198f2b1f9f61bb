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
	// oifname "enp2s0" counter name "guest-to-uplink" drop comment "the host routes for its guests"
	// oifname "enp2s0" ether saddr != 90:1b:0e:12:34:56 counter name "foreign-source-to-uplink" drop comment "the provider's switch knows one MAC"
	// 1 step
}
