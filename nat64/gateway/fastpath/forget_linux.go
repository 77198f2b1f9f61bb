package fastpath

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Keep makes the programs forget all mappings but those that keep reports true
// for.
func (t *Table) Keep(keep func(guest, pool netip.Addr) bool) error {
	var gone [][16]byte
	var g [16]byte
	var toPool byGuest
	it := t.guests.Iterate()
	for it.Next(&g, &toPool) {
		if !keep(netip.AddrFrom16(g), netip.AddrFrom4([4]byte(toPool[:4]))) {
			gone = append(gone, g)
		}
	}
	errs := []error{it.Err()}
	var free [][4]byte
	var p [4]byte
	var toGuest byPool
	it = t.pools.Iterate()
	for it.Next(&p, &toGuest) {
		if !keep(netip.AddrFrom16([16]byte(toGuest[:16])), netip.AddrFrom4(p)) {
			free = append(free, p)
		}
	}
	errs = append(errs, it.Err())
	for _, g := range gone {
		errs = append(errs, t.guests.Delete(g), t.uncharge(g))
	}
	for _, p := range free {
		errs = append(errs, t.pools.Delete(p))
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forget mappings: %w", err)
		}
	}
	return nil
}

// Disarm makes the programs pinned in dir forget all mappings, so that they leave
// every packet to the portable path, if they are those of the device and the
// guests' link with these indexes in the calling thread's network namespace, 0
// for none, or were. It is for programs that can't be used as they are: for a
// prefix that is not wanted any more, or that lead to a link which has been made
// anew. Those of other links, and of other network namespaces, go on.
func Disarm(dir string, device, guestLink int) error {
	// Filters have no links that say where they are; the folder does.
	if was, err := readAbout(dir); err == nil && was.Way == wayClsact && (was.Namespace != namespace() || was.Device != device) {
		return nil
	}
	to4, to6 := filepath.Join(dir, pinTo4), filepath.Join(dir, pinTo6)
	if foreign(to4, ebpf.AttachTCXIngress) || foreign(to6, ebpf.AttachTCXEgress) {
		return nil
	}
	// The device is one gateway's alone; several may be on one guests' link.
	switch at := target(to6); {
	case at != 0 && at == device:
	case at != 0:
		return nil
	default:
		if at := target(to4); at != 0 && at != guestLink {
			return nil
		}
	}
	t, err := Open(dir)
	if err != nil {
		return err
	}
	defer t.Close()
	return t.Keep(func(netip.Addr, netip.Addr) bool { return false })
}

// target is the index of the device that the pinned link's program is at, 0 if
// that device, or the pin, is gone.
func target(pin string) int {
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return 0
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil || info.TCX() == nil {
		return 0
	}
	return int(info.TCX().Ifindex)
}
