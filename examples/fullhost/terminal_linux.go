package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal tells a person's terminal from a pipe, a file or /dev/null.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
