package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/sixhost/sixhost/internal/sysctl"
)

// entriesPerGuest is how many places in the kernel's IPv6 neighbour table a
// guest takes at most while it starts: itself at the host by its two addresses,
// the router at the guest by its two, and as many again for entries that
// are not collected yet.
const entriesPerGuest = 8

// neighbourLimits are the table's three thresholds, smallest first. They exist
// in the initial namespace only and hold for all namespaces together.
func neighbourLimits() []string {
	return []string{
		"net/ipv6/neigh/default/gc_thresh1",
		"net/ipv6/neigh/default/gc_thresh2",
		"net/ipv6/neigh/default/gc_thresh3",
	}
}

// raiseNeighbours makes room in the neighbour table for the largest number of
// guests, where there is too little. Where it may not, the sizes that don't fit
// are taken out of o. restore puts the limits back; it is never nil.
func raiseNeighbours(o *options) (restore func() error, notes []string, err error) {
	limits := neighbourLimits()
	restore = func() error { return nil }
	hard := limits[len(limits)-1]
	have, err := readNumber(hard)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return restore, []string{"the neighbour table's limits can't be seen from this network namespace; many guests may meet them"}, nil
	case err != nil:
		return restore, nil, err
	}
	need := o.neighbours()
	if have >= need {
		return restore, nil, nil
	}
	var before []string
	for _, l := range limits {
		v, err := sysctl.Read(l)
		if err != nil {
			return restore, nil, err
		}
		before = append(before, v)
	}
	if os.Geteuid() != 0 {
		return restore, leaveOut(o, have), nil
	}
	restore = func() error {
		var errs []error
		for i, l := range limits {
			if err := sysctl.Write(l, before[i]); err != nil {
				errs = append(errs, fmt.Errorf("put the neighbour table's limits back: %w", err))
			}
		}
		return errors.Join(errs...)
	}
	for i := len(limits) - 1; i >= 0; i-- {
		if err := sysctl.Write(limits[i], strconv.Itoa(need>>(len(limits)-1-i))); err != nil {
			if restoreErr := restore(); restoreErr != nil {
				return restore, nil, errors.Join(err, restoreErr)
			}
			return restore, leaveOut(o, have), nil
		}
	}
	return restore, []string{fmt.Sprintf("the neighbour table's limit was %d, and %d while this ran", have, need)}, nil
}

// neighbours is how many entries what is measured may take at a time. Where the
// table is full a guest does not find its router, and nothing of what it sends
// arrives.
func (o options) neighbours() int {
	need := 0
	if sizes := o.attached(); (o.wants(benchGuests) || o.wants(benchEdge)) && len(sizes) > 0 {
		need = entriesPerGuest * sizes[len(sizes)-1]
	}
	if o.wants(benchRA) || o.wants(benchRAPorts) {
		need = max(need, raEntries)
	}
	return need
}

// raEntries is room for the sources of several floods: those of a namespace that
// is gone stay for a while.
const raEntries = 16 * raSources

// leaveOut takes the sizes out of o that the table has no room for.
func leaveOut(o *options, have int) (notes []string) {
	o.most = max(1, have/entriesPerGuest)
	return []string{fmt.Sprintf("more than %d guests at once are left out: the kernel's neighbour table holds %d entries, and this user may not raise that", o.most, have)}
}

func readNumber(key string) (int, error) {
	v, err := sysctl.Read(key)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	return n, nil
}
