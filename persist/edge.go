package persist

import "github.com/sixhost/sixhost/plan"

// edge writes what the next boot needs to put the rules between the guests and
// the provider in place before any link comes up.
func (w *wish) edge(c Config) error {
	if len(c.Edge) == 0 {
		return nil
	}
	if c.Executable == "" {
		return &plan.Refusal{Subject: "executable", Reason: "is missing, and something has to load the edge's rules at boot", Err: ErrPath}
	}
	program, err := unitPathOf("executable", c.Executable)
	if err != nil {
		return err
	}
	w.write(edgePath, 0o600, c.Edge)
	w.write(edgeUnitPath, 0o644, edgeUnit(program))
	w.put(File{Path: edgeUnitLinkPath, Target: edgeUnitLinkTarget})
	return nil
}

// edgeUnit is the systemd unit that loads the edge's rules.
//
// Whatever sets links up at boot waits for network-pre.target, or is named here.
// It is wanted and not required by what comes after: without the rules guests
// must not be let out, but the owner must still get in.
func edgeUnit(program string) []byte {
	return []byte(header + `
[Unit]
Description=Rules between IPv6-only guests and the provider
Documentation=https://github.com/sixhost/sixhost
DefaultDependencies=no
After=local-fs.target systemd-modules-load.service
Wants=network-pre.target
Before=network-pre.target systemd-networkd.service NetworkManager.service networking.service
Before=libvirtd.service virtqemud.service virtnetworkd.service
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=` + program + ` edge -load /` + edgePath + `

CapabilityBoundingSet=CAP_NET_ADMIN
` + unitProtection + `ProtectKernelTunables=yes
DevicePolicy=closed
RestrictAddressFamilies=AF_UNIX AF_NETLINK
` + unitRestriction + `
[Install]
WantedBy=sysinit.target
`)
}
