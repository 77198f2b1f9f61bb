package gateway_test

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/gateway"
)

// What a plan would do on a host where nothing is set up yet. On a real one the
// state comes from Capture, and the plan is run.
func Example() {
	cfg := gateway.Config{
		Prefix: nat64.WellKnown(),
		Guests: netip.MustParsePrefix("2001:db8:1:3::/64"),
	}
	there := gateway.State{Scope: cfg.Scope()}
	want, err := cfg.State(there)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := gateway.Plan(there, want)
	if err != nil {
		fmt.Println(err)
		return
	}
	p.WriteText(os.Stdout)
	// Output:
	// apply:
	//    1. gateway     put the gateway's rules in place (nftables table inet sixhost_nat64, 24 rules, in one transaction)
	//    2. gateway     put the gateway's rules in place (nftables table bridge sixhost_nat64, 1 rule, in one transaction)
	//    3. gateway     make the persistent TUN device nat64
	//    4. gateway     set sysctl net/ipv4/conf/nat64/forwarding = 1
	//    5. gateway     set sysctl net/ipv6/conf/nat64/addr_gen_mode = 1
	//    6. gateway     set sysctl net/ipv4/conf/br0/forwarding = 1
	//    7. gateway     set the MTU of nat64 to 1500
	//    8. gateway     set nat64 up
	//    9. gateway     route 10.64.0.0/16 to nat64 with MTU 1480
	//   10. gateway     route 64:ff9b::/96 to nat64
}
