package persist

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/slaac"
)

var update = flag.Bool("update", false, "write the golden files anew")

// unusual has everything that hosts rarely have.
func unusual() bridge.State {
	s := wanted()
	s.Links[0].MTU, s.Links[1].MTU = 9000, 9000
	add := func(prefix string, change func(*bridge.Addr)) {
		a := bridge.Addr{Link: "br0", Prefix: netip.MustParsePrefix(prefix), Preferred: bridge.Forever, Valid: bridge.Forever}
		change(&a)
		s.Addrs = append(s.Addrs, a)
	}
	add("203.0.113.20/32", func(a *bridge.Addr) { a.Label, a.Peer = "br0", netip.MustParsePrefix("203.0.113.21/32") })
	add("203.0.113.33/28", func(a *bridge.Addr) {
		a.Label, a.Broadcast = "br0:1", netip.MustParseAddr("203.0.113.47")
	})
	add("203.0.113.65/28", func(a *bridge.Addr) { a.Label, a.Broadcast = "br0", netip.MustParseAddr("203.0.113.64") })
	add("2001:db8:1:3::5/128", func(a *bridge.Addr) { a.Preferred = 0 })
	add("2001:db8:1:4::1/64", func(a *bridge.Addr) { a.NoPrefixRoute = true })
	route := func(dst string, change func(*bridge.Route)) {
		p := netip.MustParsePrefix(dst)
		r := bridge.Route{Link: "br0", Family: 6, Table: 254, Type: 1, Dst: p, Protocol: 4}
		if p.Addr().Is4() {
			r.Family, r.Scope = 4, 253
		}
		change(&r)
		s.Routes = append(s.Routes, r)
	}
	route("198.51.100.0/25", func(r *bridge.Route) { r.Source = netip.MustParseAddr("203.0.113.10") })
	route("198.51.100.128/25", func(r *bridge.Route) {
		r.Via, r.Scope, r.Table, r.Metric, r.MTU = netip.MustParseAddr("203.0.113.1"), 0, 100, 50, 1400
		r.OnLink = true
	})
	route("198.51.101.0/24", func(r *bridge.Route) {
		r.Via, r.Scope, r.OnLink, r.HopLimit, r.AdvMSS = netip.MustParseAddr("203.0.113.1"), 0, true, 32, 1360
	})
	route("2001:db8:9::/48", func(r *bridge.Route) { r.Metric = 1024 })
	route("2001:db8:a::/48", func(r *bridge.Route) {
		r.Via, r.Metric = netip.MustParseAddr("fe80::1"), 1024
		r.From, r.Preference = netip.MustParsePrefix("2001:db8:1:3::/64"), 1
	})
	s.Neighbors = []bridge.Neighbor{
		{Link: "br0", IP: netip.MustParseAddr("203.0.113.1"), MAC: slaac.MAC{2, 0, 0, 0, 0, 1}, Permanent: true},
		{Link: "br0", IP: netip.MustParseAddr("fe80::1"), MAC: slaac.MAC{2, 0, 0, 0, 0, 1}},
	}
	return s
}

// cases are the hosts of the golden files.
func cases() map[string]struct {
	config Config
	files  map[string]string
} {
	type c = struct {
		config Config
		files  map[string]string
	}
	unit := Config{Bridge: wanted(), Executable: "/usr/local/bin/fullhost", ConfigFile: "/etc/sixhost/host.yaml"}
	as := func(c Config, f Format, b bridge.State) Config {
		c.Format, c.Bridge = f, b
		return c
	}
	return map[string]c{
		"netplan-plain":    {as(unit, FormatNetplan, wanted()), nil},
		"netplan-hetzner":  {as(unit, FormatAuto, wanted()), map[string]string{"etc/netplan/01-netcfg.yaml": hetzner}},
		"netplan-unusual":  {as(Config{}, FormatNetplan, unusual()), nil},
		"networkd-plain":   {as(Config{NameServers: []netip.Addr{netip.MustParseAddr("2001:db8::53")}}, FormatNetworkd, wanted()), nil},
		"networkd-hetzner": {as(unit, FormatAuto, wanted()), map[string]string{"etc/systemd/network/10-enp2s0.network": hetznerNetworkd}},
		"networkd-unusual": {as(Config{}, FormatNetworkd, unusual()), nil},
		"cloud-init": {as(Config{}, FormatAuto, wanted()), map[string]string{
			"etc/cloud/cloud.cfg": "",
			"etc/netplan/50-cloud-init.yaml": `network:
    version: 2
    ethernets:
        eth0:
            match: {macaddress: "90:1B:0E:12:34:56"}
            set-name: enp2s0
            tcp-segmentation-offload: false
            dhcp4: true
            nameservers: {addresses: [198.51.100.53], search: [example.net]}
`}},
	}
}

// dump shows the files of a state in one text.
func dump(s State) string {
	var b strings.Builder
	for _, f := range s.Files {
		switch {
		case f.Target != "":
			b.WriteString("==> " + f.Path + " -> " + f.Target + "\n")
		default:
			// The sums would only tell that something else has changed too.
			lines, _, _ := unsealed(f.Content)
			b.WriteString("==> " + f.Path + " " + f.Mode.String() + "\n" + string(bytes.Join(lines, nil)))
		}
	}
	for _, n := range s.Notes {
		b.WriteString("note: " + n + "\n")
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for name, tc := range cases() {
		t.Run(name, func(t *testing.T) {
			tc.config.Root = rootWith(t, tc.files)
			_, want, _ := planFor(t, tc.config)
			got := dump(want)
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(golden), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
