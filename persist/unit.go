package persist

import (
	"fmt"
	"path"
	"strings"

	"github.com/sixhost/sixhost/plan"
)

// unit is the systemd unit of the program that serves the guests.
//
// It may change the network and nothing else: it is root without the rights of
// root, and can write to no file system, /run included, which ProtectSystem leaves
// out in some versions. Left writable are /proc/sys, the folder of open changes,
// which must outlive the service, and networkd's below /run, as a change that was
// cut off is taken back by the service too.
//
// CAP_SYS_PTRACE is not among its rights. With it the service could look into
// every process, to find whose a netlink socket is that is not the process's first
// one; but it could write to every process's memory too, and it reads what guests
// and the Internet send. Who changes the network is told without it in all but
// those cases (bridge.Suspect), and so is which network manager runs.
//
// CAP_BPF, with the system call of that name, is for NAT64's fast path and for the
// count of what leaves by the uplink. CAP_PERFMON goes with it: without, the kernel
// refuses programs for what a compiler does with the stack, and has the others
// guard themselves against speculation at each step. Kernels before 5.11 count
// maps as locked memory; those before 5.8 have no such rights, and go without.
//
// Reload has the configuration's router advertisements read again (SIGUSR1), and a
// restart is told apart from a stop (SIGUSR2), as guests are told goodbye only by
// the latter; the status it ends with then is no failure.
func (c Config) unit() ([]byte, error) {
	command, err := unitPathOf("executable", c.Executable)
	if err != nil {
		return nil, err
	}
	command += " run"
	if c.ConfigFile != "" {
		file, err := unitPathOf("configuration file", c.ConfigFile)
		if err != nil {
			return nil, err
		}
		command += " -f " + file
	}
	state, err := c.stateSettings()
	if err != nil {
		return nil, err
	}
	return []byte(header + `
[Unit]
Description=IPv4 Internet, addresses and names for IPv6-only guests
Documentation=https://github.com/sixhost/sixhost
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=` + command + `
ExecReload=/bin/sh -c "kill -USR1 $MAINPID"
RestartKillSignal=SIGUSR2
SuccessExitStatus=140
RestartForceExitStatus=140
Restart=on-failure
RestartSec=2
LimitNOFILE=1048576
LimitMEMLOCK=infinity
RuntimeDirectory=sixhost
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
ReadOnlyPaths=/run
ReadWritePaths=-/run/systemd/network
` + state + `
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_BPF CAP_PERFMON
` + unitProtection + `PrivateTmp=yes
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
` + unitRestriction + `SystemCallFilter=bpf

[Install]
WantedBy=multi-user.target
`), nil
}

// defaultStateDir is what RuntimeDirectory= makes.
const defaultStateDir = "/run/sixhost"

// stateSettings lets the service write to another StateDir. What is to be writable
// must be there when the service's own view of the files is made, so that the
// folder is made outside of that, before.
func (c Config) stateSettings() (string, error) {
	if c.StateDir == "" || path.Clean(c.StateDir) == defaultStateDir {
		return "", nil
	}
	dir := path.Clean(c.StateDir)
	word, err := unitPathOf("state folder", dir)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(dir, `"\`) {
		return "", &plan.Refusal{Subject: "state folder", Reason: fmt.Sprintf("a unit can't name %q among the paths that are writable", dir), Err: ErrPath}
	}
	// Unlike a command line, a list of paths has no variables.
	return "ExecStartPre=+/bin/mkdir -p -m 0700 " + word + "\nReadWritePaths=\"" + strings.ReplaceAll(dir, "%", "%%") + "\"\n", nil
}

// What both units give up beside what each names for itself.
const (
	unitProtection = `NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
`
	unitRestriction = `RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
`
)

// unitPathOf is a path as a word of a command line, if it can be one.
func unitPathOf(name, p string) (string, error) {
	if !path.IsAbs(p) || strings.ContainsAny(p, "\n\r") {
		return "", &plan.Refusal{Subject: name, Reason: fmt.Sprintf("the unit needs an absolute path, not %q", p), Err: ErrPath}
	}
	return unitWord(p), nil
}

// unitWord quotes a word of a command line (systemd.service(5)): specifiers
// begin with a percent sign, variables with a dollar sign.
func unitWord(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(s)
	return `"` + s + `"`
}

// passing reports whether a path is in a folder that a reboot empties, or that
// the unit has one of its own of.
func passing(p string) bool {
	for _, dir := range []string{"/tmp/", "/var/tmp/", "/run/", "/dev/", "/proc/"} {
		if strings.HasPrefix(path.Clean(p), dir) {
			return true
		}
	}
	return false
}
