package persist

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// comments are those of settings that move from one entry to another, by what
// they are about: "addresses", "address 192.0.2.1/24", "route ::/0 fe80::1".
type comments map[string]*remark

// remark is what is said about one setting.
type remark struct {
	above  []string // in lines of their own
	behind string   // at the end of its first line
	line   int      // before which it stays if it finds no new place
	order  int
}

func (c comments) of(about string, line int) *remark {
	if c[about] == nil {
		c[about] = &remark{line: line, order: len(c)}
	}
	return c[about]
}

// take hands out the remark on something, once.
func (c comments) take(about string) remark {
	r := c[about]
	if r == nil {
		return remark{}
	}
	delete(c, about)
	return *r
}

// rest returns the remarks that nobody took, in the order of their lines.
func (c comments) rest() []remark {
	var list []remark
	for _, about := range slices.Sorted(maps.Keys(c)) {
		list = append(list, *c[about])
	}
	slices.SortStableFunc(list, func(a, b remark) int { return cmp.Or(a.line-b.line, a.order-b.order) })
	return list
}

// all are a remark's lines where there is nothing to stand behind.
func (r remark) all() []string {
	if r.behind == "" {
		return r.above
	}
	return append(slices.Clone(r.above), r.behind)
}

// collect gathers the comments of a setting's lines and, if it is not the
// first of its entry, of those right above it, which it returns the first line
// of.
func (c comments) collect(t *yamlText, s span, first bool) (from int) {
	about := func(n int) string {
		if i := itemAt(s.value, n); i >= 0 {
			return aboutItem(s.key.Value, s.value.Content[i])
		}
		return aboutKey(s.key.Value, s.value)
	}
	var pending []string
	from = s.first
	for !first && from > 1 && strings.HasPrefix(strings.TrimSpace(t.line(from-1)), "#") {
		from--
	}
	for n := from; n <= t.last(s); n++ {
		text, said := comment(t.line(n))
		if strings.TrimSpace(text) == "" {
			if said != "" {
				pending = append(pending, said)
			}
			continue
		}
		if len(pending) == 0 && said == "" {
			continue
		}
		r := c.of(about(n), s.first)
		r.above = append(r.above, pending...)
		pending = nil
		if r.behind != "" && said != "" {
			r.above = append(r.above, r.behind)
		}
		if said != "" {
			r.behind = said
		}
	}
	return from
}

// itemAt returns the item of a block sequence that a line belongs to.
func itemAt(n *yaml.Node, line int) int {
	if n.Kind != yaml.SequenceNode || n.Style&yaml.FlowStyle != 0 {
		return -1
	}
	at := -1
	for i, item := range n.Content {
		if item.Line <= line {
			at = i
		}
	}
	return at
}

func aboutItem(key string, item *yaml.Node) string {
	e := netplanEntry{node: item}
	switch key {
	case "addresses":
		text := scalar(item)
		if keys := e.keys(); len(keys) == 1 {
			text = keys[0].Value
		}
		if p, err := netip.ParsePrefix(text); err == nil {
			return aboutAddr(p)
		}
	case "routes":
		if via, err := netip.ParseAddr(scalar(e.get("via"))); err == nil {
			return aboutRoute(destination(scalar(e.get("to")), via), via)
		}
		if to, err := netip.ParsePrefix(scalar(e.get("to"))); err == nil {
			return aboutRoute(to, netip.Addr{})
		}
	}
	return key
}

func aboutKey(key string, value *yaml.Node) string {
	if key == "gateway4" || key == "gateway6" {
		if via, err := netip.ParseAddr(scalar(value)); err == nil {
			return aboutRoute(destination("default", via), via)
		}
	}
	return key
}

// destination reads where a route leads to.
func destination(to string, via netip.Addr) netip.Prefix {
	p, err := netip.ParsePrefix(to)
	switch {
	case err == nil:
		return p
	case to == "default" && via.Is4():
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	case to == "default":
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.Prefix{}
}

func aboutAddr(p netip.Prefix) string { return "address " + p.String() }

func aboutRoute(to netip.Prefix, via netip.Addr) string {
	return "route " + to.String() + " " + via.String()
}
