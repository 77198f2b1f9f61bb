package persist

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// Diff shows what Plan's steps from one state to another do to the files, in
// their order, as a unified diff. Copies, renames, links and permissions are told
// in the words of git. Files may hold secrets, and so does their difference.
func Diff(from, to State) []byte {
	var b bytes.Buffer
	for _, c := range changes(from, to) {
		at := filepath.Join(to.Root, filepath.FromSlash(c.path))
		if c.renamed != "" {
			fmt.Fprintf(&b, "rename from %s\nrename to %s\n", at, filepath.Join(to.Root, filepath.FromSlash(c.renamed)))
			continue
		}
		if of, _, kept := strings.Cut(c.path, savedSuffix); kept && c.from == nil {
			fmt.Fprintf(&b, "copy from %s\ncopy to %s\n", filepath.Join(to.Root, filepath.FromSlash(of)), at)
			continue
		}
		oldName, old := side(at, c.from)
		newName, new := side(at, c.to)
		switch {
		case c.from == nil && c.to.Target == "":
			fmt.Fprintf(&b, "new file mode %04o\n", c.to.Mode)
		case c.from != nil && c.to != nil && c.from.Target == "" && c.to.Target == "" && c.from.Mode != c.to.Mode:
			fmt.Fprintf(&b, "old mode %04o of %s\nnew mode %04o\n", c.from.Mode, at, c.to.Mode)
		}
		// The first line of the library's is its own.
		text := diff.Diff(oldName, old, newName, new)
		if _, rest, ok := bytes.Cut(text, []byte("\n")); ok {
			b.Write(rest)
		}
	}
	return b.Bytes()
}

// side is one side of a difference; a link's content is where it leads.
func side(at string, f *File) (name string, content []byte) {
	switch {
	case f == nil:
		return "/dev/null", nil
	case f.Target != "":
		return at, []byte("symbolic link to " + f.Target + "\n")
	}
	return at, f.Content
}
