package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// tunPath is the TUN driver's device file.
const tunPath = "/dev/net/tun"

// openTun opens a queue of the named layer-3 device in the calling thread's
// network namespace, and makes the device if there is none. Packets come with
// the driver's header, and checksums and segments left for later, as far as the
// kernel can.
func openTun(name string) (int, error) {
	fd, _, err := openQueue(name)
	return fd, err
}

// openQueue says besides whether the device takes UDP to be segmented.
func openQueue(name string) (fd int, segments bool, err error) {
	fd, err = unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
			return -1, false, fmt.Errorf("open %s: %w (is the kernel module tun there?)", tunPath, err)
		}
		return -1, false, fmt.Errorf("open %s: %w", tunPath, err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return -1, false, fmt.Errorf("name TUN device %q: %w", name, err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return -1, false, fmt.Errorf("attach to TUN device %s: %w", name, err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetLen); err != nil {
		unix.Close(fd)
		return -1, false, fmt.Errorf("set the header's length on TUN device %s: %w", name, err)
	}
	if segments, err = setOffloads(fd); err != nil {
		unix.Close(fd)
		return -1, false, fmt.Errorf("set offloads of TUN device %s: %w", name, err)
	}
	return fd, segments, nil
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
func setOffloads(fd int) (segments bool, err error) {
	const all = takesPartial | takesTCP4 | takesTCP6 | takesECN
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, all|takesSegments); err == nil {
		return true, nil
	}
	return false, unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, all)
}

// tun is a queue's end of the device. The runtime's poller waits for it.
type tun struct {
	*os.File
	raw syscall.RawConn
}

func newTun(fd int, name string) (*tun, error) {
	f := os.NewFile(uintptr(fd), name)
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read from %s: %w", name, err)
	}
	return &tun{f, raw}, nil
}

var _ device = (*tun)(nil)

// Read implements device.
func (t *tun) Read(p []byte, idle func()) (n int, err error) {
	waitErr := t.raw.Read(func(fd uintptr) bool {
		for {
			n, err = unix.Read(int(fd), p)
			switch err {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				idle()
				return false
			}
			return true
		}
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return n, err
}
