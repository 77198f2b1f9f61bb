package bridge

import (
	"bytes"
	"path"
	"strings"
)

// manager is a program that configures interfaces by itself.
type manager struct {
	// name as people know it.
	name string
	// comm is the program's name in /proc/PID/comm, which has 15 octets.
	comm string
	// perLink tells programs that run for the interfaces on their command line.
	perLink bool
}

// Networkd is systemd-networkd's name, as Manager returns it.
const Networkd = "systemd-networkd"

func managers() []manager {
	return []manager{
		{Networkd, "systemd-network", false},
		{"NetworkManager", "NetworkManager", false},
		{"connman", "connmand", false},
		{"dhclient", "dhclient", true},
		{"dhcpcd", "dhcpcd", true},
		{"udhcpc", "udhcpc", true},
	}
}

// managerOf says which manager a process is that would configure the link, ""
// if none. A DHCP client without an interface on its command line serves all.
func managerOf(comm string, cmdline []byte, link string) string {
	for _, m := range managers() {
		if m.comm != strings.TrimSuffix(comm, "\n") {
			continue
		}
		if !m.perLink {
			return m.name
		}
		args := strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
		if title, ok := strings.CutPrefix(args[0], m.name+": "); ok {
			return m.titled(title, link)
		}
		named := false
		for _, a := range args[min(1, len(args)):] {
			if a == link || a == "-i"+link {
				return m.name
			}
			// What is no flag, no path and no number may be another interface.
			if a != "" && !strings.HasPrefix(a, "-") && path.Base(a) == a && strings.Trim(a, "0123456789.") != "" {
				named = true
			}
		}
		if !named {
			return m.name
		}
	}
	return ""
}

// titled reads the title that dhcpcd gives itself in place of its command line:
// "enp2s0 [ip4]" for one interface, "[manager] [ip4]" for all. Its helpers, as
// "[network proxy] 203.0.113.10", are never alone.
func (m manager) titled(title, link string) string {
	if first, _, _ := strings.Cut(title, " "); first == link || first == "[manager]" || first == "[master]" {
		return m.name
	}
	return ""
}
