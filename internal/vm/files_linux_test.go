package vm

import (
	"github.com/sixhost/sixhost/internal/lab"
)

// common are the files that every server of these tests has, whatever its
// network: the programs, and a guest that is there as soon as there is a bridge.
func (p parts) common() map[string]File {
	unit := func(text string) File { return File{Mode: 0o644, Content: []byte(text)} }
	return map[string]File{
		"usr/local/bin/agent":                                      {Mode: 0o755, From: p.agent},
		"usr/local/bin/fullhost":                                   {Mode: 0o755, From: p.fullhost},
		"etc/systemd/system/agent.service":                         unit("[Service]\nExecStart=/usr/local/bin/agent\n"),
		"etc/systemd/system/multi-user.target.wants/agent.service": {Target: "../agent.service"},
		"etc/systemd/system/guest.service": unit("[Unit]\nDefaultDependencies=no\nAfter=systemd-remount-fs.service\n\n" +
			"[Service]\nExecStart=/usr/local/bin/agent guest br0 " + guestMAC + " " + guestCount + "\n"),
		"etc/systemd/system/sysinit.target.wants/guest.service": {Target: "../guest.service"},
		"etc/sixhost/host.yaml":                                 unit("dns: {upstreams: [203.0.114.53]}\n"),
	}
}

const (
	guestMAC = "52:54:00:12:34:56"
	// guestCount is where the guest writes how much it has sent.
	guestCount = "/run/guest.count"
)

// site is a way in which a provider sets a server up.
type site struct {
	name  string
	files map[string]string
	// nics is how many NICs the server has; 0 is one.
	nics int
	// vlan is the tag that the provider wants; 0 is none.
	vlan uint16
	// uplink is what has the addresses.
	uplink string
}

// addresses is the part of networkd's file that providers write for the link
// with the addresses.
const addresses = `
[Network]
Address=2001:db8:1:3::2/64
Gateway=203.0.113.1
Gateway=fe80::1

[Address]
Address=203.0.113.10
Peer=203.0.113.1/32
`

func networkd() site {
	return site{name: "networkd", uplink: lab.NIC, files: map[string]string{
		// As providers write it: the bridge has that MAC too.
		"etc/systemd/network/10-enp2s0.network": "[Match]\nMACAddress=" + lab.ServerMAC().String() + "\n" + addresses,
	}}
}

func netplan() site {
	return site{name: "netplan", uplink: lab.NIC, files: map[string]string{
		"etc/netplan/01-netcfg.yaml": `### Hetzner Online GmbH installimage
network:
  version: 2
  renderer: networkd
  ethernets:
    ` + lab.NIC + `:
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
          - 203.0.114.53
          - 2001:db8:2::53
`,
	}}
}

func netplanVLAN() site {
	const name = lab.NIC + ".4000"
	return site{name: "VLAN by netplan", uplink: name, vlan: 4000, files: map[string]string{
		"etc/netplan/01-netcfg.yaml": `network:
  version: 2
  renderer: networkd
  ethernets:
    ` + lab.NIC + `: {link-local: []}
  vlans:
    ` + name + `:
      id: 4000
      link: ` + lab.NIC + `
      addresses:
        - 203.0.113.10/32
        - 2001:db8:1:3::2/64
      routes:
        - on-link: true
          to: 0.0.0.0/0
          via: 203.0.113.1
        - to: default
          via: fe80::1
`,
	}}
}

func vlan() site {
	const name = lab.NIC + ".4000"
	return site{name: "VLAN", uplink: name, vlan: 4000, files: map[string]string{
		"etc/systemd/network/10-nic.network":  "[Match]\nName=" + lab.NIC + "\n\n[Network]\nVLAN=" + name + "\nLinkLocalAddressing=no\n",
		"etc/systemd/network/10-vlan.netdev":  "[NetDev]\nName=" + name + "\nKind=vlan\n\n[VLAN]\nId=4000\n",
		"etc/systemd/network/11-vlan.network": "[Match]\nName=" + name + "\n" + addresses,
	}}
}

func bond() site {
	return site{name: "bond", uplink: "bond0", nics: 2, files: map[string]string{
		"etc/systemd/network/10-bond.netdev":  "[NetDev]\nName=bond0\nKind=bond\nMACAddress=" + lab.ServerMAC().String() + "\n\n[Bond]\nMode=active-backup\nMIIMonitorSec=100ms\n",
		"etc/systemd/network/10-nics.network": "[Match]\nName=enp*\n\n[Network]\nBond=bond0\nLinkLocalAddressing=no\n",
		"etc/systemd/network/11-bond.network": "[Match]\nName=bond0\n" + addresses,
	}}
}
