package persist

import "github.com/sixhost/sixhost/bridge"

// marker begins every file that this package writes, and is how it finds them
// again.
const marker = "# Written by sixhost."

// header is what a reader of such a file is told.
const header = marker + " Changes are lost when the host's configuration is applied again.\n"

// Paths below the root.
const (
	netplanDir     = "etc/netplan/"
	netplanPath    = netplanDir + "60-sixhost.yaml"
	networkdDir    = "etc/systemd/network/"
	sysctlPath     = "etc/sysctl.d/60-sixhost.conf"
	unitPath       = "etc/systemd/system/sixhost.service"
	unitLinkPath   = "etc/systemd/system/multi-user.target.wants/sixhost.service"
	unitLinkTarget = "../sixhost.service"
	edgePath       = "etc/sixhost/edge.json"
	cloudPath      = "etc/cloud/cloud.cfg"
	cloudOffPath   = "etc/cloud/cloud.cfg.d/99-sixhost-network.cfg"
	interfacesPath = "etc/network/interfaces"
	netplanBinary  = "usr/sbin/netplan"
	nmProfiles     = "etc/NetworkManager/system-connections/*"

	edgeUnitPath       = "etc/systemd/system/sixhost-edge.service"
	edgeUnitLinkPath   = "etc/systemd/system/sysinit.target.wants/sixhost-edge.service"
	edgeUnitLinkTarget = "../sixhost-edge.service"

	// savedSuffix makes a name that netplan, networkd, sysctl.d, systemd and
	// cloud-init all pass over, as each goes by its own ending.
	savedSuffix = ".sixhost-saved"

	// ownPrefix sorts before the names that installers give to networkd's files
	// (10-eth0.network), and the first file that matches a link wins.
	ownPrefix = networkdDir + "05-sixhost-"
	// generatedPrefix is what netplan's own files below /run begin with. A file
	// here that sorts before them wins over them.
	generatedPrefix = networkdDir + "10-netplan-"

	dropIn = ".d/60-sixhost.conf"
)

// Scope returns the files that Capture has to read for this Config.
func (c Config) Scope() Scope {
	c = c.withDefaults()
	existence := []string{netplanBinary, cloudPath}
	for _, o := range owners() {
		existence = append(existence, o.paths...)
	}
	return Scope{
		Root: c.Root,
		Paths: []string{
			netplanDir + "*.yaml", netplanDir + "*" + savedSuffix + "*",
			networkdDir + "*.network", networkdDir + "*.netdev", networkdDir + "*.link",
			networkdDir + "*.networkNO*", networkdDir + "*.netdevNO*", networkdDir + "*" + savedSuffix + "*",
			ownPrefix + "*.d/60-sixhost.conf*", generatedPrefix + "*.d/60-sixhost.conf*",
			sysctlPath + "*", unitPath + "*", unitLinkPath,
			edgePath + "*", edgeUnitPath + "*", edgeUnitLinkPath, cloudOffPath + "*",
			interfacesPath, interfacesPath + ".d/*",
			"usr/lib/netplan/*.yaml", "run/netplan/*.yaml",
			"run/systemd/network/*.link", "usr/local/lib/systemd/network/*.link", "usr/lib/systemd/network/*.link", "lib/systemd/network/*.link",
		},
		Existence: existence,
	}
}

// hostFiles are the paths whose names hold those of the links.
type hostFiles struct {
	netdev, bridge, uplink string // networkd
	bridgeExtra            string // a drop-in of bridge

	netplanUplink      string // what netplan makes of the uplink
	netplanNetdevExtra string // drop-ins of what it makes of the bridge
	netplanBridgeExtra string
}

func filesFor(s bridge.Scope) hostFiles {
	return hostFiles{
		netdev:             ownPrefix + s.Bridge + ".netdev",
		bridge:             ownPrefix + s.Bridge + ".network",
		uplink:             ownPrefix + s.Uplink + ".network",
		bridgeExtra:        ownPrefix + s.Bridge + ".network" + dropIn,
		netplanUplink:      generatedPrefix + s.Uplink + ".network",
		netplanNetdevExtra: generatedPrefix + s.Bridge + ".netdev" + dropIn,
		netplanBridgeExtra: generatedPrefix + s.Bridge + ".network" + dropIn,
	}
}
