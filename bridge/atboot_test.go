package bridge

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/slaac"
)

// TestBootSysctlsStay: whether br_netfilter is loaded and how large the
// neighbour tables are when somebody looks is nothing to the files.
func TestBootSysctlsStay(t *testing.T) {
	there := func(more map[string]string) State {
		s := State{
			Scope:   Scope{Uplink: "enp2s0", Bridge: "br0"},
			Links:   []Link{{Name: "enp2s0", Kind: "device", MAC: slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}, MTU: 1500, Up: true, Ethernet: true}},
			Addrs:   []Addr{{Link: "enp2s0", Prefix: netip.MustParsePrefix("2001:db8:1:3::2/64"), Preferred: Forever, Valid: Forever}},
			Sysctls: map[string]string{filterKey("enp2s0"): "1"},
		}
		for key, value := range more {
			s.Sysctls[key] = value
		}
		return s
	}
	boot := func(s State) [2]map[string]string {
		t.Helper()
		want, err := Config{Uplink: "enp2s0", Guests: 64}.State(s)
		if err != nil {
			t.Fatal(err)
		}
		always, ifThere := want.BootSysctls()
		return [2]map[string]string{always, ifThere}
	}
	plain := boot(there(nil))
	if plain[0][filterKey("br0")] != "1" || len(plain[1]) != len(netfilterKeys()) {
		t.Errorf("%v", plain)
	}
	for name, more := range map[string]map[string]string{
		"br_netfilter is loaded":     {"net/bridge/bridge-nf-call-iptables": "1", "net/bridge/bridge-nf-call-ip6tables": "1", "net/bridge/bridge-nf-call-arptables": "1"},
		"the limits are the usual":   {neighborLimitKey("ipv4", "gc_thresh3"): "1024", neighborLimitKey("ipv6", "gc_thresh3"): "1024"},
		"somebody has raised a lot":  {neighborLimitKey("ipv4", "gc_thresh3"): "99999", neighborLimitKey("ipv6", "gc_thresh1"): "50000"},
		"they have been raised once": {neighborLimitKey("ipv6", "gc_thresh3"): "2048"},
	} {
		if diff := cmp.Diff(plain, boot(there(more))); diff != "" {
			t.Errorf("%s (-before +now):\n%s", name, diff)
		}
	}
}
