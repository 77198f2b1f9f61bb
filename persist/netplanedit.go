package persist

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// netplanEdit turns a file of netplan's that somebody else wrote into the one
// that is wanted: of the uplink's entry stays what is about the device, what is
// about the network moves to the bridge's entry, and all else is left as it is.
type netplanEdit struct {
	net  network
	file File
	root *yaml.Node
	text *yamlText

	network, kind, id span // the way to the uplink's entry
	comments          comments
}

// movedKeys are those of the uplink's entry that the bridge's state speaks for.
func movedKeys() []string {
	return []string{"addresses", "gateway4", "gateway6", "routes", "nameservers", "routing-policy", "optional-addresses", "dhcp-identifier",
		"dhcp4-overrides", "dhcp6-overrides", "ipv6-privacy", "ipv6-address-generation", "ipv6-address-token", "ipv6-mtu"}
}

// portSettings are what makes an entry of netplan's a port without a network.
func (n network) portSettings(hasMTU bool) []pair {
	value := func(key, v string) pair { return pair{key: key, value: &yaml.Node{Kind: yaml.ScalarNode, Value: v}} }
	list := []pair{value("renderer", "networkd")}
	// 1500 needs no word, unless there is one that says something else.
	if n.uplinkMTU > 0 && (hasMTU || n.uplinkMTU != 1500) {
		list = append(list, value("mtu", strconv.Itoa(n.uplinkMTU)))
	}
	return append(list, value("dhcp4", "false"), value("dhcp6", "false"), value("accept-ra", "false"), value("link-local", "[]"))
}

// holds reports whether a node is what a setting of portSettings asks for.
func (p pair) holds(n *yaml.Node) bool {
	if p.value.Value == "[]" {
		return n != nil && n.Kind == yaml.SequenceNode && len(n.Content) == 0
	}
	return scalar(n) == p.value.Value
}

// edit returns the file's text with the uplink's entry made a port and, if it
// is to be here, the bridge's entry. A text that can't be edited is refused.
func (nf netplanFile) edit(n network, uplink netplanEntry, withBridge bool) ([]byte, error) {
	ed := netplanEdit{net: n, file: nf.file, text: newYAMLText(nf.file.Content), comments: make(comments)}
	if err := ed.open(uplink); err != nil {
		return nil, err
	}
	// First what there is to be moved, and what is said about it.
	bridges, hasBridges := find(spans(ed.network.value, ed.network.next), "bridges")
	var own span
	if hasBridges {
		if err := ed.block(bridges.value, "bridges"); err != nil {
			return nil, err
		}
		own, _ = find(spans(bridges.value, bridges.next), n.bridge)
	}
	style := ed.style(own)
	head := ed.takeBridge(own)
	if err := ed.port(style); err != nil {
		return nil, err
	}
	switch {
	case withBridge:
		ed.putBridge(style, bridges, hasBridges, own, head)
	case own.key != nil && len(bridges.value.Content) == 2:
		ed.text.remove(bridges.first, ed.text.last(bridges))
	case own.key != nil:
		ed.text.remove(own.first, ed.text.last(own))
	}
	for _, r := range ed.comments.rest() {
		ed.text.before(r.line, indented(style.base+style.step, r.all())...)
	}
	out := ed.text.bytes()
	return out, ed.verify(out, withBridge)
}

func indented(by int, lines []string) []string {
	var list []string
	for _, l := range lines {
		list = append(list, strings.Repeat(" ", by)+l)
	}
	return list
}

// uneditable is the refusal of a file that is understood but can't be edited.
func (ed *netplanEdit) uneditable(line int, format string, args ...any) error {
	return refuseAt(ed.file, line, ErrUneditable, format, args...)
}

