package persist

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/bridge"
)

// bootSysctls are a network's sysctls but for one that networkd sets by itself:
// it is told to have the kernel make the bridge's link-local address. Settings
// that are loaded once more would leave a bridge that comes up again without.
func bootSysctls(s bridge.State) map[string]string {
	values := maps.Clone(s.Sysctls)
	delete(values, "net/ipv6/conf/"+s.Bridge+"/addr_gen_mode")
	return values
}

// sysctlConf is the file for sysctl.d(5). Keys keep their slashes, which that
// format allows and which interface names with dots need. Those of interfaces
// that don't exist yet are set by udev when they appear.
func sysctlConf(values map[string]string) []byte {
	var b strings.Builder
	b.WriteString(header)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s = %s\n", key, values[key])
	}
	return []byte(b.String())
}
