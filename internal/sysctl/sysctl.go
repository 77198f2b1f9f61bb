// Package sysctl reads and writes kernel parameters under /proc/sys, those of
// the calling thread's network namespace where they have one.
//
// Keys are paths below /proc/sys with slashes, "net/ipv6/conf/eth0.4000/forwarding",
// because interface names may contain dots.
package sysctl

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Read returns a parameter without the line's end. The error matches
// fs.ErrNotExist where the kernel or namespace lacks it.
func Read(key string) (string, error) {
	b, err := os.ReadFile(path(key))
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", key, err)
	}
	return strings.TrimRight(string(b), "\n"), nil
}

// Write sets a parameter.
func Write(key, value string) error {
	if err := os.WriteFile(path(key), []byte(value), 0); err != nil {
		return fmt.Errorf("write sysctl %s = %s: %w", key, value, err)
	}
	return nil
}

func path(key string) string { return filepath.Join("/proc/sys", filepath.FromSlash(key)) }
