package persist_test

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/persist"
	"github.com/sixhost/sixhost/slaac"
)

// The files of the next boot, for a host that has one file of netplan's.
func Example() {
	mac := slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	c := persist.Config{Bridge: bridge.State{
		Scope: bridge.Scope{Uplink: "enp2s0", Bridge: "br0"},
		Links: []bridge.Link{{Name: "enp2s0", MAC: mac}, {Name: "br0", Kind: "bridge", MAC: mac, GroupForward: 0xfff8}},
		Addrs: []bridge.Addr{{Link: "br0", Prefix: netip.MustParsePrefix("2001:db8:1:3::2/64"), Preferred: bridge.Forever, Valid: bridge.Forever}},
	}}
	// Capture would read this.
	there := persist.State{Scope: c.Scope(), Files: []persist.File{{
		Path: "etc/netplan/01-netcfg.yaml", Mode: 0o600,
		Content: []byte("network:\n  version: 2\n  ethernets:\n    enp2s0: {addresses: ['2001:db8:1:3::2/64']}\n"),
	}}}
	want, err := c.State(there)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := persist.Plan(there, want)
	if err != nil {
		fmt.Println(err)
		return
	}
	p.WriteText(os.Stdout)

	f, _ := want.File("etc/netplan/01-netcfg.yaml")
	fmt.Printf("\n%s", f.Content)
	// Output:
	// confirm:
	//    1. persist     keep a copy of /etc/netplan/01-netcfg.yaml as 01-netcfg.yaml.sixhost-saved
	//    2. persist     write /etc/systemd/network/10-netplan-br0.netdev.d/60-sixhost.conf
	//    3. persist     write /etc/systemd/network/10-netplan-br0.network.d/60-sixhost.conf
	//    4. persist     edit /etc/netplan/01-netcfg.yaml
	//    5. persist     write /etc/sysctl.d/60-sixhost.conf
	//
	// network:
	//   version: 2
	//   ethernets:
	//     enp2s0:
	//       # Written by sixhost. br0 has the addresses of this interface.
	//       # Sum of this file: e912e73c41cdab42
	//       renderer: networkd
	//       dhcp4: false
	//       dhcp6: false
	//       accept-ra: false
	//       link-local: []
	//   bridges:
	//     br0:
	//       # Written by sixhost. Changes are lost when the host's configuration is applied again.
	//       renderer: networkd
	//       interfaces: ["enp2s0"]
	//       macaddress: "90:1b:0e:12:34:56"
	//       parameters:
	//         stp: false
	//         forward-delay: 0
	//       dhcp4: false
	//       dhcp6: false
	//       accept-ra: false
	//       link-local: [ipv6]
	//       addresses:
	//       - "2001:db8:1:3::2/64"
}
