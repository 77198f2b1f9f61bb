package persist

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// nic is what identifies the two links in configuration files.
type nic struct {
	uplink, bridge string
	mac            slaac.MAC
	kind           string // of the uplink
}

// made reports whether the uplink is a link that configuration makes.
func (n nic) made() bool {
	switch n.kind {
	case "", "device", "veth", "dummy":
		return false
	}
	return true
}

// unmade is the refusal of an uplink that no file makes.
func (n nic) unmade(where string) error {
	return &plan.Refusal{Subject: "uplink " + n.uplink, Reason: fmt.Sprintf("is a %s, and %s makes it; set format to none", n.kind, where), Err: ErrInexpressible}
}

// answer says whether an entry is about a link.
type answer int

const (
	no    answer = iota
	yes          // about this link and no other
	maybe        // about others as well, or that can't be told
)

// netplanFile is what one of netplan's files has to say about our links.
type netplanFile struct {
	file File
	// ours are the entries of uplink and bridge.
	ours []netplanEntry
}

// uplink returns the entry of the uplink.
func (nf netplanFile) uplink() (netplanEntry, bool) {
	i := slices.IndexFunc(nf.ours, func(e netplanEntry) bool { return e.kind != "bridges" })
	if i < 0 {
		return netplanEntry{}, false
	}
	return nf.ours[i], true
}

// netplanEntry is one interface in a file.
type netplanEntry struct {
	kind, id string
	node     *yaml.Node // the value
	line     int
}

// String names the entry: "ethernet enp2s0".
func (e netplanEntry) String() string { return strings.TrimSuffix(e.kind, "s") + " " + e.id }

// unreadable is the refusal of a file that can't be understood.
func unreadable(f File, line int, format string, args ...any) error {
	return refuseAt(f, line, ErrUnreadable, format, args...)
}

// refuseAt is a refusal about one line of a file.
func refuseAt(f File, line int, sentinel error, format string, args ...any) error {
	subject := "/" + f.Path
	if line > 0 {
		subject += fmt.Sprintf(" line %d", line)
	}
	return &plan.Refusal{Subject: subject, Reason: fmt.Sprintf(format, args...), Err: sentinel}
}

// readNetplan reads one of netplan's files.
func readNetplan(f File, n nic) (netplanFile, error) {
	nf := netplanFile{file: f}
	var doc yaml.Node
	err := yaml.NewDecoder(bytes.NewReader(f.Content)).Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nf, nil
	}
	if err != nil {
		return nf, unreadable(f, 0, "is no YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nf, nil
	}
	pairs, err := mapping(f, doc.Content[0], "the file")
	if err != nil {
		return nf, err
	}
	var entries []netplanEntry
	for _, p := range pairs {
		if p.key != "network" || isNull(p.value) {
			continue
		}
		kinds, err := mapping(f, p.value, "network")
		if err != nil {
			return nf, err
		}
		for _, k := range kinds {
			if slices.Contains([]string{"version", "renderer", "openvswitch"}, k.key) || isNull(k.value) {
				continue
			}
			ids, err := mapping(f, k.value, k.key)
			if err != nil {
				return nf, err
			}
			for _, id := range ids {
				if id.key == "renderer" && id.value.Kind == yaml.ScalarNode {
					continue
				}
				if !isNull(id.value) {
					if _, err := mapping(f, id.value, k.key+" "+id.key); err != nil {
						return nf, err
					}
				}
				entries = append(entries, netplanEntry{kind: k.key, id: id.key, node: id.value, line: id.line})
			}
		}
	}
	return nf, nf.sort(entries, n)
}

