// Package nldump repeats netlink dumps that something changed under.
package nldump

import (
	"errors"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attempts are how often a dump is tried. One that never holds still is an error.
const attempts = 10

// Retry returns what a dump gives. One that the kernel says changed under it
// (NLM_F_DUMP_INTR), or that a signal cut short, is no picture, and is made again.
func Retry[T any](dump func() (T, error)) (v T, err error) {
	for range attempts {
		if v, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			return v, err
		}
	}
	return v, err
}
