package gateway

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// tunPath is the TUN driver's device file.
const tunPath = "/dev/net/tun"

// openTun opens a queue of the named layer-3 device in the calling thread's
// network namespace, and makes the device if there is none. Packets come
// without a header of the driver's (IFF_NO_PI).
func openTun(name string) (int, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
			return -1, fmt.Errorf("open %s: %w (is the kernel module tun there?)", tunPath, err)
		}
		return -1, fmt.Errorf("open %s: %w", tunPath, err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("name TUN device %q: %w", name, err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("attach to TUN device %s: %w", name, err)
	}
	return fd, nil
}
