package persist

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// sysctlConf is the file for sysctl.d(5). Keys keep their slashes, which that
// format allows and which interface names with dots need. Those of interfaces
// that don't exist yet are set by udev when they appear. How the bridge makes
// its link-local address is left to networkd, whose file says it and who sets it.
func sysctlConf(values map[string]string, bridge string) []byte {
	var b strings.Builder
	b.WriteString(header)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if key == "net/ipv6/conf/"+bridge+"/addr_gen_mode" {
			continue
		}
		fmt.Fprintf(&b, "%s = %s\n", key, values[key])
	}
	return []byte(b.String())
}
