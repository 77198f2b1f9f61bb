package bridge

import "testing"

// TestInherit: the bridge has the uplink's parameters from the move on, and what
// a network manager sets for the uplink later is not for the bridge.
func TestInherit(t *testing.T) {
	const nic, br = "net/ipv4/conf/eth0/promote_secondaries", "net/ipv4/conf/br0/promote_secondaries"
	there := ordinary()
	there.Sysctls[nic] = "1"
	c := Config{Uplink: "eth0"}
	want, err := c.State(there)
	if err != nil {
		t.Fatal(err)
	}
	if want.Sysctls[br] != "1" {
		t.Errorf("before the move, %q is wanted", want.Sysctls[br])
	}
	moved := want
	moved.Sysctls = map[string]string{nic: "0", br: "1"}
	if want, err = c.State(moved); err != nil {
		t.Fatal(err)
	}
	if want.Sysctls[br] != "1" {
		t.Errorf("after the move, %q is wanted", want.Sysctls[br])
	}
}
