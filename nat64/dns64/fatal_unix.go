//go:build unix

package dns64

import (
	"errors"
	"syscall"
)

// isFatal reports whether a socket's error will not go away.
func isFatal(err error) bool {
	return errors.Is(err, syscall.EBADF) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSOCK)
}
