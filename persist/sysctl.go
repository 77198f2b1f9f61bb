package persist

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/bridge"
)

// sysctlConf is the file for sysctl.d(5). Keys keep their slashes, which that
// format allows and which interface names with dots need. Those of interfaces
// that don't exist yet are set by udev when they appear. How the bridge makes
// its link-local address is left to networkd, whose file says it and who sets it.
func sysctlConf(s bridge.State) []byte {
	always, ifThere := s.BootSysctls()
	delete(always, "net/ipv6/conf/"+s.Bridge+"/addr_gen_mode")
	var b strings.Builder
	b.WriteString(header)
	for _, key := range slices.Sorted(maps.Keys(always)) {
		fmt.Fprintf(&b, "%s = %s\n", key, always[key])
	}
	for _, key := range slices.Sorted(maps.Keys(ifThere)) {
		// The hyphen has failures ignored.
		fmt.Fprintf(&b, "-%s = %s\n", key, ifThere[key])
	}
	return []byte(b.String())
}