// open finds the uplink's entry and refuses what lines can't be told of.
func (ed *netplanEdit) open(uplink netplanEntry) error {
	content := string(ed.file.Content)
	if !utf8.ValidString(content) || strings.ContainsAny(strings.ReplaceAll(content, "\r\n", "\n"), "\r\u0085\u2028\u2029\ufeff") {
		return ed.uneditable(0, "has characters or ends of lines that an editor would not keep; save it as UTF-8 with plain line ends")
	}
	dec := yaml.NewDecoder(bytes.NewReader(ed.file.Content))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil {
		return unreadable(ed.file, 0, "is no YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return ed.uneditable(second.Line, "holds more than one document, and netplan reads the first alone; take the others out")
	}
	ed.root = doc.Content[0]
	here := span{value: ed.root, next: len(ed.text.lines) + 1}
	name := "the file"
	for _, step := range []struct {
		key string
		to  *span
	}{{"network", &ed.network}, {uplink.kind, &ed.kind}, {uplink.id, &ed.id}} {
		if err := ed.block(here.value, name); err != nil {
			return err
		}
		var ok bool
		if here, ok = find(spans(here.value, here.next), step.key); !ok {
			return ed.uneditable(0, "%s has no %s", name, step.key)
		}
		name, *step.to = step.key, here
	}
	return ed.plain(ed.id.value, uplink.String())
}

// block refuses a mapping that is not written with one key a line.
func (ed *netplanEdit) block(n *yaml.Node, what string) error {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return ed.uneditable(n.Line, "%s is an anchor or an alias, which can't be edited; write out what it stands for", what)
	case n.Style&yaml.FlowStyle != 0:
		return ed.uneditable(n.Line, "%s is written in braces, which can't be edited; write it with one key a line", what)
	}
	return nil
}

// plain refuses anchors and aliases anywhere in a node.
func (ed *netplanEdit) plain(n *yaml.Node, what string) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return ed.uneditable(n.Line, "%s has an anchor or an alias, which can't be edited; write out what it stands for", what)
	}
	for _, c := range n.Content {
		if err := ed.plain(c, what); err != nil {
			return err
		}
	}
	return nil
}

// style finds out how the file is indented.
func (ed *netplanEdit) style(own span) yamlWriter {
	w := yamlWriter{base: ed.text.column(ed.id.key), step: 2, comments: ed.comments}
	if step := w.base - ed.text.column(ed.kind.key); step > 0 {
		w.step = step
	}
	if v := ed.id.value; v.Kind == yaml.MappingNode && v.Style&yaml.FlowStyle == 0 && len(v.Content) > 0 {
		if step := ed.text.column(v.Content[0]) - w.base; step > 0 {
			w.step = step
		}
	}
	for _, entry := range []span{own, ed.id} {
		if entry.key == nil {
			continue
		}
		for _, s := range spans(entry.value, entry.next) {
			if s.value.Kind == yaml.SequenceNode && s.value.Style&yaml.FlowStyle == 0 && s.value.Line > s.first && s.value.Column >= s.key.Column {
				w.dash = s.value.Column - s.key.Column
				return w
			}
		}
	}
	return w
}

// takeBridge collects the comments of the bridge's entry and returns those
// about all of it.
func (ed *netplanEdit) takeBridge(own span) remark {
	var head remark
	if own.key == nil {
		return head
	}
	_, head.behind = comment(ed.text.line(own.first))
	list := spans(own.value, own.next)
	if own.value.Style&yaml.FlowStyle != 0 {
		return head
	}
	for i, s := range list {
		if i == 0 {
			for n := own.first + 1; n < s.first; n++ {
				if _, said := comment(ed.text.line(n)); said != "" && !strings.HasPrefix(said, marker) {
					head.above = append(head.above, said)
				}
			}
		}
		// What is said of the settings written below stays with them.
		if slices.Contains([]string{"addresses", "routes", "nameservers"}, s.key.Value) {
			ed.comments.collect(ed.text, s, i == 0)
			continue
		}
		said := make(comments)
		said.collect(ed.text, s, i == 0)
		for _, r := range said.rest() {
			head.above = append(head.above, r.all()...)
		}
	}
	return head
}

