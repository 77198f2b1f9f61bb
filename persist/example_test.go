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
		Links: []bridge.Link{{Name: "enp2s0", MAC: mac}, {Name: "br0", Kind: "bridge", MAC: mac}},
		Addrs: []bridge.Addr{{Link: "br0", Prefix: netip.MustParsePrefix("2001:db8:1:3::2/64"), Preferred: bridge.Forever, Valid: bridge.Forever}},
	}}
	// Capture would read this.
	there := persist.State{Scope: c.Scope(), Files: []persist.File{{
		Path: "etc/netplan/01-netcfg.yaml", Mode: 0o600,
		Content: []byte("network: {version: 2, ethernets: {enp2s0: {addresses: ['2001:db8:1:3::2/64']}}}\n"),
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

	f, _ := want.File("etc/systemd/network/10-netplan-br0.netdev.d/60-sixhost.conf")
	fmt.Printf("\n%s", f.Content)
	// Output:
	// confirm:
	//    1. persist     keep a copy of /etc/netplan/01-netcfg.yaml as 01-netcfg.yaml.sixhost-saved
	//    2. persist     write /etc/systemd/network/10-netplan-br0.netdev.d/60-sixhost.conf
	//    3. persist     write /etc/systemd/network/10-netplan-br0.network.d/60-sixhost.conf
	//    4. persist     replace /etc/netplan/01-netcfg.yaml
	//    5. persist     write /etc/sysctl.d/60-sixhost.conf
	//
	// # Written by sixhost. Changes are lost when the host's configuration is applied again.
	// # netplan has no word for this.
	// [Bridge]
	// MulticastSnooping=no
}
