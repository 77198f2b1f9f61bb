package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Root is an installed Debian that disks are made from.
type Root struct {
	dir string
}

// The Debian that is installed.
const (
	suite  = "bookworm"
	mirror = "http://deb.debian.org/debian"
)

// packages are more than the least system has.
func packages() []string {
	return []string{"dbus", "initramfs-tools", "iproute2", "kmod", "linux-image-cloud-amd64", "netplan.io", "nftables", "systemd-sysv", "udev"}
}

// hooks are shell commands that mmdebstrap runs with the new root's path as $1.
// None of them says anything about the network but that networkd serves it.
func hooks() []string {
	return []string{
		// The file system and the serial port are built into Debian's kernel, the
		// disk is not.
		`--essential-hook=mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/initramfs-tools/hooks"`,
		`--essential-hook=printf 'MODULES=list\nCOMPRESS=gzip\nFSTYPE=ext4\n' >"$1/etc/initramfs-tools/conf.d/vm"`,
		`--essential-hook=printf '#!/bin/sh\n[ "$1" = prereqs ] && exit\n. /usr/share/initramfs-tools/hook-functions\nmanual_add_modules virtio_pci virtio_blk\n' >"$1/etc/initramfs-tools/hooks/vm"`,
		`--essential-hook=chmod 0755 "$1/etc/initramfs-tools/hooks/vm"`,
		`--customize-hook=chroot "$1" systemctl enable systemd-networkd.service`,
		// What only takes time here.
		`--customize-hook=chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer getty@tty1.service serial-getty@ttyS0.service systemd-pstore.service`,
		`--customize-hook=chroot "$1" systemd-machine-id-setup`,
	}
}

// NewRoot installs the Debian below a folder, or finds it there.
func NewRoot(ctx context.Context, cache string) (*Root, error) {
	return install(ctx, cache, packages())
}

// install installs a Debian with packages.
func install(ctx context.Context, cache string, packages []string) (*Root, error) {
	args := append([]string{"--mode=root", "--variant=minbase", "--format=directory", "--quiet",
		"--include=" + strings.Join(packages, ","),
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
	}, hooks()...)
	sum := sha256.Sum256([]byte(strings.Join(append(args, suite, mirror), "\n")))
	dir := filepath.Join(cache, "root-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return &Root{dir}, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for a root file system: %w", err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("make root file system: %w", err)
	}
	// Whoever installs at the same time has a folder of his own, and the first
	// rename wins.
	work, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return nil, fmt.Errorf("make root file system: %w", err)
	}
	defer os.RemoveAll(work)
	made := filepath.Join(work, "root")
	if err := command(ctx, "mmdebstrap", append(args, suite, made, mirror)...); err != nil {
		return nil, fmt.Errorf("install Debian %s: %w", suite, err)
	}
	if err := os.Rename(made, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("keep root file system: %w", err)
	}
	return &Root{dir}, nil
}

// File is a file that a machine's disk gets.
type File struct {
	Mode    fs.FileMode
	Content []byte
	// From is a file here whose content it has, in place of Content.
	From string
	// Target makes it a symbolic link.
	Target string
}

// disk makes a disk of the root file system with the given files, by their
// paths.
func (r *Root) disk(ctx context.Context, image, size string, files map[string]File) error {
	// Hard links cost neither time nor space, and files are only ever replaced.
	work, err := os.MkdirTemp(filepath.Dir(r.dir), "disk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	tree := filepath.Join(work, "root")
	if err := command(ctx, "cp", "-al", r.dir, tree); err != nil {
		return err
	}
	for name, f := range files {
		if err := f.put(filepath.Join(tree, name)); err != nil {
			return fmt.Errorf("put %s on the disk: %w", name, err)
		}
	}
	return command(ctx, "mke2fs", "-q", "-t", "ext4", "-d", tree, image, size)
}

func (f File) put(at string) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f.Target != "" {
		return os.Symlink(f.Target, at)
	}
	content := f.Content
	if f.From != "" {
		var err error
		if content, err = os.ReadFile(f.From); err != nil {
			return err
		}
	}
	if err := os.WriteFile(at, content, 0o600); err != nil {
		return err
	}
	return os.Chmod(at, f.Mode)
}

// boot returns the kernel and its initial RAM disk.
func (r *Root) boot() (kernel, initrd string, err error) {
	for _, f := range []struct {
		at      *string
		pattern string
	}{{&kernel, "vmlinuz-*"}, {&initrd, "initrd.img-*"}} {
		found, err := filepath.Glob(filepath.Join(r.dir, "boot", f.pattern))
		if err != nil {
			return "", "", err
		}
		if len(found) != 1 {
			return "", "", fmt.Errorf("%s has %d files %s", r.dir, len(found), f.pattern)
		}
		*f.at = found[0]
	}
	return kernel, initrd, nil
}

// command runs a program to its end; its error has what it said.
func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out.Bytes())
	}
	return nil
}