// port edits the uplink's entry.
func (ed *netplanEdit) port(style yamlWriter) error {
	t, id := ed.text, ed.id
	w := yamlWriter{base: style.base, step: style.step}
	marked := false
	for n := id.first; n < id.next && n <= len(t.lines); n++ {
		marked = marked || strings.HasPrefix(strings.TrimSpace(t.line(n)), marker)
	}
	if !marked {
		w.set(1, "%s %s has the addresses of this interface.", marker, ed.net.bridge)
	}
	entry := netplanEntry{node: id.value}
	settings := ed.net.portSettings(entry.get("mtu") != nil)
	if isNull(id.value) || id.value.Style&yaml.FlowStyle != 0 {
		return ed.portAnew(w, settings)
	}
	t.before(id.first+1, w.lines...)
	w.lines = nil
	missing := slices.Clone(settings)
	for i, s := range spans(id.value, id.next) {
		at := slices.IndexFunc(settings, func(p pair) bool { return p.key == s.key.Value })
		switch {
		case at >= 0 && settings[at].holds(s.value):
		case at >= 0 && ed.changeInPlace(s, settings[at]):
		case at >= 0 || slices.Contains(movedKeys(), s.key.Value):
			from := ed.comments.collect(t, s, i == 0)
			t.remove(from, t.last(s))
			continue
		default:
			continue
		}
		missing = slices.DeleteFunc(missing, func(p pair) bool { return p.key == s.key.Value })
	}
	for _, p := range missing {
		w.set(1, "%s: %s", p.key, p.value.Value)
	}
	t.before(t.last(id)+1, w.lines...)
	return nil
}

// changeInPlace gives a key another plain value in its line, if that is all it
// has.
func (ed *netplanEdit) changeInPlace(s span, p pair) bool {
	if s.value.Kind != yaml.ScalarNode || s.value.Line != s.first || ed.text.last(s) != s.first || p.value.Value == "[]" || isNull(s.value) || s.value.Style&^(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		return false
	}
	line := ed.text.line(s.first)
	_, said := comment(line)
	if said != "" {
		said = " " + said
	}
	ed.text.change(s.first, line[:ed.text.column(s.value)]+p.value.Value+said)
	return true
}

// portAnew writes the uplink's entry with one key a line where it is empty or
// written in braces.
func (ed *netplanEdit) portAnew(w yamlWriter, settings []pair) error {
	t, id := ed.text, ed.id
	line := t.line(id.first)
	name, said := comment(line)
	if !isNull(id.value) || id.value.Value != "" {
		if id.value.Line != id.first {
			return ed.uneditable(id.value.Line, "%s is written in braces, which can't be edited here; write it with one key a line", id.key.Value)
		}
		name = strings.TrimRight(line[:t.column(id.value)], " ")
	}
	if said != "" {
		name += " " + said
	}
	for n := id.first + 1; n <= t.last(id); n++ {
		if _, said := comment(t.line(n)); said != "" {
			w.set(1, "%s", said)
		}
	}
	for i := 0; i+1 < len(id.value.Content); i += 2 {
		k, v := id.value.Content[i], id.value.Content[i+1]
		if slices.Contains(movedKeys(), k.Value) || slices.ContainsFunc(settings, func(p pair) bool { return p.key == k.Value }) {
			continue
		}
		out, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{uncommented(k), uncommented(v)}})
		if err != nil {
			return ed.uneditable(k.Line, "%s can't be written anew: %v", k.Value, err)
		}
		for l := range strings.Lines(string(out)) {
			w.set(1, "%s", strings.TrimRight(l, "\n"))
		}
	}
	for _, p := range settings {
		w.set(1, "%s: %s", p.key, p.value.Value)
	}
	last := t.last(id)
	t.remove(id.first, last)
	t.before(id.first, append([]string{name}, w.lines...)...)
	return nil
}

// uncommented copies a node without its comments.
func uncommented(n *yaml.Node) *yaml.Node {
	c := *n
	c.HeadComment, c.LineComment, c.FootComment = "", "", ""
	c.Content = nil
	for _, child := range n.Content {
		c.Content = append(c.Content, uncommented(child))
	}
	return &c
}

// putBridge writes the bridge's entry: in its old place, below the others of
// its kind, or at the end of the network.
func (ed *netplanEdit) putBridge(w yamlWriter, bridges span, hasBridges bool, own span, head remark) {
	t := ed.text
	if hasBridges && len(bridges.value.Content) > 0 {
		w.base = t.column(bridges.value.Content[0])
	}
	name := keyWord(ed.net.bridge) + ":"
	if head.behind != "" {
		name += " " + head.behind
	}
	w.set(0, "%s", name)
	w.set(1, "%s", strings.TrimSuffix(header, "\n"))
	for _, l := range head.above {
		w.set(1, "%s", l)
	}
	ed.net.netplanBridge(&w, ed.id.key.Value)
	switch {
	case own.key != nil:
		last := t.last(own)
		t.remove(own.first, last)
		t.before(own.first, w.lines...)
	case hasBridges && !isNull(bridges.value):
		t.before(t.end(bridges, w.base), w.lines...)
	case hasBridges:
		t.before(bridges.first+1, w.lines...)
	default:
		column := t.column(ed.kind.key)
		t.before(t.end(ed.network, column), append(indented(column, []string{"bridges:"}), w.lines...)...)
	}
}

