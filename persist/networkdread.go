package persist

import (
	"path"
	"slices"
	"strings"
)

// setting is one line of a file in systemd's syntax.
type setting struct {
	section, key, value string
	line                int
}

// parseINI takes a file in systemd's syntax apart (systemd.syntax(7)).
func parseINI(f File) ([]setting, error) {
	var (
		settings []setting
		section  string
		open     *setting // a line that ended in a backslash
	)
	for i, text := range strings.Split(string(f.Content), "\n") {
		text = strings.TrimSpace(text)
		if open == nil && text == "" || strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";") {
			continue
		}
		if open != nil {
			rest, more := strings.CutSuffix(text, "\\")
			open.value += " " + strings.TrimSpace(rest)
			if !more {
				open = nil
			}
			continue
		}
		if name, ok := strings.CutPrefix(text, "["); ok {
			if section, ok = strings.CutSuffix(name, "]"); !ok {
				return nil, unreadable(f, i+1, "a section's name lacks its bracket")
			}
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		if !ok || section == "" {
			return nil, unreadable(f, i+1, "is neither a section nor a setting of one")
		}
		value, more := strings.CutSuffix(strings.TrimSpace(value), "\\")
		settings = append(settings, setting{section, strings.TrimSpace(key), strings.TrimSpace(value), i + 1})
		if more {
			open = &settings[len(settings)-1]
		}
	}
	return settings, nil
}

// networkFile is what one of networkd's .network files is about.
type networkFile struct {
	file     File
	settings []setting
	uplink   answer
	bridge   answer
	line     int // of what matches
}

// readNetwork reads a .network file.
func readNetwork(f File, n nic) (networkFile, error) {
	nf := networkFile{file: f}
	var err error
	if nf.settings, err = parseINI(f); err != nil {
		return nf, err
	}
	nf.uplink, nf.line = matches(nf.settings, n.uplink, n)
	line := 0
	if nf.bridge, line = matches(nf.settings, n.bridge, n); nf.uplink == no {
		nf.line = line
	}
	return nf, nil
}

// matches says whether the [Match] section takes in a link.
func matches(settings []setting, link string, n nic) (answer, int) {
	result, line := yes, 0
	any, alone := false, false
	for _, s := range settings {
		if s.section != "Match" {
			continue
		}
		if line == 0 {
			line = s.line
		}
		any = true
		words := strings.Fields(s.value)
		switch s.key {
		case "Name":
			line = s.line
			if !slices.ContainsFunc(words, func(w string) bool { return match(strings.TrimPrefix(w, "!"), link) != strings.HasPrefix(w, "!") }) {
				return no, 0
			}
			if len(words) == 1 && words[0] == link {
				alone = true
			} else {
				result = maybe
			}
		case "MACAddress", "PermanentMACAddress":
			if !slices.ContainsFunc(words, func(w string) bool { return sameMAC(w, n.mac.String()) }) {
				return no, 0
			}
			// The bridge has the NIC's MAC, but no permanent one.
			if link != n.uplink && s.key == "PermanentMACAddress" {
				return no, 0
			}
			alone = alone || len(words) == 1 && link == n.uplink
		case "Kind":
			if link == n.bridge && !slices.Contains(words, "bridge") || link == n.uplink && len(words) > 0 && !strings.HasPrefix(words[0], "!") {
				return no, 0
			}
		case "Type":
			if link == n.bridge && !slices.ContainsFunc(words, func(w string) bool { return w == "bridge" || w == "ether" || strings.HasPrefix(w, "!") }) ||
				link == n.uplink && !slices.ContainsFunc(words, func(w string) bool { return w == "ether" || strings.HasPrefix(w, "!") }) {
				return no, 0
			}
		}
	}
	// A file without any match is passed over by newer networkd, and was taken
	// for all by older ones.
	if !any || !alone {
		result = maybe
	}
	return result, line
}

// netdevName returns the name of the link that a .netdev file makes, "" if it
// can't be told.
func netdevName(f File) string {
	settings, err := parseINI(f)
	i := slices.IndexFunc(settings, func(s setting) bool { return s.section == "NetDev" && s.key == "Name" })
	if err != nil || i < 0 {
		return ""
	}
	return settings[i].value
}

func sameMAC(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, "-", ":"), b)
}

// earlier reports whether networkd reads the file a before b: it goes by the
// name without the folder.
func earlier(a, b string) bool { return path.Base(a) < path.Base(b) }
