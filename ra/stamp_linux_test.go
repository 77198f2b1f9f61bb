package ra

import (
	"errors"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nstest"
)

// stampArrivals notes, from its return on, when advertisements arrive at the
// guest: the time is the kernel's, which takes it while the router sends, however
// late somebody reads. The function returned gives those since its last call.
func (n *testNet) stampArrivals(t *testing.T) func() []time.Time {
	t.Helper()
	fd := -1
	nstest.Do(t, n.guest, func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6); err != nil {
			return err
		}
		var only unix.ICMPv6Filter
		for i := range only.Data {
			only.Data[i] = ^uint32(0)
		}
		only.Data[typeAdvertisement>>5] &^= 1 << (typeAdvertisement & 31)
		return errors.Join(
			unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &only),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
	})
	t.Cleanup(func() { unix.Close(fd) })
	return func() (all []time.Time) {
		b, oob := make([]byte, longestMessage), make([]byte, 256)
		for {
			_, k, _, _, err := unix.Recvmsg(fd, b, oob, 0)
			if errors.Is(err, unix.EAGAIN) {
				return all
			}
			if err != nil {
				t.Fatalf("receive an advertisement: %v", err)
			}
			messages, err := unix.ParseSocketControlMessage(oob[:k])
			if err != nil {
				t.Fatalf("read the time of an advertisement: %v", err)
			}
			for _, m := range messages {
				if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
					ts := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
					all = append(all, time.Unix(ts.Unix()))
				}
			}
		}
	}
}
