package persist

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// wanted is the state that bridge wants on a server as its provider set it up.
func wanted() bridge.State {
	mac := slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	addr := func(s string) bridge.Addr {
		return bridge.Addr{Link: "br0", Prefix: netip.MustParsePrefix(s), Preferred: bridge.Forever, Valid: bridge.Forever}
	}
	v4 := addr("203.0.113.10/32")
	v4.Label = "br0"
	ll := addr("fe80::921b:eff:fe12:3456/64")
	ll.Scope = 253
	return bridge.State{
		Scope: bridge.Scope{Uplink: "enp2s0", Bridge: "br0"},
		Links: []bridge.Link{
			{Name: "enp2s0", Kind: "device", MAC: mac, MTU: 1500, Up: true, Master: "br0", MasterKind: "bridge", Ethernet: true},
			{Name: "br0", Kind: "bridge", MAC: mac, MTU: 1500, Up: true, Ethernet: true, GroupForward: 0xfff8},
		},
		Addrs: []bridge.Addr{v4, addr("2001:db8:1:3:921b:eff:fe12:3456/64"), ll},
		Routes: []bridge.Route{
			{Link: "br0", Family: 4, Table: 254, Type: 1, Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), OnLink: true, Protocol: 4},
			{Link: "br0", Family: 6, Table: 254, Type: 1, Dst: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fe80::1"), Metric: 1024, Protocol: 4},
		},
		Sysctls: map[string]string{
			"net/ipv6/conf/all/forwarding":       "1",
			"net/ipv6/conf/br0/accept_ra":        "0",
			"net/ipv6/conf/br0/accept_redirects": "0",
			"net/ipv6/conf/br0/autoconf":         "0",
			"net/ipv6/conf/enp2s0/addr_gen_mode": "1",
		},
		Retiring: []bridge.Addr{addr("2001:db8:1:3::2/64")},
	}
}

// hetzner is what a provider leaves in /etc/netplan.
const hetzner = `### Hetzner Online GmbH installimage
network:
  version: 2
  renderer: networkd
  ethernets:
    enp2s0:
      addresses:
        - 203.0.113.10/32
        - 2001:db8:1:3::2/64
      routes:
        - on-link: true
          to: 0.0.0.0/0
          via: 203.0.113.1
        - to: default
          via: fe80::1
      nameservers:
        addresses:
          - 2001:db8:53::1
          - 198.51.100.53
`

// hetznerNetworkd is the same for networkd.
const hetznerNetworkd = `### Hetzner Online GmbH installimage
[Match]
Name=enp2s0

[Network]
Address=2001:db8:1:3::2/64
Gateway=203.0.113.1
Gateway=fe80::1
DNS=2001:db8:53::1

[Address]
Address=203.0.113.10
Peer=203.0.113.1/32
`

// rootWith makes a root with files in it.
func rootWith(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func capture(t testing.TB, s Scope) State {
	t.Helper()
	there, err := Capture(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// planFor plans from what is there.
func planFor(t testing.TB, c Config) (there, want State, p plan.Plan) {
	t.Helper()
	there = capture(t, c.Scope())
	want, err := c.State(there)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Plan(there, want); err != nil {
		t.Fatal(err)
	}
	return there, want, p
}

func confirm(t testing.TB, p plan.Plan) {
	t.Helper()
	if err := p.Run(context.Background(), plan.Confirm, nil); err != nil {
		t.Fatal(err)
	}
}

func texts(p plan.Plan) []string {
	var s []string
	for _, st := range p.Steps {
		s = append(s, st.Text)
	}
	return s
}

// sameFiles compares files as they would be on a disk.
func sameFiles() cmp.Option {
	return cmp.Comparer(func(a, b File) bool { return a.Path == b.Path && a.same(b) })
}
