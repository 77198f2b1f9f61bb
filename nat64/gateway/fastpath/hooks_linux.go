package fastpath

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nldump"
)

// How programs are held at a link.
const (
	wayTCX    = "tcx"    // Linux 6.6 and later
	wayClsact = "clsact" // before: filters of the qdisc clsact
)

// hook is a place where a program belongs.
type hook struct {
	pin     string // of what holds it there
	index   int    // of the link
	egress  bool
	program *ebpf.Program // that belongs there; nil where only the place matters
}

// hooks lists all places, in the order in which they are filled: the ways to the
// guests first, so that no answer to what the last one lets out takes longer than
// it has to.
func hooks(device, guestLink int, o *programsObjects) []hook {
	all := []hook{
		{pin: pinTo6, index: device, egress: true},
		{pin: pinGiven, index: device},
		{pin: pinTo4, index: guestLink},
	}
	if o != nil {
		all[0].program, all[1].program, all[2].program = o.To6, o.Given, o.To4
	}
	return all
}

func (h hook) tcx() ebpf.AttachType {
	if h.egress {
		return ebpf.AttachTCXEgress
	}
	return ebpf.AttachTCXIngress
}

// attached reports whether what is pinned in dir holds a program at the hook, in
// the calling thread's network namespace.
func (h hook) attached(dir, way string) bool {
	if way == wayClsact {
		return h.filtered(dir)
	}
	return linked(filepath.Join(dir, h.pin), h.index, h.tcx())
}

// place makes the program of the hook run there, instead of the one that does.
func (h hook) place(dir, way string) error {
	if way == wayClsact {
		return h.placeFilter(dir)
	}
	return h.placeLink(dir)
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
	return !linked(pin, int(info.TCX().Ifindex), at)
}

// linked reports whether the pinned link's program is at a device of this
// network namespace; another's may have the same index.
func linked(pin string, index int, at ebpf.AttachType) bool {
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

func (h hook) placeLink(dir string) error {
	pin := filepath.Join(dir, h.pin)
	if linked(pin, h.index, h.tcx()) {
		l, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			return fmt.Errorf("open pinned link %s: %w", h.pin, err)
		}
		defer l.Close()
		if err := l.Update(h.program); err != nil {
			return fmt.Errorf("change the program of %s: %w", h.pin, err)
		}
		return nil
	}
	if err := unpin(dir, h.pin); err != nil {
		return err
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: h.index, Program: h.program, Attach: h.tcx()})
	if err != nil {
		return fmt.Errorf("attach the program of %s: %w", h.pin, err)
	}
	defer l.Close()
	if err := l.Pin(pin); err != nil {
		return fmt.Errorf("pin link %s: %w", h.pin, err)
	}
	return nil
}

// Where the filters stand among others of clsact, and what they are called.
const (
	filterPriority = 0x6464
	filterHandle   = 0x64
	filterName     = "sixhost_nat64"
)

func (h hook) parent() uint32 {
	if h.egress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

// filter returns the filter at our place, nil for none.
func (h hook) filter(n *netlink.Handle) (*netlink.BpfFilter, error) {
	l, err := n.LinkByIndex(h.index)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find link %d: %w", h.index, err)
	}
	all, err := nldump.Retry(func() ([]netlink.Filter, error) { return n.FilterList(l, h.parent()) })
	if err != nil {
		return nil, fmt.Errorf("list filters of %s: %w", l.Attrs().Name, err)
	}
	for _, f := range all {
		if a := f.Attrs(); a.Priority != filterPriority || a.Handle != filterHandle {
			continue
		}
		// The kernel shows the name with what the program is called in brackets.
		if b, ok := f.(*netlink.BpfFilter); ok && (b.Name == filterName || len(b.Name) > len(filterName) && b.Name[:len(filterName)+1] == filterName+":") {
			return b, nil
		}
		return nil, fmt.Errorf("priority %#x, handle %#x of the filters of %s is somebody else's", filterPriority, filterHandle, l.Attrs().Name)
	}
	return nil, nil
}

// filtered reports whether the pinned program is at our place.
func (h hook) filtered(dir string) bool {
	p, err := ebpf.LoadPinnedProgram(filepath.Join(dir, h.pin), nil)
	if err != nil {
		return false
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return false
	}
	n, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return false
	}
	defer n.Close()
	f, err := h.filter(n)
	if err != nil || f == nil {
		return false
	}
	id, ok := info.ID()
	return ok && f.Id == int(id)
}

// placeFilter changes the filter as one; that and not the pin keeps the program.
// The pin tells which one is ours.
func (h hook) placeFilter(dir string) error {
	n, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer n.Close()
	qdisc := &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: h.index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
		QdiscType:  wayClsact,
	}
	// It may be somebody else's, and stays in any case.
	if err := n.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact for %s: %w", h.pin, err)
	}
	if _, err := h.filter(n); err != nil {
		return fmt.Errorf("attach the program of %s: %w", h.pin, err)
	}
	f := &netlink.BpfFilter{
		FilterAttrs:  netlink.FilterAttrs{LinkIndex: h.index, Parent: h.parent(), Handle: filterHandle, Protocol: unix.ETH_P_ALL, Priority: filterPriority},
		Fd:           h.program.FD(),
		Name:         filterName,
		DirectAction: true,
	}
	if err := n.FilterReplace(f); err != nil {
		return fmt.Errorf("attach the program of %s: %w", h.pin, err)
	}
	if err := unpin(dir, h.pin); err != nil {
		return err
	}
	if err := h.program.Pin(filepath.Join(dir, h.pin)); err != nil {
		return fmt.Errorf("pin program %s: %w", h.pin, err)
	}
	return nil
}

// remove takes away what is pinned for the hook, from wherever it is. index 0
// stands for a link that is not known, or gone with its filters.
func (h hook) remove(dir string) error {
	// A link that somebody else holds open too would stay attached.
	if l, err := link.LoadPinnedLink(filepath.Join(dir, h.pin), nil); err == nil {
		err = l.Detach()
		l.Close()
		if err != nil && !errors.Is(err, unix.ENOLINK) {
			return fmt.Errorf("detach %s: %w", h.pin, err)
		}
	}
	if h.index != 0 && h.filtered(dir) {
		n, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("open netlink: %w", err)
		}
		defer n.Close()
		f := &netlink.BpfFilter{FilterAttrs: netlink.FilterAttrs{LinkIndex: h.index, Parent: h.parent(), Handle: filterHandle, Protocol: unix.ETH_P_ALL, Priority: filterPriority}, Fd: -1}
		if err := n.FilterDel(f); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("remove the filter of %s: %w", h.pin, err)
		}
	}
	return unpin(dir, h.pin)
}
