package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"os"
	"time"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/slaac"
)

// The steps from a server as the provider handed it over to one with a bridge
// and the address that SLAAC makes of the NIC's MAC.
func Example() {
	mac := slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	c := bridge.Config{Uplink: "enp2s0", Address: bridge.SLAACAddress()}
	// Capture would read this.
	there := bridge.State{
		Scope: c.Scope(),
		Links: []bridge.Link{{Name: "enp2s0", Kind: "device", MAC: mac, MTU: 1500, Up: true, Ethernet: true}},
		Addrs: []bridge.Addr{
			{Link: "enp2s0", Prefix: netip.MustParsePrefix("2001:db8:1:3::2/64"), Preferred: bridge.Forever, Valid: bridge.Forever},
		},
		Routes: []bridge.Route{
			{Link: "enp2s0", Family: 6, Table: 254, Type: 1, Dst: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fe80::1"), Metric: 1024, Protocol: 4},
		},
		Sysctls: map[string]string{"net/ipv6/conf/all/forwarding": "1"},
	}
	wanted, err := c.State(there)
	if err != nil {
		fmt.Println(err) // a *plan.Refusal: one sentence that names the field or link
		return
	}
	p, err := bridge.Plan(there, wanted)
	if err != nil {
		fmt.Println(err)
		return
	}
	p.WriteText(os.Stdout)
	// Output:
	// apply:
	//    1. bridge      make the bridge br0 with the MAC 90:1b:0e:12:34:56, MTU 1500, without spanning tree and multicast snooping
	//    2. bridge      set net/ipv6/conf/br0/accept_ra to 0
	//    3. bridge      set net/ipv6/conf/br0/accept_redirects to 0
	//    4. bridge      set net/ipv6/conf/br0/addr_gen_mode to 1
	//    5. bridge      set net/ipv6/conf/br0/autoconf to 0
	//    6. bridge      set net/ipv6/conf/br0/disable_ipv6 to 0
	//    7. bridge      set br0 up
	//    8. bridge      set net/ipv6/conf/enp2s0/addr_gen_mode to 1
	//    9. bridge      put 2001:db8:1:3::2/64 on br0, usable at once, deprecated
	//   10. bridge      put 2001:db8:1:3:921b:eff:fe12:3456/64 on br0, usable at once
	//   11. bridge      put fe80::921b:eff:fe12:3456/64 on br0, usable at once
	//   12. bridge      lead what arrives at enp2s0 past its change of place (nftables table netdev sixhost_bypass, links sixhost-by0 and sixhost-by1)
	//   13. bridge      make enp2s0 a port of br0
	//   14. bridge      remove what led past enp2s0
	//   15. bridge      move the route default (IPv6) via fe80::1 dev br0 metric 1024
	//   16. bridge      remove 2001:db8:1:3::2/64 from enp2s0
	//   17. bridge      clear the mark that 2001:db8:1:3::2/64 on br0 skipped duplicate address detection
	//   18. bridge      clear the mark that 2001:db8:1:3:921b:eff:fe12:3456/64 on br0 skipped duplicate address detection
	//   19. bridge      clear the mark that fe80::921b:eff:fe12:3456/64 on br0 skipped duplicate address detection
	// confirm:
	//    1. bridge      remove 2001:db8:1:3::2/64 from br0
}

// Keep a host as a plan has left it. The first look comes after subscribing, so
// that nothing is missed in between.
func ExampleWatch() {
	ctx := context.Background()
	cfg := bridge.Config{Uplink: "enp2s0"}
	there, err := bridge.Capture(ctx, cfg.Scope())
	if err != nil {
		log.Fatal(err)
	}
	wanted, err := cfg.State(there)
	if err != nil {
		log.Fatal(err)
	}
	err = bridge.Watch(ctx, bridge.WatchConfig{Wanted: wanted, Handle: func(ctx context.Context, d bridge.Drift) (time.Duration, error) {
		var errs []error
		for _, v := range d.Deviations {
			errs = append(errs, v.Step.Do(ctx)) // all of them: half of the way back beats none
			log.Print(v.Found, ": ", v.Step.Text)
		}
		who, _ := d.Suspects()
		log.Print("by ", who, ": ", errors.Join(append(errs, d.Err)...))
		return 100 * time.Millisecond, nil // tell me then whether it helped
	}})
	if err != nil {
		log.Fatal(err)
	}
}
