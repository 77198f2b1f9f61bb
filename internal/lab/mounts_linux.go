package lab

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mountOwn gives the lab's mount namespace what must be its own. The notes tell
// what could not be had and is not strictly needed.
func mountOwn() (notes []string, err error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return nil, fmt.Errorf("mount a tmpfs on /run: %w", err)
	}
	if err := os.MkdirAll(NamesDir, 0o755); err != nil {
		return nil, fmt.Errorf("make folder for namespaces' names: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		// A container's masked /proc may not be uncovered by mounting another.
		notes = append(notes, fmt.Sprintf("no /proc of the lab's own (%v): process numbers in it are the outside's", err))
	}
	if err := unix.Mount("bpf", "/sys/fs/bpf", "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		notes = append(notes, fmt.Sprintf("no BPF file system (%v): programs can't be pinned", err))
	}
	return notes, nil
}
