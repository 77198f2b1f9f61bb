package fastpath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Table is what the programs know: the mappings, and what they counted. Its
// methods may be called from several goroutines.
type Table struct {
	guests, pools, counts *ebpf.Map
	origins               *ebpf.Map // nil without one
}

// Open opens the maps that Attach pinned.
func Open(dir string) (*Table, error) {
	t := &Table{origins: openOrigins(dir)}
	for name, m := range map[string]**ebpf.Map{programsMapGuests: &t.guests, programsMapPools: &t.pools, programsMapCounts: &t.counts} {
		var err error
		if *m, err = ebpf.LoadPinnedMap(filepath.Join(dir, name), nil); err != nil {
			t.Close()
			return nil, fmt.Errorf("open pinned map %s: %w", name, err)
		}
	}
	return t, nil
}

// Same reports whether both are of the same programs, and not of ones that were
// removed and made anew.
func (t *Table) Same(other *Table) bool {
	a, err := t.guests.Info()
	if err != nil {
		return false
	}
	b, err := other.guests.Info()
	if err != nil {
		return false
	}
	x, ok := a.ID()
	y, also := b.ID()
	return ok && also && x == y
}

// Close lets go of the maps.
func (t *Table) Close() error {
	return errors.Join(t.guests.Close(), t.pools.Close(), t.counts.Close(), t.origins.Close())
}

// The maps' values, as bpf/fastpath.c has them: an address, and the time of last
// use.
type (
	byGuest [8]byte
	byPool  [20]byte
)

// Put tells the programs of a mapping. One that they know already stays as it
// is. The error matches unix.E2BIG where they have no room for more.
func (t *Table) Put(guest, pool netip.Addr) error {
	g, p := guest.As16(), pool.As4()
	var toGuest byPool
	copy(toGuest[:], g[:])
	var toPool byGuest
	copy(toPool[:], p[:])
	// The way back first: an answer must find its guest.
	var have byPool
	if t.pools.Lookup(p, &have) != nil || [16]byte(have[:16]) != g {
		if err := t.pools.Put(p, toGuest); err != nil {
			return fmt.Errorf("map %s to %s: %w", pool, guest, err)
		}
	}
	var there byGuest
	if t.guests.Lookup(g, &there) != nil || [4]byte(there[:4]) != p {
		if err := t.guests.Put(g, toPool); err != nil {
			return fmt.Errorf("map %s to %s: %w", guest, pool, err)
		}
	}
	return nil
}

// Delete makes the programs forget a mapping.
func (t *Table) Delete(guest, pool netip.Addr) error {
	for _, err := range []error{t.guests.Delete(guest.As16()), t.pools.Delete(pool.As4()), t.uncharge(guest.As16())} {
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forget the mapping of %s to %s: %w", guest, pool, err)
		}
	}
	return nil
}

// LastUsed returns when the programs last used a mapping; the zero time for
// never.
func (t *Table) LastUsed(guest, pool netip.Addr) time.Time {
	var a byGuest
	var b byPool
	var last uint32
	if t.guests.Lookup(guest.As16(), &a) == nil {
		last = binary.NativeEndian.Uint32(a[4:])
	}
	if t.pools.Lookup(pool.As4(), &b) == nil {
		last = max(last, binary.NativeEndian.Uint32(b[16:]))
	}
	if last == 0 {
		return time.Time{}
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(int64(last)<<30 - now.Nano()))
}

// Mappings returns all that the programs know.
func (t *Table) Mappings() (map[netip.Addr]netip.Addr, error) {
	out := make(map[netip.Addr]netip.Addr)
	var g [16]byte
	var v byGuest
	it := t.guests.Iterate()
	for it.Next(&g, &v) {
		out[netip.AddrFrom16(g)] = netip.AddrFrom4([4]byte(v[:4]))
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read the mappings: %w", err)
	}
	return out, nil
}

// Counts returns what the programs counted so far.
func (t *Table) Counts() (Counts, error) {
	var out Counts
	for d, side := range []*[Outcomes]Count{&out.To4, &out.To6} {
		for o := range side {
			var cpus []Count
			if err := t.counts.Lookup(uint32(d*int(Outcomes)+o), &cpus); err != nil {
				return Counts{}, fmt.Errorf("read the counts: %w", err)
			}
			for _, c := range cpus {
				side[o].Packets += c.Packets
				side[o].Octets += c.Octets
			}
		}
	}
	return out, nil
}

// exists reports whether there is such a file.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
