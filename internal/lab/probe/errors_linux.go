package probe

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// classify adds the sentinel that says how nothing came of it.
func classify(err error) error {
	var no unix.Errno
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	case errors.As(err, &no) && isRefusal(no):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// isRefusal tells the errors that the kernel makes of ICMP errors and TCP
// resets; EACCES is ICMPv6 "administratively prohibited".
func isRefusal(no unix.Errno) bool {
	switch no {
	case unix.ECONNREFUSED, unix.ECONNRESET, unix.EACCES, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.EPROTO, unix.ENOPROTOOPT, unix.EOPNOTSUPP:
		return true
	}
	return false
}
