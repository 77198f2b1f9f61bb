package persist

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
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
	if w.net.kept.dynamic && len(w.net.nameServers()) == 0 {
		w.note("%s had its name servers from DHCP or router advertisements, which %s doesn't ask for: see that /etc/resolv.conf has some after the next boot", w.net.uplink, w.net.bridge)
	}
	w.cloudInit(there)
	w.write(sysctlPath, 0o644, sysctlConf(c.Bridge))
	if c.Executable != "" {
		unit, err := c.unit()
		if err != nil {
			return State{}, err
		}
		w.write(unitPath, 0o644, unit)
		w.put(File{Path: unitLinkPath, Target: unitLinkTarget})
		for _, p := range []string{c.Executable, c.ConfigFile, c.StateDir} {
			// What is kept there is of no use after a reboot.
			if passing(p) && (p != c.StateDir || !strings.HasPrefix(path.Clean(p), "/run/")) {
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

// wish is a wanted state in the making.
type wish struct {
	State
	net   network
	files hostFiles
	aside []string // names of files set aside
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
	w.put(File{Path: name, Mode: mode, Content: seal(content)})
}

// setAside renames a file to what its program passes over.
func (w *wish) setAside(f File, as string) {
	w.remove(f.Path)
	w.aside = appendNew(w.aside, path.Base(w.keepAs(f, as)))
}

// asideComments are lines that tell a file's reader, and Original, what was
// set aside for it, earlier times included.
func (w *wish) asideComments(there State) []string {
	var names, lines []string
	for _, f := range there.Files {
		if f.own() {
			names = append(names, setAsideFor(f)...)
		}
	}
	for _, name := range append(names, w.aside...) {
		if _, still := w.File(networkdDir + name); still {
			lines = appendNew(lines, asidePrefix+name)
		}
	}
	return lines
}

// netplan edits the files that configure the uplink, or writes one where there
// is none.
func (w *wish) netplan(there State) error {
	var (
		foreign []netplanFile
		uplink  netplanEntry // of the last of them
		target  = netplanPath
	)
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
		for _, e := range nf.ours {
			if err := w.net.kept.keepEntry(f, e, w.net.nic); err != nil {
				return err
			}
		}
		if f.own() {
			target = f.Path
			w.remove(f.Path)
			continue
		}
		e, ok := nf.uplink()
		switch {
		case !ok:
			return refuseAt(f, nf.ours[0].line, ErrShared, "configures %s, but not its port; put both into one file", nf.ours[0])
		case uplink.node != nil && (uplink.kind != e.kind || uplink.id != e.id):
			return refuseAt(f, e.line, ErrShared, "%s and %s both configure %s; make them one entry", e, uplink, w.net.uplink)
		case w.net.made() && e.kind != w.net.kind+"s":
			return refuseAt(f, e.line, ErrInexpressible, "%s is a %s, which %s doesn't make", w.net.uplink, w.net.kind, e)
		}
		uplink = e
		foreign = append(foreign, nf)
	}
	if len(foreign) == 0 && w.net.made() {
		return w.net.unmade("no file of netplan's")
	}
	if len(foreign) > 1 {
		w.note("%d files of netplan configure the uplink together, and editing them takes more than one rename: a crash in the middle could leave a mixture", len(foreign))
	}
	if len(foreign) > 0 {
		w.files.netplanUplink = generatedPrefix + uplink.id + ".network"
	}
	if err := w.networkdBefore(there, w.files.netplanUplink, generatedPrefix+w.net.bridge+".network"); err != nil {
		return err
	}
	for _, v := range w.net.kept.vlans {
		w.note("%s is made by networkd's own files on %s, which netplan's take the place of: give it an entry there", v, w.net.uplink)
	}
	w.removeOwn(networkdDir)
	for i, nf := range foreign {
		e, _ := nf.uplink()
		content, err := nf.edit(w.net, e, i == len(foreign)-1)
		if err != nil {
			return err
		}
		w.edit(nf.file, content)
	}
	if len(foreign) == 0 {
		// netplan's files may hold secrets, and it complains where others can read them.
		w.write(target, 0o600, w.net.netplanYAML())
	}
	w.write(w.files.netplanNetdevExtra, 0o644, w.net.netplanNetdevExtra())
	w.write(w.files.netplanBridgeExtra, 0o644, w.net.netplanBridgeExtra(w.asideComments(there)))
	return nil
}

// edit puts another text in a file of somebody else's. What was there is kept,
// unless it was our own text.
func (w *wish) edit(f File, content []byte) {
	if bytes.Equal(content, f.Content) {
		return
	}
	if !sealed(f.Content) {
		w.keepAs(f, f.Path+savedSuffix)
	}
	// As in files of our own; what was kept keeps its permissions.
	w.put(File{Path: f.Path, Mode: 0o600, Content: seal(content)})
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
	if w.net.made() && !slices.ContainsFunc(there.matching(networkdDir+"*.netdev"), func(f File) bool { return netdevName(f) == w.net.uplink }) {
		return w.net.unmade("no .netdev file in /" + networkdDir)
	}
	if err := w.networkdBefore(there, w.files.uplink, w.files.bridge); err != nil {
		return err
	}
	w.removeOwn(netplanDir)
	w.removeOwn(networkdDir)
	w.write(w.files.netdev, 0o644, w.net.networkdNetdev())
	w.write(w.files.bridge, 0o644, w.net.networkdBridge())
	w.write(w.files.bridgeExtra, 0o644, w.net.networkdBridgeExtra())
	w.write(w.files.uplink, 0o644, w.net.networkdUplink(w.asideComments(there)))
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
			if _, err := parseINI(f); err != nil {
				return err
			}
			if netdevName(f) == n.bridge && !f.own() {
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