// sort tells entries of our links from the others.
func (nf *netplanFile) sort(entries []netplanEntry, n nic) error {
	uplinkIDs := []string{n.uplink}
	for _, e := range entries {
		if e.kind == "bridges" && e.id == n.bridge {
			nf.ours = append(nf.ours, e)
			continue
		}
		switch about, why := e.about(n); {
		case about == yes:
			nf.ours = append(nf.ours, e)
			uplinkIDs = append(uplinkIDs, e.id)
		case about == maybe:
			return refuseAt(nf.file, e.line, ErrShared, "%s %s, which takes in %s but can be other interfaces too; give %s an entry of its own", e, why, n.uplink, n.uplink)
		}
	}
	for _, e := range entries {
		if e.kind == "bridges" && e.id == n.bridge {
			continue
		}
		for _, key := range []string{"interfaces", "link"} {
			for _, used := range scalars(e.get(key)) {
				// A VLAN stays below the bridge: the kernel takes its frames off
				// the NIC before a bridge sees them.
				if slices.Contains(uplinkIDs, used.Value) && e.kind != "vlans" {
					return refuseAt(nf.file, used.Line, ErrShared, "%s is built on %s, which is to be a port of %s", e, n.uplink, n.bridge)
				}
			}
		}
	}
	return nil
}

// about says whether an entry configures the uplink.
func (e netplanEntry) about(n nic) (about answer, why string) {
	m := e.get("match")
	if m == nil || isNull(m) || len(m.Content) == 0 {
		if e.id == n.uplink {
			return yes, ""
		}
		return no, ""
	}
	setName := scalar(e.get("set-name"))
	if setName != "" && setName != n.uplink {
		return no, ""
	}
	said := netplanEntry{node: m}
	if mac := scalar(said.get("macaddress")); mac != "" {
		if strings.EqualFold(mac, n.mac.String()) {
			return yes, ""
		}
		return no, ""
	}
	name := scalar(said.get("name"))
	switch {
	case name == n.uplink, setName != "":
		return yes, ""
	case name != "" && !match(name, n.uplink):
		return no, ""
	case name != "":
		return maybe, "matches the name " + name
	}
	return maybe, "matches by other things than name and MAC"
}

// get returns the value of a key of the entry, nil if it has none.
func (e netplanEntry) get(key string) *yaml.Node {
	if e.node == nil || e.node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(e.node.Content); i += 2 {
		if e.node.Content[i].Value == key {
			return deref(e.node.Content[i+1])
		}
	}
	return nil
}

// keys returns the entry's keys as they stand.
func (e netplanEntry) keys() []*yaml.Node {
	if e.node == nil || e.node.Kind != yaml.MappingNode {
		return nil
	}
	var keys []*yaml.Node
	for i := 0; i+1 < len(e.node.Content); i += 2 {
		keys = append(keys, e.node.Content[i])
	}
	return keys
}

// pair is a key of a mapping with its value.
type pair struct {
	key   string
	value *yaml.Node
	line  int
}

// mapping takes a mapping apart; what says what it is.
func mapping(f File, n *yaml.Node, what string) ([]pair, error) {
	n = deref(n)
	if n.Kind != yaml.MappingNode {
		return nil, unreadable(f, n.Line, "%s is not a mapping", what)
	}
	var ps []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			return nil, unreadable(f, k.Line, "%s has a key that is no plain word", what)
		}
		if slices.ContainsFunc(ps, func(p pair) bool { return p.key == k.Value }) {
			return nil, unreadable(f, k.Line, "%s has %s twice", what, k.Value)
		}
		ps = append(ps, pair{k.Value, deref(n.Content[i+1]), k.Line})
	}
	return ps, nil
}

// deref follows an alias to its anchor.
func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// scalar returns a plain value, "" if there is none.
func scalar(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode || isNull(n) {
		return ""
	}
	return n.Value
}

// scalars returns a list's plain values, or the only one.
func scalars(n *yaml.Node) []*yaml.Node {
	if n == nil || isNull(n) {
		return nil
	}
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	var vs []*yaml.Node
	for _, v := range list {
		if v = deref(v); v.Kind == yaml.ScalarNode {
			vs = append(vs, v)
		}
	}
	return vs
}
