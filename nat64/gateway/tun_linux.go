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
// network namespace, and makes the device if there is none. Packets come with
// the driver's header, and checksums and segments left for later, as far as the
// kernel can.
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
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("attach to TUN device %s: %w", name, err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetLen); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set the header's length on TUN device %s: %w", name, err)
	}
	if err := setOffloads(fd); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set offloads of TUN device %s: %w", name, err)
	}
	return fd, nil
}

// What a reader of the device can take (TUN_F_* of linux/if_tun.h).
const (
	takesPartial  = 0x01
	takesTCP4     = 0x02
	takesTCP6     = 0x04
	takesECN      = 0x08
	takesSegments = 0x20 | 0x40 // UDP of either family, since Linux 6.2
)

// setOffloads asks for packets of several segments: UDP too where the kernel
// knows how.
func setOffloads(fd int) error {
	const all = takesPartial | takesTCP4 | takesTCP6 | takesECN
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, all|takesSegments); err == nil {
		return nil
	}
	return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, all)
}
