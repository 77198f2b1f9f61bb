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
	// The loopback device is the first of every namespace.
	if _, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: ebpf.AttachTCXIngress}); err != nil {
		return missing("the kernel has no TCX, which came with Linux 6.6: %v", err)
	}
	// Nothing but loading them tells whether this kernel takes the programs.
	o, err := load(Settings{Version: Version(), Prefix: nat64.WellKnown(), MTU6: 1500}, 1, 1, nil)
	if err != nil {
		return missing("%v", err)
	}
	o.Close()
	return nil
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
	for name, at := range map[string]ebpf.AttachType{pinTo4: ebpf.AttachTCXIngress, pinTo6: ebpf.AttachTCXEgress} {
		if foreign(filepath.Join(dir, name), at) {
			return nil, fmt.Errorf("%w: %s holds the programs of another network namespace", ErrUnavailable, dir)
		}
	}
	a, err := readAbout(dir)
	if err != nil {
		// Something is there, and it is not whole.
		return &Found{}, nil
	}
	f := &Found{Settings: a.Settings}
	f.Attached = device != 0 && guestLink != 0 && a.Device == device && a.GuestLink == guestLink &&
		attached(filepath.Join(dir, pinTo4), guestLink, ebpf.AttachTCXIngress) &&
		attached(filepath.Join(dir, pinTo6), device, ebpf.AttachTCXEgress)
	return f, nil
}

// foreign reports whether the pinned link is at a device of another network
// namespace. One whose device is gone is nobody's.
func foreign(pin string, at ebpf.AttachType) bool {
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return false
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil || info.TCX() == nil || info.TCX().Ifindex == 0 {
		return false
	}
	return !attached(pin, int(info.TCX().Ifindex), at)
}

// attached reports whether the pinned link's program is at a device of this
// network namespace; another's may have the same index.
func attached(pin string, index int, at ebpf.AttachType) bool {
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return false
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil || info.TCX() == nil || int(info.TCX().Ifindex) != index {
		return false
	}
	q, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: at})
	if err != nil {
		return false
	}
	return slices.ContainsFunc(q.Programs, func(p link.AttachedProgram) bool {
		id, ok := p.LinkID()
		return ok && id == info.ID
	})
}

// Attach puts the programs in place, in the calling thread's network namespace,
// and pins them in dir. Over an earlier Attach it changes the programs without a
// gap, and keeps mappings and counts.
func Attach(dir string, s Settings, device, guestLink int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the fast path's pins: %w", err)
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
	o, err := load(s, device, guestLink, earlier)
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
	// The way to the guests first, so that no answer to what the other lets out
	// takes longer than it has to.
	if err := place(dir, pinTo6, o.To6, device, ebpf.AttachTCXEgress); err != nil {
		return err
	}
	if err := place(dir, pinTo4, o.To4, guestLink, ebpf.AttachTCXIngress); err != nil {
		return err
	}
	return writeAbout(dir, about{s, device, guestLink})
}

// place makes the pinned link run the program.
func place(dir, name string, p *ebpf.Program, index int, at ebpf.AttachType) error {
	pin := filepath.Join(dir, name)
	if attached(pin, index, at) {
		l, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			return fmt.Errorf("open pinned link %s: %w", name, err)
		}
		defer l.Close()
		if err := l.Update(p); err != nil {
			return fmt.Errorf("change the program of %s: %w", name, err)
		}
		return nil
	}
	if err := unpin(dir, name); err != nil {
		return err
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: p, Attach: at})
	if err != nil {
		return fmt.Errorf("attach the program of %s: %w", name, err)
	}
	defer l.Close()
	if err := l.Pin(pin); err != nil {
		return fmt.Errorf("pin link %s: %w", name, err)
	}
	return nil
}

// Detach takes the programs away, and removes all pins and dir itself.
func Detach(dir string) error {
	var errs []error
	for _, name := range []string{pinAbout, pinTo4, pinTo6, programsMapGuests, programsMapPools, programsMapCounts, pinOrigins} {
		pin := filepath.Join(dir, name)
		// A link that somebody else holds open too would stay attached.
		if l, err := link.LoadPinnedLink(pin, nil); err == nil {
			if err := l.Detach(); err != nil && !errors.Is(err, unix.ENOLINK) {
				errs = append(errs, fmt.Errorf("detach %s: %w", name, err))
			}
			l.Close()
		}
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
