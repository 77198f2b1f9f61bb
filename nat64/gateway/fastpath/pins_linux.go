package fastpath

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/nat64"
)

// Names of pins besides those of maps.
const (
	pinTo4   = "link_to4"
	pinTo6   = "link_to6"
	pinGiven = "link_given"
	pinAbout = "about"
)

// Found is what is pinned somewhere.
type Found struct {
	Settings
	// Attached says that both programs are where they belong: on the device and
	// the guests' link of this network namespace.
	Attached bool
}

// about is kept beside the programs.
type about struct {
	Settings
	Device    int `json:"device"`
	GuestLink int `json:"guest_link"`
	// Way is how the programs are held at links, see hook; for clsact, whose
	// filters don't tell where they are, with the network namespace.
	Way       string `json:"way"`
	Namespace uint64 `json:"namespace,omitempty"`
}

// Probe returns nil where a fast path can be pinned in dir, and else an error
// that matches ErrUnavailable and says what is missing.
func Probe(dir string) error {
	missing := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrUnavailable, fmt.Sprintf(format, args...))
	}
	at := dir
	for !exists(at) && at != filepath.Dir(at) {
		at = filepath.Dir(at)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return missing("look at %s: %v", at, err)
	}
	if st.Type != unix.BPF_FS_MAGIC {
		return missing("%s is not on a BPF file system (mount -t bpf bpf /sys/fs/bpf)", dir)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if errors.Is(err, unix.EPERM) {
		return missing("BPF is not permitted: it needs root of the initial user namespace, and a kernel that isn't locked down")
	}
	if err != nil {
		return missing("make a BPF map: %v", err)
	}
	m.Close()
	// Nothing but loading them tells whether this kernel takes the programs.
	o, err := load(Settings{Version: Version(), Prefix: nat64.WellKnown(), MTU6: 1500}, 1, 1, preferredWay(), nil)
	if err != nil {
		return missing("%v", err)
	}
	o.Close()
	return nil
}

// preferredWay is TCX where the kernel has it.
func preferredWay() string {
	// The loopback device is the first of every namespace.
	if _, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: ebpf.AttachTCXIngress}); err != nil {
		return wayClsact
	}
	return wayTCX
}

// Find returns what is pinned in dir, nil for nothing; the error matches
// ErrUnavailable where that is another network namespace's. device and guestLink are
// the indexes that they have in the calling thread's network namespace, 0 for
// none.
func Find(dir string, device, guestLink int) (*Found, error) {
	switch _, err := os.Lstat(dir); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, fs.ErrPermission):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for the fast path: %w", err)
	}
	a, err := readAbout(dir)
	another := err == nil && a.Way == wayClsact && a.Namespace != namespace()
	for _, h := range hooks(0, 0, nil) {
		another = another || foreign(filepath.Join(dir, h.pin), h.tcx())
	}
	if another {
		return nil, fmt.Errorf("%w: %s holds the programs of another network namespace", ErrUnavailable, dir)
	}
	if err != nil {
		// Something is there, and it is not whole.
		return &Found{}, nil
	}
	f := &Found{Settings: a.Settings}
	f.Attached = device != 0 && guestLink != 0 && a.Device == device && a.GuestLink == guestLink
	for _, h := range hooks(device, guestLink, nil) {
		f.Attached = f.Attached && h.attached(dir, a.Way)
	}
	return f, nil
}

// namespace is a number that the calling thread's network namespace has, and no
// other ever had; 0 where the kernel doesn't tell.
func namespace() uint64 {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	n, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0
	}
	return n
}

// Attach puts the programs in place, in the calling thread's network namespace,
// and pins them in dir. Over an earlier Attach it changes the programs without a
// gap, and keeps mappings and counts.
func Attach(dir string, s Settings, device, guestLink int) error {
	return attach(dir, s, device, guestLink, preferredWay())
}

func attach(dir string, s Settings, device, guestLink int, way string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the fast path's pins: %w", err)
	}
	// What is held in another way has to go first: after a new kernel there is
	// nothing, so nobody waits.
	if was, err := readAbout(dir); err == nil && was.Way != way {
		for _, h := range hooks(was.Device, was.GuestLink, nil) {
			if err := h.remove(dir); err != nil {
				return err
			}
		}
	}
	earlier := make(map[string]*ebpf.Map)
	defer func() {
		for _, m := range earlier {
			m.Close()
		}
	}()
	for _, name := range []string{programsMapGuests, programsMapPools, programsMapCounts} {
		if m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil); err == nil {
			earlier[name] = m
		}
	}
	o, err := load(s, device, guestLink, way, earlier)
	if err != nil {
		return err
	}
	defer o.Close()
	// What is there stays as it is unless the kernel takes the new programs. From
	// here on until all is in its place again, nothing says that it is.
	if err := unpin(dir, pinAbout); err != nil {
		return err
	}
	for name, m := range map[string]*ebpf.Map{programsMapGuests: o.Guests, programsMapPools: o.Pools, programsMapCounts: o.Counts} {
		if earlier[name] != nil {
			continue
		}
		if err := unpin(dir, name); err != nil {
			return err
		}
		if err := m.Pin(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
	}
	if err := keepOrigins(dir); err != nil {
		return err
	}
	for _, h := range hooks(device, guestLink, o) {
		if err := h.place(dir, way); err != nil {
			return err
		}
	}
	about := about{Settings: s, Device: device, GuestLink: guestLink, Way: way}
	if way == wayClsact {
		about.Namespace = namespace()
	}
	return writeAbout(dir, about)
}

// Detach takes the programs away, and removes all pins and dir itself. Programs
// at clsact go if they are in the calling thread's network namespace.
func Detach(dir string) error {
	var errs []error
	// Without it the links are unknown; those of TCX say themselves where they are.
	was, _ := readAbout(dir)
	if was.Way == wayClsact && was.Namespace != namespace() {
		was.Device, was.GuestLink = 0, 0
	}
	for _, h := range slices.Backward(hooks(was.Device, was.GuestLink, nil)) {
		errs = append(errs, h.remove(dir))
	}
	for _, name := range []string{pinAbout, programsMapGuests, programsMapPools, programsMapCounts, pinOrigins} {
		errs = append(errs, unpin(dir, name))
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("remove the folder of the fast path's pins: %w", err))
	}
	return errors.Join(errs...)
}

func unpin(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove pin %s: %w", name, err)
	}
	return nil
}

// A map is the only kind of file that a BPF file system has for us to write in.
func writeAbout(dir string, a about) error {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("describe the fast path: %w", err)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: pinAbout, Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(b)), MaxEntries: 1})
	if err != nil {
		return fmt.Errorf("make map %s: %w", pinAbout, err)
	}
	defer m.Close()
	if err := m.Put(uint32(0), b); err != nil {
		return fmt.Errorf("write map %s: %w", pinAbout, err)
	}
	if err := m.Pin(filepath.Join(dir, pinAbout)); err != nil {
		return fmt.Errorf("pin map %s: %w", pinAbout, err)
	}
	return nil
}

func readAbout(dir string) (a about, err error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, pinAbout), nil)
	if err != nil {
		return about{}, fmt.Errorf("open pinned map %s: %w", pinAbout, err)
	}
	defer m.Close()
	b, err := m.LookupBytes(uint32(0))
	if err != nil {
		return about{}, fmt.Errorf("read map %s: %w", pinAbout, err)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return about{}, fmt.Errorf("read map %s: %w", pinAbout, err)
	}
	return a, nil
}
