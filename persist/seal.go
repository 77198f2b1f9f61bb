package persist

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// sumPrefix begins the line after the one with the marker. Its sum over the
// rest of the file tells whether somebody changed the file since.
const sumPrefix = "# Sum of this file: "

// asidePrefix begins a line that names a file which was set aside for this
// one: not every *.networkNO is our doing.
const asidePrefix = "# Set aside: "

// seal puts the sum into a file that has the marker, or renews it.
func seal(content []byte) []byte {
	lines, at, _ := unsealed(content)
	if at < 0 {
		return content
	}
	line := string(lines[at])
	indent := line[:strings.Index(line, marker)]
	eol := line[len(strings.TrimRight(line, "\r\n")):]
	rest := bytes.Join(lines[at+1:], nil)
	return bytes.Join([][]byte{bytes.Join(lines[:at+1], nil), []byte(indent + sumPrefix + sum(lines) + eol), rest}, nil)
}

// sealed reports whether a file is as seal left it.
func sealed(content []byte) bool {
	lines, at, has := unsealed(content)
	return at >= 0 && has != "" && has == sum(lines)
}

// unsealed returns a file's lines without the sum's, which of them has the
// marker (-1 if none), and the sum it has.
func unsealed(content []byte) (lines [][]byte, marked int, has string) {
	marked = -1
	for l := range bytes.Lines(content) {
		text := strings.TrimSpace(string(l))
		if s, ok := strings.CutPrefix(text, sumPrefix); ok && has == "" && marked == len(lines)-1 && marked >= 0 {
			has = s
			continue
		}
		if marked < 0 && strings.HasPrefix(text, marker) && bytes.HasSuffix(l, []byte("\n")) {
			marked = len(lines)
		}
		lines = append(lines, l)
	}
	return lines, marked, has
}

func sum(lines [][]byte) string {
	h := sha256.Sum256(bytes.Join(lines, nil))
	return hex.EncodeToString(h[:8])
}

// setAsideFor returns the names that a file of ours says were set aside.
func setAsideFor(f File) []string {
	var names []string
	for l := range strings.Lines(string(f.Content)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(l), asidePrefix); ok {
			names = append(names, name)
		}
	}
	return names
}
