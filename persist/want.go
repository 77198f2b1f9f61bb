package persist

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/plan"
)

// State decides what is wanted of the files, given what is there. A wish that
// can't be served is a *plan.Refusal that matches one of the package's errors.
//
// Files that it has written before are its own, and found again.
func (c Config) State(there State) (State, error) {
	c = c.withDefaults()
	if c.Format == FormatNone {
		return there, nil
	}
	if there.Root != c.Root {
		return State{}, fmt.Errorf("files were captured below %s, not %s", there.Root, c.Root)
	}
	net, err := newNetwork(c.Bridge)
	if err != nil {
		return State{}, err
	}
	for _, a := range c.NameServers {
		net.servers = append(net.servers, a.String())
	}
	if err := checkIfupdown(there, net.nic); err != nil {
		return State{}, err
	}
	format, err := c.FormatFor(there)
	if err != nil {
		return State{}, err
	}

	w := wish{State: there.clone(), net: net, files: filesFor(c.Bridge.Scope)}
	if format == FormatNetplan {
		err = w.netplan(there)
	} else {
		err = w.networkd(there)
	}
	if err != nil {
		return State{}, err
	}
	for _, n := range w.net.kept.notes {
		w.note("%s", n)
	}
	w.cloudInit(there)
	w.write(sysctlPath, 0o644, sysctlConf(c.Bridge.Sysctls, c.Bridge.Bridge))
	if c.Executable != "" {
		unit, err := c.unit()
		if err != nil {
			return State{}, err
		}
		w.write(unitPath, 0o644, unit)
		w.put(File{Path: unitLinkPath, Target: unitLinkTarget})
		for _, p := range []string{c.Executable, c.ConfigFile} {
			if passing(p) {
				w.note("the unit needs %s, which a reboot removes or the unit can't see; put it elsewhere", p)
			}
		}
	}
	if err := w.edge(c); err != nil {
		return State{}, err
	}
	w.linkFiles(there)
	return w.State, nil
}

// FormatFor decides which format the files will have, given what is there.
func (c Config) FormatFor(there State) (Format, error) {
	if c.Format.orAuto() != FormatAuto {
		return c.Format, nil
	}
	anyOf := func(pattern string) bool {
		return slices.ContainsFunc(there.Files, func(f File) bool { return match(pattern, f.Path) })
	}
	found := func(pattern string) bool {
		return slices.ContainsFunc(there.Found, func(p string) bool { return match(pattern, p) })
	}
	switch {
	case anyOf(netplanDir + "*.yaml"):
		return FormatNetplan, nil
	case anyOf(networkdDir + "*.network"):
		return FormatNetworkd, nil
	case found(nmProfiles):
		return "", &plan.Refusal{Subject: "persist", Reason: "NetworkManager has profiles in /" + path.Dir(nmProfiles) + ", and they can't be taken over; set format to netplan, to networkd or to none", Err: ErrOwner}
	case found(netplanBinary):
		return FormatNetplan, nil
	}
	return "", &plan.Refusal{Subject: "persist", Reason: "there are no files in /etc/netplan nor /etc/systemd/network to go by; set format to netplan, to networkd or to none", Err: ErrFormat}
}

// checkIfupdown refuses a host whose uplink ifupdown configures.
func checkIfupdown(there State, n nic) error {
	for _, f := range there.Files {
		if f.Path != interfacesPath && !match(interfacesPath+".d/*", f.Path) {
			continue
		}
		for i, line := range strings.Split(string(f.Content), "\n") {
			words := strings.Fields(line)
			if len(words) >= 2 && words[0] == "iface" && (match(words[1], n.uplink) || words[1] == n.bridge) {
				return refuseAt(f, i+1, ErrOwner, "ifupdown configures %s here, and its files can't be taken over; move it to networkd or netplan first, or set format to none", words[1])
			}
		}
	}
	return nil
}

// wish is a wanted state in the making.
type wish struct {
	State
	net   network
	files hostFiles
}

func (w *wish) note(format string, args ...any) {
	w.Notes = appendNew(w.Notes, fmt.Sprintf(format, args...))
}

// write puts a file of ours, and keeps a copy of one that is not and has its
// path.
func (w *wish) write(name string, mode fs.FileMode, content []byte) {
	if f, ok := w.File(name); ok && !f.own() {
		w.keepAs(f, name+savedSuffix)
	}
	w.put(File{Path: name, Mode: mode, Content: content})
}

// setAside renames a file to what its program passes over.
func (w *wish) setAside(f File, as string) {
	w.remove(f.Path)
	w.keepAs(f, as)
}

