package persist

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/plan"
)

// owner is a program that configures interfaces at boot and whose files can't
// be taken over, known by files that its users or its package make.
type owner struct {
	name  string
	paths []string // patterns below the root
}

// owners are those that count where neither netplan nor networkd configures
// the uplink. ifupdown is not among them: its files name interfaces, and it goes
// on with them whoever else does too.
func owners() []owner {
	const wants = "etc/systemd/system/*.wants/"
	return []owner{
		{"NetworkManager", []string{nmProfiles, wants + "NetworkManager.service"}},
		{"connman", []string{"var/lib/connman/*/settings", wants + "connman.service"}},
		{"wicked", []string{"etc/sysconfig/network/ifcfg-*", wants + "wicked.service"}},
		{"Red Hat's network script", []string{"etc/sysconfig/network-scripts/ifcfg-*"}},
		{"dhcpcd", []string{wants + "dhcpcd.service", wants + "dhcpcd@*.service"}},
	}
}

// FormatFor decides which format the files will have, given what is there.
// What configures the uplink now counts for more than what is merely there.
func (c Config) FormatFor(there State) (Format, error) {
	if c.Format.orAuto() != FormatAuto {
		return c.Format, nil
	}
	n := nic{uplink: c.Bridge.Uplink, bridge: c.Bridge.Bridge}
	if up, ok := linkOf(c.Bridge, n.uplink); ok {
		n.mac, n.kind = up.MAC, up.Kind
	}
	for _, f := range there.Files {
		if path.Ext(f.Path) != ".yaml" {
			continue
		}
		nf, err := readNetplan(f, n)
		if err != nil {
			return "", err
		}
		if len(nf.ours) > 0 {
			return FormatNetplan, nil
		}
	}
	for _, f := range there.matching(networkdDir + "*.network") {
		nf, err := readNetwork(f, n)
		if err != nil {
			return "", err
		}
		if nf.uplink != no {
			return FormatNetworkd, nil
		}
	}
	for _, o := range owners() {
		if at, ok := foundOf(there, o.paths); ok {
			return "", &plan.Refusal{Subject: "persist", Reason: o.name + " configures the network here (there is /" + at + "), and its files can't be taken over; move " + n.uplink + " to netplan or networkd first, or set format to netplan, to networkd or to none", Err: ErrOwner}
		}
	}
	if _, ok := foundOf(there, []string{netplanBinary}); ok || len(there.matching(netplanDir+"*.yaml")) > 0 {
		return FormatNetplan, nil
	}
	if len(there.matching(networkdDir+"*.network")) > 0 {
		return FormatNetworkd, nil
	}
	return "", &plan.Refusal{Subject: "persist", Reason: "there are no files in /etc/netplan nor /etc/systemd/network to go by; set format to netplan, to networkd or to none", Err: ErrFormat}
}

// foundOf returns the first path of Existence that matches one of the patterns.
func foundOf(there State, patterns []string) (string, bool) {
	for _, p := range there.Found {
		if slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, p) }) {
			return p, true
		}
	}
	return "", false
}

// checkIfupdown refuses a host whose uplink or bridge ifupdown configures. It
// reads one file and those that this one names (interfaces(5)).
func checkIfupdown(there State, n nic) error {
	todo := []string{interfacesPath}
	for i := 0; i < len(todo); i++ {
		f, ok := there.File(todo[i])
		if !ok {
			continue
		}
		for at, line := range joined(string(f.Content)) {
			words := strings.Fields(line)
			if len(words) < 2 {
				continue
			}
			switch words[0] {
			case "iface":
				if match(words[1], n.uplink) || words[1] == n.bridge {
					return refuseAt(f, at, ErrOwner, "ifupdown configures %s here, and its files can't be taken over; move it to networkd or netplan first, or set format to none", words[1])
				}
			case "source", "source-directory":
				for _, pattern := range words[1:] {
					more, err := sourced(there, f, at, words[0], pattern)
					if err != nil {
						return err
					}
					for _, name := range more {
						todo = appendNew(todo, name)
					}
				}
			}
		}
	}
	return nil
}

// joined goes through a text's lines, and what a backslash at a line's end adds
// to it; comments are left out.
func joined(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		lines := strings.Split(text, "\n")
		for i := 0; i < len(lines); i++ {
			at, line := i+1, lines[i]
			for strings.HasSuffix(line, "\\") && i+1 < len(lines) {
				i++
				line = strings.TrimSuffix(line, "\\") + " " + lines[i]
			}
			if !strings.HasPrefix(strings.TrimSpace(line), "#") && !yield(at, line) {
				return
			}
		}
	}
}

// sourced returns the files that a line of ifupdown's takes in. Those that
// Capture doesn't read may hold anything.
func sourced(there State, f File, line int, word, pattern string) ([]string, error) {
	if !path.IsAbs(pattern) {
		pattern = path.Join(path.Dir("/"+f.Path), pattern)
	}
	pattern = strings.TrimPrefix(path.Clean(pattern), "/")
	if word == "source-directory" {
		pattern = path.Join(pattern, "*")
	}
	if !match(interfacesPath+".d/*", pattern) && pattern != interfacesPath {
		return nil, refuseAt(f, line, ErrOwner, "ifupdown takes in /%s, which is not looked at; see that nothing there configures the uplink and leave the line out, or set format to none", pattern)
	}
	// run-parts(8) has rules for names, and so has source-directory.
	plain := regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	var names []string
	for _, s := range there.matching(pattern) {
		if word == "source" || plain.MatchString(path.Base(s.Path)) {
			names = append(names, s.Path)
		}
	}
	return names, nil
}
