package persist

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
)

// maxFile is more than any file of interest has.
const maxFile = 1 << 20

// Capture reads the files of a scope. Those that don't exist are left out.
func Capture(ctx context.Context, scope Scope) (State, error) {
	s := State{Scope: scope}
	names, err := list(ctx, scope.Root, scope.Paths)
	if err != nil {
		return State{}, err
	}
	for _, name := range names {
		f, ok, err := readFile(scope.Root, name)
		if err != nil {
			return State{}, err
		}
		if ok {
			s.Files = append(s.Files, f)
		}
	}
	if s.Found, err = list(ctx, scope.Root, scope.Existence); err != nil {
		return State{}, err
	}
	return s, nil
}

// list returns the paths below root that match one of the patterns, sorted.
func list(ctx context.Context, root string, patterns []string) ([]string, error) {
	var found []string
	for _, p := range patterns {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		names, err := expand(root, p)
		if err != nil {
			return nil, err
		}
		found = append(found, names...)
	}
	slices.SortFunc(found, cmp.Compare[string])
	return slices.Compact(found), nil
}

// expand returns the paths below root that match a pattern, whose folders may
// be patterns as well. A root with such characters in its own name is none,
// which is why filepath.Glob won't do.
func expand(root, pattern string) ([]string, error) {
	dirs := []string{"."}
	if d := path.Dir(pattern); d != "." {
		var err error
		if dirs, err = expand(root, d); err != nil {
			return nil, err
		}
	}
	var found []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(dir)))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list folder: %w", err)
		}
		for _, e := range entries {
			if match(path.Base(pattern), e.Name()) {
				found = append(found, path.Join(dir, e.Name()))
			}
		}
	}
	return found, nil
}

// readFile reads one file; ok is false where there is none, or no plain one.
func readFile(root, name string) (f File, ok bool, err error) {
	at := filepath.Join(root, filepath.FromSlash(name))
	info, err := os.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, false, nil
	}
	if err != nil {
		return File{}, false, fmt.Errorf("look at file: %w", err)
	}
	f = File{Path: name, Mode: info.Mode().Perm()}
	if info.Mode()&fs.ModeSymlink != 0 {
		if f.Target, err = os.Readlink(at); err != nil {
			return File{}, false, fmt.Errorf("read link: %w", err)
		}
		f.Mode = 0
		// A link to nowhere or to /dev/null, as masks are, has no content.
		info, err = os.Stat(at)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
			return f, true, nil
		}
	}
	if !info.Mode().IsRegular() {
		return File{}, false, nil
	}
	if info.Size() > maxFile {
		return File{}, false, fmt.Errorf("read %s: %d octets are more than any configuration has", at, info.Size())
	}
	if f.Content, err = os.ReadFile(at); err != nil {
		return File{}, false, fmt.Errorf("read file: %w", err)
	}
	return f, true, nil
}