// keyWord quotes a name unless it looks like one and like nothing else that
// YAML knows.
func keyWord(name string) string {
	letter := name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z'
	if letter && strings.ContainsAny(name, "0123456789") && !strings.Contains(name, ":") {
		return name
	}
	return quote(name)
}

// verify reads the text again: nothing may differ but what was to be changed.
func (ed *netplanEdit) verify(out []byte, withBridge bool) error {
	wrong := func(format string, args ...any) error {
		return ed.uneditable(ed.id.first, "can't be edited: %s; write it with one key a line and values in the line of their keys", fmt.Sprintf(format, args...))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(out, &doc); err != nil {
		return wrong("the result would be no YAML (%v)", err)
	}
	if !equalNodes(ed.withoutOurs(ed.root), ed.withoutOurs(doc.Content[0])) {
		return wrong("the result would differ in more than %s and %s", ed.id.key.Value, ed.net.bridge)
	}
	kinds := netplanEntry{node: doc.Content[0]}.get("network")
	entry := netplanEntry{node: netplanEntry{node: netplanEntry{node: kinds}.get(ed.kind.key.Value)}.get(ed.id.key.Value)}
	for _, p := range ed.net.portSettings(entry.get("mtu") != nil) {
		if !p.holds(entry.get(p.key)) {
			return wrong("%s would not be %s", p.key, p.value.Value)
		}
	}
	for _, key := range movedKeys() {
		if entry.get(key) != nil {
			return wrong("%s would stay", key)
		}
	}
	br := netplanEntry{node: netplanEntry{node: netplanEntry{node: kinds}.get("bridges")}.get(ed.net.bridge)}
	ports := scalars(br.get("interfaces"))
	if withBridge && (len(ports) != 1 || ports[0].Value != ed.id.key.Value) || !withBridge && br.node != nil {
		return wrong("%s would not be as wanted", ed.net.bridge)
	}
	return nil
}

// withoutOurs copies the file's tree without what an edit may change.
func (ed *netplanEdit) withoutOurs(root *yaml.Node) *yaml.Node {
	uplink := map[string]bool{"mtu": true}
	for _, p := range ed.net.portSettings(true) {
		uplink[p.key] = true
	}
	for _, k := range movedKeys() {
		uplink[k] = true
	}
	return filtered(root, func(key string, v *yaml.Node) *yaml.Node {
		if key != "network" {
			return v
		}
		return filtered(v, func(kind string, v *yaml.Node) *yaml.Node {
			if kind == "bridges" {
				v = filtered(v, func(id string, v *yaml.Node) *yaml.Node {
					if id == ed.net.bridge {
						return nil
					}
					return v
				})
				if len(v.Content) == 0 {
					return nil
				}
			}
			if kind != ed.kind.key.Value {
				return v
			}
			return filtered(v, func(id string, v *yaml.Node) *yaml.Node {
				if id != ed.id.key.Value {
					return v
				}
				return filtered(v, func(key string, v *yaml.Node) *yaml.Node {
					if uplink[key] {
						return nil
					}
					return v
				})
			})
		})
	})
}

// filtered copies a mapping, or an empty value as an empty mapping, with values
// changed or left out.
func filtered(n *yaml.Node, f func(key string, v *yaml.Node) *yaml.Node) *yaml.Node {
	c := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if v := f(n.Content[i].Value, n.Content[i+1]); v != nil {
			c.Content = append(c.Content, n.Content[i], v)
		}
	}
	return c
}

// equalNodes compares what two nodes say, not how.
func equalNodes(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.ShortTag() == b.ShortTag() && a.Value == b.Value && a.Anchor == b.Anchor && slices.EqualFunc(a.Content, b.Content, equalNodes)
}
