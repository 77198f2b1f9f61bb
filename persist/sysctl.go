package persist

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

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
