package persist

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/plan"
)

func TestRefusals(t *testing.T) {
	const eth = "etc/netplan/01-netcfg.yaml"
	const net = "etc/systemd/network/"
	for _, tc := range []struct {
		name   string
		files  map[string]string
		change func(*Config)
		err    error
		says   string
	}{
		{"nothing", nil, nil, ErrFormat, "persist: there are no files in /etc/netplan nor /etc/systemd/network to go by; set format to netplan, to networkd or to none"},
		{"NetworkManager", map[string]string{"etc/NetworkManager/system-connections/wired.nmconnection": "secret"}, nil, ErrOwner, "persist: NetworkManager configures the network here (there is /etc/NetworkManager/system-connections/wired.nmconnection), and its files can't be taken over; move enp2s0 to netplan or networkd first"},
		{"NetworkManager, and a file of networkd's for others", map[string]string{"etc/NetworkManager/system-connections/wired.nmconnection": "", net + "10-lan.network": "[Match]\nName=enp3s0\n"}, nil, ErrOwner, "persist: NetworkManager configures the network here"},
		{"NetworkManager without profiles", map[string]string{"etc/systemd/system/multi-user.target.wants/NetworkManager.service": "", "usr/sbin/netplan": ""}, nil, ErrOwner, "persist: NetworkManager configures"},
		{"connman", map[string]string{"var/lib/connman/ethernet_901b0e123456_cable/settings": ""}, nil, ErrOwner, "persist: connman configures the network here (there is /var/lib/connman/ethernet_901b0e123456_cable/settings)"},
		{"wicked", map[string]string{"etc/sysconfig/network/ifcfg-enp2s0": "BOOTPROTO=dhcp\n"}, nil, ErrOwner, "persist: wicked configures the network here (there is /etc/sysconfig/network/ifcfg-enp2s0)"},
		{"Red Hat's scripts", map[string]string{"etc/sysconfig/network-scripts/ifcfg-enp2s0": ""}, nil, ErrOwner, "persist: Red Hat's network script configures"},
		{"dhcpcd", map[string]string{"etc/systemd/system/multi-user.target.wants/dhcpcd.service": ""}, nil, ErrOwner, "persist: dhcpcd configures"},
		{"ifupdown, continued", map[string]string{"etc/network/interfaces": "# iface enp2s0\niface \\\n enp2s0 inet dhcp\n"}, nil, ErrOwner, "/etc/network/interfaces line 2: ifupdown configures enp2s0 here"},
		{"ifupdown, source by pattern", map[string]string{"etc/network/interfaces": "source interfaces.d/*.cfg\n", "etc/network/interfaces.d/up.cfg": "iface enp2s0 inet dhcp\n"}, nil, ErrOwner, "/etc/network/interfaces.d/up.cfg line 1: ifupdown configures enp2s0 here"},
		{"ifupdown, folder by name", map[string]string{"etc/network/interfaces": "source-directory /etc/network/interfaces.d\n", "etc/network/interfaces.d/up": "iface enp2s0 inet dhcp\n"}, nil, ErrOwner, "/etc/network/interfaces.d/up line 1: ifupdown configures enp2s0 here"},
		{"ifupdown, from elsewhere", map[string]string{"etc/network/interfaces": "iface lo inet loopback\nsource /srv/net/*\n"}, nil, ErrOwner, "/etc/network/interfaces line 2: ifupdown takes in /srv/net/*, which is not looked at"},
		{"ifupdown", map[string]string{"etc/network/interfaces": "auto lo\niface lo inet loopback\n\niface enp2s0 inet static\n", eth: hetzner}, nil, ErrOwner, "/etc/network/interfaces line 4: ifupdown configures enp2s0 here"},
		{"ifupdown, folder", map[string]string{"etc/network/interfaces": "source /etc/network/interfaces.d/*\n", "etc/network/interfaces.d/50-cloud-init": "iface br0 inet static\n"}, nil, ErrOwner, "/etc/network/interfaces.d/50-cloud-init line 1: ifupdown configures br0 here"},
		{"bad YAML", map[string]string{eth: "network:\n  version: 2\n\tethernets: {}\n"}, nil, ErrUnreadable, "/etc/netplan/01-netcfg.yaml: is no YAML: line "},
		{"no mapping", map[string]string{eth: "network:\n  ethernets: [enp2s0]\n"}, nil, ErrUnreadable, "/etc/netplan/01-netcfg.yaml line 2: ethernets is not a mapping"},
		{"twice", map[string]string{eth: "network:\n  version: 2\n  version: 2\n"}, nil, ErrUnreadable, "line 3: network has version twice"},
		{"all in braces", map[string]string{eth: "# mine\nnetwork: {version: 2, ethernets: {enp2s0: {dhcp4: true}}}\n"}, nil, ErrUneditable, "/etc/netplan/01-netcfg.yaml line 2: network is written in braces, which can't be edited; write it with one key a line"},
		{"ethernets in braces", map[string]string{eth: "network:\n  ethernets: {enp2s0: {dhcp4: true}}\n"}, nil, ErrUneditable, "line 2: ethernets is written in braces"},
		{"bridges in braces", map[string]string{eth: hetzner + "  bridges: {}\n"}, nil, ErrUneditable, "line 20: bridges is written in braces"},
		{"an anchor", map[string]string{eth: "network:\n  ethernets:\n    enp3s0: {nameservers: *ns}\n    enp2s0:\n      nameservers: &ns {addresses: [198.51.100.53]}\n"}, nil, ErrUnreadable, "unknown anchor"},
		{"an anchor that is used elsewhere", map[string]string{eth: "network:\n  ethernets:\n    enp2s0:\n      nameservers: &ns {addresses: [198.51.100.53]}\n    enp3s0: {nameservers: *ns}\n"}, nil, ErrUneditable, "line 4: ethernet enp2s0 has an anchor or an alias, which can't be edited; write out what it stands for"},
		{"an alias as the entry", map[string]string{eth: "network:\n  ethernets:\n    enp3s0: &lan {dhcp4: true}\n    enp2s0: *lan\n"}, nil, ErrUneditable, "line 4: ethernet enp2s0 has an anchor or an alias"},
		{"two documents", map[string]string{eth: hetzner + "---\nnetwork: {}\n"}, nil, ErrUneditable, "holds more than one document"},
		{"odd line ends", map[string]string{eth: strings.ReplaceAll(hetzner, "\n", "\r")}, nil, ErrUneditable, "has characters or ends of lines that an editor would not keep"},
		{"values over lines", map[string]string{eth: "network:\n  ethernets:\n    enp2s0:\n      dhcp4: true\n    enp3s0:\n      set-name: \"a\n#b\"\n"}, nil, ErrUneditable, "line 3: can't be edited: the result would"},
		{"two entries", map[string]string{eth: hetzner, "etc/netplan/02-again.yaml": "network:\n  ethernets:\n    lan:\n      match: {macaddress: '90:1b:0e:12:34:56'}\n"}, nil, ErrShared, "/etc/netplan/02-again.yaml line 3: ethernet lan and ethernet enp2s0 both configure enp2s0; make them one entry"},
		{"a bridge in a file of its own", map[string]string{eth: hetzner, "etc/netplan/02-br.yaml": "network:\n  bridges:\n    br0:\n      dhcp4: true\n"}, nil, ErrShared, "/etc/netplan/02-br.yaml line 3: configures bridge br0, but not its port; put both into one file"},
		{"a bond on it", map[string]string{eth: hetzner, "etc/netplan/bond.yaml": "network:\n  bonds:\n    bond0: {interfaces: [enp2s0]}\n"}, nil, ErrShared, "/etc/netplan/bond.yaml line 3: bond bond0 is built on enp2s0, which is to be a port of br0"},
		{"another bridge", map[string]string{eth: hetzner + "  bridges:\n    virbr7:\n      interfaces: [enp2s0]\n"}, nil, ErrShared, "line 22: bridge virbr7 is built on enp2s0"},
		{"a pattern", map[string]string{eth: "network:\n  ethernets:\n    all:\n      match: {name: en*}\n      dhcp4: true\n"}, nil, ErrShared, "line 3: ethernet all matches the name en*, which takes in enp2s0 but can be other interfaces too; give enp2s0 an entry of its own"},
		{"a driver", map[string]string{eth: "network:\n  ethernets:\n    all:\n      match: {driver: e1000e}\n"}, nil, ErrShared, "line 3: ethernet all matches by other things than name and MAC"},
		{"policy", map[string]string{eth: "network:\n  ethernets:\n    enp2s0:\n      routing-policy: [{from: 203.0.113.10, table: 5}]\n"}, nil, ErrInexpressible, "line 4: routing-policy of ethernet enp2s0 can't be moved to br0 yet"},
		{"from the system", map[string]string{"usr/lib/netplan/00-nic.yaml": hetzner, eth: ""}, nil, ErrOwner, "/usr/lib/netplan/00-nic.yaml line 6: configures ethernet enp2s0"},
		{"netplan's, but networkd wanted", map[string]string{eth: hetzner}, func(c *Config) { c.Format = FormatNetworkd }, ErrFormat, "/etc/netplan/01-netcfg.yaml line 6: netplan configures ethernet enp2s0 here; set format to netplan"},
		{"networkd, a pattern before ours", map[string]string{net + "00-all.network": "[Match]\nName=en*\n"}, nil, ErrShared, "/etc/systemd/network/00-all.network line 2: matches enp2s0 or br0, but other interfaces too"},
		{"netplan, a pattern before its own", map[string]string{eth: hetzner, net + "05-all.network": "[Match]\nType=ether\n"}, nil, ErrShared, "/etc/systemd/network/05-all.network line 2: matches"},
		{"networkd, a MACVLAN", map[string]string{net + "10-nic.network": "[Match]\nName=enp2s0\n[Network]\nMACVLAN=mv\n"}, nil, ErrShared, "/etc/systemd/network/10-nic.network line 4: MACVLAN=mv is built on the interface"},
		{"networkd, a VLAN on the bridge", map[string]string{net + "10-br.network": "[Match]\nName=br0\n[Network]\nVLAN=vlan7\n"}, nil, ErrShared, "/etc/systemd/network/10-br.network line 4: vlan7 is made on br0, which is written anew"},
		{"networkd, policy", map[string]string{net + "10-nic.network": "[Match]\nName=enp2s0\n[RoutingPolicyRule]\nTable=5\n"}, nil, ErrInexpressible, "line 4: routing policy rules"},
		{"networkd, nonsense", map[string]string{net + "10-nic.network": "[Match\n"}, nil, ErrUnreadable, "/etc/systemd/network/10-nic.network line 1: a section's name lacks its bracket"},
		{"a VLAN as uplink", map[string]string{eth: hetzner}, func(c *Config) { c.Bridge.Links[0].Kind = "vlan" }, ErrInexpressible, "/etc/netplan/01-netcfg.yaml line 6: enp2s0 is a vlan, which ethernet enp2s0 doesn't make"},
		{"a VLAN of no file", nil, func(c *Config) { c.Format = FormatNetplan; c.Bridge.Links[0].Kind = "vlan" }, ErrInexpressible, "uplink enp2s0: is a vlan, and no file of netplan's makes it; set format to none"},
		{"a bond of no file", nil, func(c *Config) { c.Format = FormatNetworkd; c.Bridge.Links[0].Kind = "bond" }, ErrInexpressible, "uplink enp2s0: is a bond, and no .netdev file in /etc/systemd/network/ makes it; set format to none"},
		{"odd name", nil, func(c *Config) { c.Bridge.Uplink = "en*"; c.Bridge.Links[0].Name = "en*" }, ErrInexpressible, "interface en*: its name has characters"},
		{"no bridge", nil, func(c *Config) { c.Bridge.Links = c.Bridge.Links[:1] }, ErrInexpressible, "bridge br0: the wanted state has no such link"},
		{"no uplink", nil, func(c *Config) { c.Bridge = bridge.State{} }, ErrInexpressible, "uplink : the wanted state has no such link"},
		{"type of service", nil, func(c *Config) {
			c.Bridge.Routes = []bridge.Route{{Link: "br0", Dst: netip.MustParsePrefix("198.51.100.0/24"), TOS: 8}}
		}, ErrInexpressible, "route 198.51.100.0/24: is for the type of service 0x8"},
		{"relative program", map[string]string{eth: hetzner}, func(c *Config) { c.Executable = "fullhost" }, ErrPath, `executable: the unit needs an absolute path, not "fullhost"`},
		{"relative file", map[string]string{eth: hetzner}, func(c *Config) { c.Executable, c.ConfigFile = "/bin/fullhost", "host.yaml" }, ErrPath, `configuration file: the unit needs an absolute path, not "host.yaml"`},
		{"relative state", map[string]string{eth: hetzner}, func(c *Config) { c.Executable, c.StateDir = "/bin/fullhost", "state" }, ErrPath, `state folder: the unit needs an absolute path, not "state"`},
		{"state in quotes", map[string]string{eth: hetzner}, func(c *Config) { c.Executable, c.StateDir = "/bin/fullhost", `/srv/"a"` }, ErrPath, "state folder: a unit can't name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Config{Bridge: wanted(), Root: rootWith(t, tc.files)}
			if tc.change != nil {
				tc.change(&c)
			}
			_, err := c.State(capture(t, c.Scope()))
			var refusal *plan.Refusal
			if !errors.As(err, &refusal) || !errors.Is(err, tc.err) {
				t.Fatalf("error is %v, want a refusal for %v", err, tc.err)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("says  %s\nwant  %s", err, tc.says)
			}
			if strings.Contains(err.Error(), c.Root) {
				t.Errorf("names a path in the root: %s", err)
			}
		})
	}
}

