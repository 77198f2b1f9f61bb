package persist

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// do makes one change, if the file is still as it was when it was planned.
func (c change) do(root string) error {
	at := filepath.Join(root, filepath.FromSlash(c.path))
	now, there, err := readFile(root, c.path)
	if err != nil {
		return err
	}
	if there != (c.from != nil) || there && !now.same(*c.from) {
		// It may be that an earlier try got this far.
		if c.renamed == "" && there == (c.to != nil) && (!there || now.same(*c.to)) {
			return nil
		}
		return fmt.Errorf("change %s: %w", at, ErrChanged)
	}
	switch {
	case c.renamed != "":
		as := filepath.Join(root, filepath.FromSlash(c.renamed))
		if _, err := os.Lstat(as); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rename %s to %s: %w", at, as, errors.Join(err, ErrChanged))
		}
		err = os.Rename(at, as)
	case c.to == nil:
		err = os.Remove(at)
	default:
		err = write(at, *c.to)
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(at))
}

// write puts a file in place at once: a reader sees the old one or the whole
// of the new one.
func write(at string, f File) error {
	dir := filepath.Dir(at)
	if err := makeFolders(dir); err != nil {
		return err
	}
	if f.Target != "" {
		if err := renameio.Symlink(f.Target, at); err != nil {
			return fmt.Errorf("write link: %w", err)
		}
		return nil
	}
	// The temporary file is hidden and has no ending that any program reads.
	t, err := renameio.NewPendingFile(at, renameio.WithTempDir(dir), renameio.WithStaticPermissions(f.Mode))
	if err != nil {
		return fmt.Errorf("begin %s: %w", at, err)
	}
	defer t.Cleanup()
	if _, err := t.Write(f.Content); err != nil {
		return fmt.Errorf("write %s: %w", at, err)
	}
	if err := t.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("put %s in place: %w", at, err)
	}
	return nil
}

// makeFolders makes a folder and those above it, readable whatever the umask
// is, because networkd and udev don't run as root.
func makeFolders(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := makeFolders(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	return syncFolder(filepath.Dir(dir))
}

// syncFolder brings a folder's entries to the disk, so that changes get there
// in the order they were made.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	defer d.Close()
	// Some file systems have nothing to sync and say so.
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}
