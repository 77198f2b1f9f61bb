package bridge

import (
	"testing"

	"github.com/sixhost/sixhost/slaac"
)

// TestInheritOnce: the bridge takes the NIC's parameters over when it takes its
// place, and what is set on the port later is no wish for the bridge.
func TestInheritOnce(t *testing.T) {
	const nic, br = "net/ipv4/conf/enp2s0/promote_secondaries", "net/ipv4/conf/br0/promote_secondaries"
	c := Config{Uplink: "enp2s0"}
	before := State{
		Scope: c.Scope(),
		Links: []Link{{Name: "enp2s0", Kind: "device", MAC: slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}, MTU: 1500, Up: true, Ethernet: true}},
		Addrs: []Addr{{Link: "enp2s0", Prefix: testPrefix("2001:db8:1:3::2/64"), Preferred: Forever, Valid: Forever}},
		Sysctls: map[string]string{
			nic: "1", filterKey("enp2s0"): "1",
		},
	}
	moved, err := c.State(before)
	if err != nil {
		t.Fatal(err)
	}
	if moved.Sysctls[br] != "1" || moved.Sysctls[filterKey("br0")] != "1" {
		t.Errorf("not taken over: %v", moved.Sysctls)
	}
	moved.Sysctls[nic], moved.Sysctls["net/ipv4/conf/enp2s0/proxy_arp"], moved.Sysctls[filterKey("enp2s0")] = "0", "1", "2"
	again, err := c.State(moved)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Plan(moved, again)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Empty() {
		t.Errorf("after somebody changed the port: %q", p.Steps[0].Text)
	}
}
