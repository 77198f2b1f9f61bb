package persist

import (
	"bytes"
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strconv"
)

// Part is the name of this package in plans and captured states.
const Part = "persist"

// Scope says which files a State is about.
type Scope struct {
	// Root is the folder that the paths are below.
	Root string `json:"root"`
	// Paths of files below the root, with slashes and without a leading one;
	// they may be patterns of path.Match.
	Paths []string `json:"paths"`
	// Existence lists paths, or patterns, of files of which only matters
	// whether they exist. Their content, which may be secret, isn't read.
	Existence []string `json:"existence,omitempty"`
}

// State is the files of a scope. It marshals to JSON.
type State struct {
	Scope
	// Files that exist, sorted by path.
	Files []File `json:"files"`
	// Found are the paths of Existence that exist, sorted.
	Found []string `json:"found,omitempty"`
	// Notes of a wanted state are what its reader should know; plans carry them.
	Notes []string `json:"notes,omitempty"`
}

// File is one file, or one symbolic link.
type File struct {
	// Path below the root, with slashes and without a leading one.
	Path string `json:"path"`
	// Mode holds the permission bits. It says nothing about a symbolic link.
	Mode fs.FileMode `json:"mode,omitempty"`
	// Target makes it a symbolic link, to this.
	Target string `json:"target,omitempty"`
	// Content of the file, or of the one that a captured link leads to, as far
	// as that is a plain file.
	Content []byte `json:"content,omitempty"`
}

// same reports whether two files would be the same on a disk.
func (f File) same(o File) bool {
	if f.Target != "" || o.Target != "" {
		return f.Target == o.Target
	}
	return f.Mode == o.Mode && bytes.Equal(f.Content, o.Content)
}

// own reports whether all of the file was written by this package. JSON has no
// place for the marker, and nobody else has a file of that name.
func (f File) own() bool {
	switch f.Path {
	case unitLinkPath:
		return f.Target == unitLinkTarget
	case edgeUnitLinkPath:
		return f.Target == edgeUnitLinkTarget
	case edgePath:
		return f.Target == ""
	}
	return f.Target == "" && bytes.HasPrefix(f.Content, []byte(marker))
}

// edited reports whether the file is somebody else's, with entries of ours.
func (f File) edited() bool {
	if f.own() || f.Target != "" || !match(netplanDir+"*.yaml", f.Path) {
		return false
	}
	_, marked, _ := unsealed(f.Content)
	return marked >= 0
}

// File returns a file by its path.
func (s State) File(name string) (File, bool) {
	i := slices.IndexFunc(s.Files, func(f File) bool { return f.Path == name })
	if i < 0 {
		return File{}, false
	}
	return s.Files[i], true
}

// matching returns the files whose paths match a pattern, in order.
func (s State) matching(pattern string) []File {
	return slices.DeleteFunc(slices.Clone(s.Files), func(f File) bool { return !match(pattern, f.Path) })
}

// put adds a file, in place of one of the same path.
func (s *State) put(f File) {
	s.remove(f.Path)
	s.Files = append(s.Files, f)
	slices.SortFunc(s.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
}

// remove takes a file out.
func (s *State) remove(name string) {
	s.Files = slices.DeleteFunc(s.Files, func(f File) bool { return f.Path == name })
}

// keepAs adds a file under the first free name that begins with name, and
// returns that.
func (s *State) keepAs(f File, name string) string {
	for n := 0; ; n++ {
		f.Path = name
		if n > 0 {
			f.Path += "." + strconv.Itoa(n)
		}
		have, taken := s.File(f.Path)
		if taken && have.same(f) {
			return f.Path
		}
		if !taken {
			s.put(f)
			return f.Path
		}
	}
}

// clone copies a state so that files of the copy can be added and removed.
func (s State) clone() State {
	s.Files = slices.Clone(s.Files)
	s.Notes = nil
	return s
}

// match is path.Match, where a pattern that isn't one matches nothing.
func match(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
