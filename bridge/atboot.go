package bridge

import (
	"maps"
	"slices"
)

// BootSysctls are the parameters that the files of the next boot are to hold, by
// their path below /proc/sys. Those of ifThere are about what a kernel may not
// have, or not have yet when the files are read.
//
// They follow from what is wanted, not from what the machine had when it was
// looked at, so that the files stay the same. Two of Sysctls depend on it:
// br_netfilter's parameters exist while that is loaded, which may come later.
// And the limits of the neighbour tables are never lowered: a file can't say
// that, so it must be left to whoever runs the plan at boot.
func (s State) BootSysctls() (always, ifThere map[string]string) {
	always = maps.Clone(s.Sysctls)
	maps.DeleteFunc(always, func(key, _ string) bool {
		return slices.Contains(neighborLimitKeys(), key)
	})
	ifThere = make(map[string]string)
	for _, key := range netfilterKeys() {
		delete(always, key)
		ifThere[key] = "0"
	}
	return always, ifThere
}
