package persist

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// yamlText is a YAML file that is edited by whole lines, so that all others stay
// as they are, to the octet: an encoder would lay them out anew. Lines count
// from 1, as in nodes.
type yamlText struct {
	lines  []string // with their endings
	eol    string
	insert map[int][]string // before a line
	gone   map[int]bool
}

func newYAMLText(content []byte) *yamlText {
	t := &yamlText{eol: "\n", insert: make(map[int][]string), gone: make(map[int]bool)}
	t.lines = strings.SplitAfter(string(content), "\n")
	if last := len(t.lines) - 1; t.lines[last] == "" {
		t.lines = t.lines[:last]
	}
	if len(t.lines) > 0 && strings.HasSuffix(t.lines[0], "\r\n") {
		t.eol = "\r\n"
	}
	return t
}

// line returns a line without its ending.
func (t *yamlText) line(n int) string { return strings.TrimRight(t.lines[n-1], "\r\n") }

// before puts lines in front of one that there is, or at the end.
func (t *yamlText) before(n int, lines ...string) { t.insert[n] = append(t.insert[n], lines...) }

// remove takes the lines from first up to last out.
func (t *yamlText) remove(first, last int) {
	for n := first; n <= last; n++ {
		t.gone[n] = true
	}
}

// change puts another line in the place of one.
func (t *yamlText) change(n int, line string) {
	t.lines[n-1] = line + strings.TrimPrefix(t.lines[n-1], t.line(n))
}

func (t *yamlText) bytes() []byte {
	var b strings.Builder
	ended := true // the line before, which the last one of a file needn't be
	for n := 1; n <= len(t.lines)+1; n++ {
		for _, l := range t.insert[n] {
			if !ended {
				b.WriteString(t.eol)
			}
			b.WriteString(l + t.eol)
			ended = true
		}
		if n <= len(t.lines) && !t.gone[n] {
			b.WriteString(t.lines[n-1])
			ended = strings.HasSuffix(t.lines[n-1], "\n")
		}
	}
	return []byte(b.String())
}

// span is a key of a block mapping with its value: the lines from first up to,
// and without, next, where the following key is, or the end.
type span struct {
	key, value  *yaml.Node
	first, next int
}

// spans takes a block mapping apart that ends before the line next.
func spans(mapping *yaml.Node, next int) []span {
	var list []span
	for i := 0; mapping.Kind == yaml.MappingNode && i+1 < len(mapping.Content); i += 2 {
		if i > 0 {
			list[len(list)-1].next = mapping.Content[i].Line
		}
		list = append(list, span{mapping.Content[i], mapping.Content[i+1], mapping.Content[i].Line, next})
	}
	return list
}

// find returns the span of a key.
func find(list []span, key string) (span, bool) {
	i := slices.IndexFunc(list, func(s span) bool { return s.key.Value == key })
	if i < 0 {
		return span{}, false
	}
	return list[i], true
}

// last returns the last line of a span with more on it than a comment: what
// follows belongs to the next key as much as to this one.
func (t *yamlText) last(s span) int {
	n := min(s.next-1, len(t.lines))
	for n > s.first && (t.passedOver(n) || isMark(t.line(n))) {
		n--
	}
	return n
}

// isMark reports whether a line begins or ends a document.
func isMark(line string) bool {
	return strings.HasPrefix(line, "---") || strings.HasPrefix(line, "...")
}

// passedOver reports whether a line is empty or a comment.
func (t *yamlText) passedOver(n int) bool {
	text := strings.TrimSpace(t.line(n))
	return text == "" || text[0] == '#'
}

// end returns the line before which something can be added to the block in a
// span: after what is in it, and after comments that are indented as that is.
func (t *yamlText) end(s span, indent int) int {
	n := t.last(s) + 1
	for after := n; after < s.next && after <= len(t.lines) && t.passedOver(after); after++ {
		if strings.TrimSpace(t.line(after)) != "" && indentOf(t.line(after)) >= indent {
			n = after + 1
		}
	}
	return n
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// column returns where a node begins in its line, in octets.
func (t *yamlText) column(n *yaml.Node) int {
	line, at := t.line(n.Line), 0
	for range n.Column - 1 {
		_, size := utf8.DecodeRuneInString(line[at:])
		at += size
	}
	return at
}

// comment cuts the comment off a line: what follows a number sign at the
// beginning, after a space or after what can't go on, outside of quotes.
func comment(line string) (text, comment string) {
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		fresh := i == 0 || strings.IndexByte(" \t[{,:-", line[i-1]) >= 0
		switch {
		case quote == '"' && c == '\\':
			i++
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
		case (c == '"' || c == '\'') && fresh:
			quote = c
		case c == '#' && (i == 0 || strings.IndexByte(" \t[]{},\"'", line[i-1]) >= 0):
			return strings.TrimRight(line[:i], " \t"), line[i:]
		}
	}
	return line, ""
}