// netplan replaces the files that configure the uplink.
func (w *wish) netplan(there State) error {
	target, foreign := "", 0
	for _, f := range there.Files {
		if path.Ext(f.Path) != ".yaml" {
			continue
		}
		nf, err := readNetplan(f, w.net.nic)
		if err != nil {
			return err
		}
		if len(nf.ours) == 0 {
			continue
		}
		if !strings.HasPrefix(f.Path, netplanDir) {
			return refuseAt(f, nf.ours[0].line, ErrOwner, "configures %s, and what was put there can't be set aside; have it made elsewhere", nf.ours[0])
		}
		if nf.other.node != nil {
			return refuseAt(f, nf.other.line, ErrShared, "configures %s together with %s; move that to a file of its own", nf.other, nf.ours[0])
		}
		for _, e := range nf.ours {
			if err := w.net.kept.keepEntry(f, e, w.net.nic); err != nil {
				return err
			}
		}
		w.remove(f.Path)
		if f.own() {
			if target == "" {
				target = f.Path
			}
			continue
		}
		foreign++
		target = f.Path
		w.keepAs(f, f.Path+savedSuffix)
	}
	if target == "" {
		target = netplanPath
	}
	if foreign > 1 {
		w.note("%d files of netplan configure the uplink together, and replacing them takes more than one rename: a crash in the middle could leave a mixture", foreign)
	}
	if err := w.networkdBefore(there, w.files.netplanUplink, generatedPrefix+w.net.bridge+".network"); err != nil {
		return err
	}
	w.removeOwn(networkdDir)
	// netplan's files may hold secrets, and it complains where others can read them.
	w.write(target, 0o600, w.net.netplanYAML())
	w.write(w.files.netplanNetdevExtra, 0o644, w.net.netplanNetdevExtra())
	w.write(w.files.netplanBridgeExtra, 0o644, w.net.netplanBridgeExtra())
	return nil
}

// removeOwn takes out all files below a folder that are ours.
func (w *wish) removeOwn(dir string) {
	w.Files = slices.DeleteFunc(w.Files, func(f File) bool { return strings.HasPrefix(f.Path, dir) && f.own() })
}

// networkd writes networkd's own files.
func (w *wish) networkd(there State) error {
	for _, f := range there.Files {
		if path.Ext(f.Path) != ".yaml" || f.own() {
			continue
		}
		nf, err := readNetplan(f, w.net.nic)
		if err != nil {
			return err
		}
		if len(nf.ours) > 0 {
			return refuseAt(f, nf.ours[0].line, ErrFormat, "netplan configures %s here; set format to netplan", nf.ours[0])
		}
	}
	if slices.ContainsFunc(there.Found, func(p string) bool { return match(nmProfiles, p) }) {
		w.note("NetworkManager has profiles in /%s: see that none of them is for %s", path.Dir(nmProfiles), w.net.uplink)
	}
	if err := w.networkdBefore(there, w.files.uplink, w.files.bridge); err != nil {
		return err
	}
	w.removeOwn(netplanDir)
	w.removeOwn(networkdDir)
	w.write(w.files.netdev, 0o644, w.net.networkdNetdev())
	w.write(w.files.bridge, 0o644, w.net.networkdBridge())
	w.write(w.files.bridgeExtra, 0o644, w.net.networkdBridgeExtra())
	w.write(w.files.uplink, 0o644, w.net.networkdUplink())
	return nil
}

// networkdBefore sets those of networkd's files aside that are for uplink or
// bridge alone. Others are no harm as long as they come after the given files
// that are to be the links' own.
func (w *wish) networkdBefore(there State, uplink, bridge string) error {
	n := w.net.nic
	for _, f := range there.Files {
		if !strings.HasPrefix(f.Path, networkdDir) {
			continue
		}
		switch path.Ext(f.Path) {
		case ".netdev":
			settings, err := parseINI(f)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(settings, func(s setting) bool { return s.section == "NetDev" && s.key == "Name" })
			if i >= 0 && settings[i].value == n.bridge && !f.own() {
				w.setAside(f, f.Path+"NO")
			}
		case ".network":
			nf, err := readNetwork(f, n)
			if err != nil {
				return err
			}
			switch {
			case nf.uplink == yes || nf.bridge == yes:
				if err := w.net.kept.keepNetwork(nf, n); err != nil {
					return err
				}
				if !f.own() {
					w.setAside(f, f.Path+"NO")
				}
			case nf.uplink == maybe && earlier(f.Path, uplink), nf.bridge == maybe && earlier(f.Path, bridge):
				return refuseAt(f, nf.line, ErrShared, "matches %s or %s, but other interfaces too, and comes before %s; rename it so that it comes later", n.uplink, n.bridge, path.Base(uplink))
			}
		}
	}
	return nil
}

// cloudInit keeps cloud-init from writing the network's files anew at boot.
func (w *wish) cloudInit(there State) {
	if slices.Contains(there.Found, cloudPath) {
		w.write(cloudOffPath, 0o644, []byte(header+"network: {config: disabled}\n"))
	}
}

// linkFiles reports .link files that would take the bridge for the NIC.
func (w *wish) linkFiles(there State) {
	for _, f := range there.matching(networkdDir + "*.link") {
		settings, err := parseINI(f)
		if err != nil {
			w.note("%v", err)
			continue
		}
		byMAC, narrowed := false, false
		for _, s := range settings {
			if s.section != "Match" {
				continue
			}
			if s.key == "MACAddress" {
				byMAC = byMAC || slices.ContainsFunc(strings.Fields(s.value), func(v string) bool { return sameMAC(v, w.net.mac.String()) })
				continue
			}
			narrowed = true
		}
		if byMAC && !narrowed {
			w.note("/%s matches every interface with the MAC %s, which %s has too, and may rename it; match PermanentMACAddress instead", f.Path, w.net.mac, w.net.bridge)
		}
	}
}
