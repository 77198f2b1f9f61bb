package persist

import (
	"path"
	"slices"
	"strings"
)

// linkDirs are where udev looks for .link files, the first wins over the later
// ones where both have a file of the same name (systemd.link(5)). lib is usr/lib
// on most systems. netplan writes to run.
func linkDirs() []string {
	return []string{networkdDir, "run/systemd/network/", "usr/local/lib/systemd/network/", "usr/lib/systemd/network/", "lib/systemd/network/"}
}

// readOnly tells files of others that are looked at and never written or
// removed: what generators and packages put there is theirs.
func readOnly(f File) bool {
	return slices.ContainsFunc(linkDirs()[1:], func(dir string) bool { return strings.HasPrefix(f.Path, dir) })
}

// linkFiles reports .link files that would take the bridge for the NIC.
func (w *wish) linkFiles(there State) {
	seen := make(map[string]bool)
	for _, dir := range linkDirs() {
		for _, f := range there.matching(dir + "*.link") {
			name := path.Base(f.Path)
			if seen[name] {
				continue // one of the same name stands for it, or masks it
			}
			seen[name] = true
			w.linkFile(f)
		}
	}
}

func (w *wish) linkFile(f File) {
	settings, err := parseINI(f)
	if err != nil {
		w.note("%v", err)
		return
	}
	byMAC, narrowed := false, false
	for _, s := range settings {
		words := strings.Fields(s.value)
		switch {
		case s.section != "Match":
		case s.key == "MACAddress":
			byMAC = byMAC || slices.ContainsFunc(words, func(v string) bool { return sameMAC(v, w.net.mac.String()) })
		case s.key == "OriginalName" && slices.ContainsFunc(words, func(v string) bool { return match(v, w.net.bridge) }):
			// This is no narrower.
		default:
			narrowed = true
		}
	}
	if byMAC && !narrowed {
		w.note("/%s matches every interface with the MAC %s, which %s has too, and may rename it; match PermanentMACAddress instead", f.Path, w.net.mac, w.net.bridge)
	}
}
