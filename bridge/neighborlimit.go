package bridge

import (
	"strconv"
	"strings"
)

// The neighbour tables of IPv4 and IPv6 hold as many entries as gc_thresh3
// says, those of all interfaces and network namespaces together: the kernel has
// one table for all, and shows its limits in the initial namespace only.
const (
	// usualNeighbors is the kernel's own limit: what the rest of the machine has
	// to go by.
	usualNeighbors = 1024
	// neighborsPerGuest are a link-local and a stable address, the eight that a
	// guest with privacy addresses has in a week (RFC 8981, 3.8: a new one every
	// day, each valid for seven), and as many again that it had before it was
	// started anew.
	neighborsPerGuest = 16
)

// neighborLimits are the limits by name, in the kernel's own proportion: from
// the first on entries are collected, between the second and the third they
// stay for five seconds.
func neighborLimits(limit int) map[string]int {
	return map[string]int{"gc_thresh1": limit / 8, "gc_thresh2": limit / 2, "gc_thresh3": limit}
}

func neighborLimitKey(family, name string) string { return "net/" + family + "/neigh/default/" + name }

// neighborLimitKeys are the parameters that Capture reads.
func neighborLimitKeys() []string {
	var keys []string
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, name := range []string{"gc_thresh1", "gc_thresh2", "gc_thresh3"} {
			keys = append(keys, neighborLimitKey(family, name))
		}
	}
	return keys
}

// wantNeighbors raises the limits for a number of guests, and never lowers
// them. Those that are not seen from here are left.
func (s *State) wantNeighbors(there State, guests int) {
	if guests <= 0 {
		return
	}
	s.NeighborLimit = usualNeighbors + guests*neighborsPerGuest
	for name, limit := range neighborLimits(s.NeighborLimit) {
		for _, family := range []string{"ipv4", "ipv6"} {
			key := neighborLimitKey(family, name)
			v, ok := there.Sysctls[key]
			if !ok {
				continue
			}
			wanted := limit
			if now, err := strconv.Atoi(v); err == nil {
				wanted = max(wanted, now)
			}
			s.Sysctls[key] = strconv.Itoa(wanted)
		}
	}
}

// raisedMeanwhile reports whether a limit is higher than was wanted. Somebody
// else needs it so. A captured state is another matter: it was so.
func raisedMeanwhile(key, now string, to State) bool {
	if to.Uptime == 0 && strings.Contains(key, "/neigh/default/gc_thresh") {
		have, err1 := strconv.Atoi(now)
		want, err2 := strconv.Atoi(to.Sysctls[key])
		return err1 == nil && err2 == nil && have > want
	}
	return false
}

// neighborsUnseen reports whether there is a wish that can't be served here.
func neighborsUnseen(from, to State) bool {
	_, seen := from.Sysctls[neighborLimitKey("ipv6", "gc_thresh3")]
	return to.NeighborLimit > usualNeighbors && !seen
}
