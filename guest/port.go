package guest

import (
	"crypto/sha256"
	"fmt"
)

// longestPort is IFNAMSIZ without its final NUL.
const longestPort = 15

// Port returns the name of the guest's port on the bridge, the host's end of
// its link: "g-" and the guest's name or, where that is too long for the
// kernel, "g_", the first seven octets of the name, and the first three octets
// in hexadecimal of
//
//	SHA-256("sixhost guest port v1" || 0x00 || Name)
//
// Names have no underscore, so that no name gives a port of the other form.
// libvirt keeps the name as long as it does not begin with vnet, vif, macvtap
// or macvlan, which are its own to number.
func (g Guest) Port() string {
	if port := "g-" + g.Name; len(port) <= longestPort {
		return port
	}
	sum := sha256.Sum256([]byte("sixhost guest port v1\x00" + g.Name))
	return fmt.Sprintf("g_%s%x", g.Name[:7], sum[:3])
}
