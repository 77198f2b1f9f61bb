//go:build unix

package proxy

import (
	"io"
	"syscall"
)

// step waits until there is something to read, without holding a buffer
// meanwhile, and passes it on.
func (d *direction) step() (int, error) {
	raw, err := d.src.SyscallConn()
	if err != nil {
		return 0, err
	}
	var buf *[bufferSize]byte
	var n int
	var readErr error
	err = raw.Read(func(fd uintptr) bool {
		if buf == nil {
			buf = d.buffers.take()
		}
		for {
			n, readErr = syscall.Read(int(fd), buf[:])
			if readErr != syscall.EINTR {
				break
			}
		}
		if readErr == syscall.EAGAIN {
			d.buffers.give(buf)
			buf = nil
			return false
		}
		return true
	})
	if buf == nil {
		return 0, err // deadline, or closed
	}
	defer d.buffers.give(buf)
	switch {
	case err != nil:
		return 0, err
	case readErr != nil:
		return 0, readErr
	case n == 0:
		return 0, io.EOF
	}
	return n, d.write(buf[:n])
}
