package lab

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// errElsewhere answers what needs the server's node where there is none.
var errElsewhere = errors.New("the server is not a node of this lab")

// Wire is the far side of the provider's port where the server is elsewhere, nil
// otherwise. A read gives one frame that the provider sends, a write hands in one
// that the server sends, both whole and with their checksums in place. The lab
// closes it.
func (l *Lab) Wire() *os.File { return l.wire }

// openPort makes the provider's port a tap device, whose far side is a file.
func (l *Lab) openPort() error {
	p := l.nodes[Provider]
	fd := -1
	err := p.Do(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		req, err := unix.NewIfreq(Port)
		if err != nil {
			return err
		}
		// Without offloads, which a tap has only on request, every frame is whole.
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	})
	if fd >= 0 {
		l.wire = os.NewFile(uintptr(fd), "wire of "+Port)
	}
	if err != nil {
		return fmt.Errorf("make %s of %s: %w", Port, Provider, err)
	}
	if l.cfg.Provider == OnLink {
		return nil // the router's MAC is that of the segment
	}
	port, err := p.link(Port)
	if err != nil {
		return err
	}
	if err := p.nl.LinkSetHardwareAddr(port, hardware(ProviderMAC())); err != nil {
		return fmt.Errorf("set MAC of %s of %s: %w", Port, Provider, err)
	}
	return nil
}
