package persist

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/nstest"
)

// generate runs netplan's generator and returns a file of its result.
func generate(t *testing.T, root, name string) []setting {
	t.Helper()
	f := File{Path: "run/systemd/network/" + name}
	var err error
	if f.Content, err = os.ReadFile(filepath.Join(root, f.Path)); err != nil {
		t.Fatal(err)
	}
	settings, err := parseINI(f)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// blocks writes settings as one line for each section, sorted.
func blocks(settings []setting) []string {
	var list []string
	for i, s := range settings {
		// A repeated section begins where its first key comes again.
		if i == 0 || settings[i-1].section != s.section || s.section == "Route" && s.key == "Destination" || s.section == "Address" && s.key == "Address" {
			list = append(list, s.section+":")
		}
		list[len(list)-1] += " " + s.key + "=" + s.value
	}
	slices.Sort(list)
	return list
}

// The real netplan takes our file, and makes of it what we mean.
func TestNetplanGenerate(t *testing.T) {
	netplan := nstest.Tool(t, "netplan")
	for name, tc := range cases() {
		if name[:2] == "ne" && !strings.HasPrefix(name, "netplan") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			c := tc.config
			c.Root = rootWith(t, tc.files)
			_, _, p := planFor(t, c)
			confirm(t, p)
			if out, err := exec.Command(netplan, "generate", "--root-dir", c.Root).CombinedOutput(); err != nil || strings.Contains(string(out), "WARNING") {
				t.Fatalf("netplan generate: %v\n%s", err, out)
			}
			netdev := blocks(generate(t, c.Root, "10-netplan-br0.netdev"))
			id := "enp2s0"
			if name == "cloud-init" {
				id = "eth0"
			}
			uplink := blocks(generate(t, c.Root, "10-netplan-"+id+".network"))
			bridge := blocks(generate(t, c.Root, "10-netplan-br0.network"))
			mtu := "1500"
			if name == "netplan-unusual" {
				mtu = "9000"
			}
			if diff := cmp.Diff([]string{
				"Bridge: ForwardDelaySec=0 STP=false",
				"NetDev: Name=br0 MACAddress=90:1b:0e:12:34:56 MTUBytes=" + mtu + " Kind=bridge",
			}, netdev); diff != "" {
				t.Errorf("netdev (-want +got):\n%s", diff)
			}
			want := []string{"Link: MTUBytes=" + mtu, "Match: Name=enp2s0", "Network: LinkLocalAddressing=no IPv6AcceptRA=no Bridge=br0"}
			if tc.files != nil {
				want = want[1:] // the NIC's own MTU needs no word
			}
			if name == "cloud-init" {
				// The permanent one: the bridge has none and isn't taken for the NIC.
				want[0] = "Match: PermanentMACAddress=90:1B:0E:12:34:56 Name=enp2s0"
			}
			if diff := cmp.Diff(want, uplink); diff != "" {
				t.Errorf("uplink (-want +got):\n%s", diff)
			}
			dns := map[string]string{
				"netplan-hetzner": "DNS=198.51.100.53 DNS=2001:db8:53::1 ",
				"cloud-init":      "DNS=198.51.100.53 Domains=example.net ",
			}[name]
			want = []string{
				"Link: MTUBytes=" + mtu + " MACAddress=90:1b:0e:12:34:56",
				"Match: Name=br0",
				"Network: LinkLocalAddressing=ipv6 Address=203.0.113.10/32 Address=2001:db8:1:3:921b:eff:fe12:3456/64 IPv6AcceptRA=no " + dns + "ConfigureWithoutCarrier=yes",
				"Route: Destination=0.0.0.0/0 Gateway=203.0.113.1 GatewayOnLink=true",
				"Route: Destination=::/0 Gateway=fe80::1 Metric=1024",
			}
			if name == "netplan-unusual" {
				want = append(want,
					"Address: Address=203.0.113.33/28 Label=br0:1",
					"Address: Address=2001:db8:1:3::5/128 PreferredLifetime=0",
					"Route: Destination=198.51.100.0/25 PreferredSource=203.0.113.10 Scope=link",
					"Route: Destination=198.51.100.128/25 Gateway=203.0.113.1 GatewayOnLink=true Metric=50 Table=100 MTUBytes=1400",
					"Route: Destination=2001:db8:9::/48 Scope=link Metric=1024")
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, bridge); diff != "" {
				t.Errorf("bridge (-want +got):\n%s", diff)
			}
		})
	}
}

// The real systemd finds nothing wrong with the units.
func TestUnitVerify(t *testing.T) {
	analyze := nstest.Tool(t, "systemd-analyze")
	dir := t.TempDir()
	// The program has to exist, and its path to survive our quoting.
	program := filepath.Join(dir, "full host 100%")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	unit, err := (Config{Executable: program, ConfigFile: `/etc/six host/"$a\b%n".yaml`, StateDir: "/var/lib/six $a%n"}).unit()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"sixhost.service": unit, "sixhost-edge.service": edgeUnit(unitWord(program))} {
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, content, 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", at).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
}
