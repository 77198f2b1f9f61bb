package bridge

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/sixhost/sixhost/slaac"
)

// settled is a host that was moved and confirmed.
func settled(t *testing.T) (Config, State) {
	t.Helper()
	c := Config{Uplink: "enp2s0"}
	there, err := c.State(State{
		Scope:   c.Scope(),
		Links:   []Link{{Name: "enp2s0", Kind: "device", MAC: slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}, MTU: 1500, Up: true, Ethernet: true, TxQueueLen: 5000}},
		Addrs:   []Addr{{Link: "enp2s0", Prefix: testPrefix("2001:db8:1:3::2/64"), Preferred: Forever, Valid: Forever}},
		Sysctls: map[string]string{forwardingKey("all"): "0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	there.Uptime = time.Hour
	return c, there
}

// TestSettledHostStaysServable: what a reboot, or somebody else, does to a host
// that has been moved is no reason for a refusal, nor for a guarded change.
func TestSettledHostStaysServable(t *testing.T) {
	for name, change := range map[string]func(*State){
		"nothing": func(*State) {},
		"a parameter is set otherwise": func(s *State) {
			s.Sysctls["net/ipv6/conf/br0/accept_redirects"] = "1"
		},
		"br_netfilter was loaded": func(s *State) { s.Sysctls[netfilterKeys()[0]] = "1" },
		"the boot gave the bridge the usual queue": func(s *State) {
			s.Links[slices.IndexFunc(s.Links, func(l Link) bool { return l.Name == "br0" })].TxQueueLen = 1000
		},
		"a route that can't be moved": func(s *State) { s.Unsupported = append(s.Unsupported, "a route has a nexthop object") },
		"a DHCP client runs on br0": func(s *State) {
			s.Addrs = append(s.Addrs, Addr{Link: "br0", Prefix: testPrefix("192.0.2.7/24"), Preferred: time.Minute, Valid: time.Minute})
			s.Routes = append(s.Routes, Route{Link: "br0", Family: 6, Table: mainTable, Type: 1, Dst: testPrefix("2001:db8:5::/48"), Protocol: protocolRA, Expires: time.Minute})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, there := settled(t)
			there.Sysctls = maps.Clone(there.Sysctls)
			change(&there)
			want, err := c.State(there)
			if err != nil {
				t.Fatal(err)
			}
			if sentence, needed := NeedsGuard(there, want); needed {
				t.Errorf("wants a guard to %s", sentence)
			}
		})
	}
	c, there := settled(t)
	want, err := c.State(there)
	if err != nil {
		t.Fatal(err)
	}
	there.Links[0].Master, there.Links[0].MasterKind = "", ""
	if sentence, needed := NeedsGuard(there, want); !needed {
		t.Error("moving the NIC wants no guard")
	} else if sentence == "" {
		t.Error("no sentence")
	}
}