// What is about other interfaces is left alone.
func TestLeavesAlone(t *testing.T) {
	others := map[string]string{
		"etc/netplan/01-netcfg.yaml":             hetzner,
		"etc/netplan/02-other.yaml":              "network:\n  ethernets:\n    enp3s0: {dhcp4: true}\n    byname: {match: {name: wl*}}\n    bymac: {match: {macaddress: '90:1b:0e:12:34:57'}, set-name: lan}\n  vlans: {v: {id: 1, link: enp3s0}}\n",
		"etc/netplan/03-empty.yaml":              "",
		"etc/netplan/04-renderer.yaml":           "network: {version: 2, renderer: NetworkManager}\n",
		"etc/netplan/old.yaml.disabled":          "not: [read",
		"etc/systemd/network/99-default.network": "[Match]\nName=en*\n",
		"etc/systemd/network/10-lan.network":     "[Match]\nName=enp3s0\n[Network]\nDHCP=yes\n",
		"etc/systemd/network/10-wl.network":      "[Match]\nType=wlan\n",
		"etc/systemd/network/25-mac.link":        "[Match]\nMACAddress=90:1b:0e:12:34:56\n[Link]\nName=enp2s0\n",
		"etc/network/interfaces":                 "source /etc/network/interfaces.d/*.cfg\niface lo inet loopback\n",
		"etc/network/interfaces.d/unread":        "iface enp2s0 inet dhcp\n",
	}
	c := Config{Bridge: wanted(), Root: rootWith(t, others)}
	before, want, p := planFor(t, c)
	for name := range others {
		was, ok := before.File(name)
		if now, stays := want.File(name); ok && name != "etc/netplan/01-netcfg.yaml" && (!stays || !now.same(was)) {
			t.Errorf("%s is changed", name)
		}
	}
	if len(p.Notes) != 1 || !strings.HasPrefix(p.Notes[0], "/etc/systemd/network/25-mac.link matches every interface with the MAC 90:1b:0e:12:34:56") {
		t.Errorf("notes: %q", p.Notes)
	}
}

