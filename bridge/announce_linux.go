package bridge

import (
	"errors"
	"io/fs"

	"github.com/sixhost/sixhost/internal/sysctl"
)

// announced makes a change of a link's MAC, of which the kernel tells the
// neighbours then: they would send to the old one until they doubt it, which
// takes them half a minute.
func announced(link string, change func() error) (err error) {
	for _, key := range []string{"net/ipv4/conf/" + link + "/arp_notify", "net/ipv6/conf/" + link + "/ndisc_notify"} {
		before, readErr := sysctl.Read(key)
		switch {
		case errors.Is(readErr, fs.ErrNotExist):
			continue // no IPv6 here
		case readErr != nil:
			return readErr
		}
		if err := sysctl.Write(key, "1"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sysctl.Write(key, before)) }()
	}
	return change()
}