func TestFormatText(t *testing.T) {
	for text, want := range map[string]Format{"": FormatAuto, "auto": FormatAuto, "netplan": FormatNetplan, "networkd": FormatNetworkd, "none": FormatNone} {
		var f Format
		if err := f.UnmarshalText([]byte(text)); err != nil || f != want {
			t.Errorf("%q is %q, %v", text, f, err)
		}
		if b, err := f.MarshalText(); err != nil || string(b) != string(want) {
			t.Errorf("%q is written as %q, %v", text, b, err)
		}
	}
	if err := new(Format).UnmarshalText([]byte("ifupdown")); err == nil {
		t.Error("ifupdown is taken for a format")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(hetzner))
	f.Add([]byte(hetznerNetworkd))
	f.Add([]byte("network: {ethernets: {a: &x {match: {name: 'e*'}}, b: *x}}"))
	f.Add([]byte("[A]\nb=c\\\n d\n"))
	n := nic{uplink: "enp2s0", bridge: "br0", mac: wanted().Links[0].MAC}
	f.Fuzz(func(t *testing.T, content []byte) {
		file := File{Path: "x", Content: content}
		_, err1 := readNetplan(file, n)
		_, err2 := readNetwork(file, n)
		for _, err := range []error{err1, err2} {
			var refusal *plan.Refusal
			if err != nil && !errors.As(err, &refusal) {
				t.Errorf("not a refusal: %v", err)
			}
		}
	})
}
