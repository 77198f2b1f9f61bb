package bridge

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// TestOrderSurvivesACut: the addresses of a link are removed up to some point,
// those that are missing are added again, and the kernel lists them as before.
func TestOrderSurvivesACut(t *testing.T) {
	var list []Addr
	for _, p := range []string{"203.0.113.10/32", "203.0.113.77/32", "198.51.100.9/29", "2001:db8::4/64", "2001:db8::1/64", "2001:db8::9/64", "fe80::1/64"} {
		list = append(list, Addr{Link: "enp2s0", Prefix: netip.MustParsePrefix(p), Preferred: Forever, Valid: Forever})
	}
	// The kernel appends IPv4 addresses, and puts an IPv6 one before those of its
	// scope or a wider one (ipv6_link_dev_addr).
	insert := func(there []Addr, a Addr) []Addr {
		at := len(there)
		for i, o := range there {
			six := a.Prefix.Addr().Is6()
			if six && o.Prefix.Addr().Is6() && (o.Prefix.Addr().IsLinkLocalUnicast() || !a.Prefix.Addr().IsLinkLocalUnicast()) || !six && o.Prefix.Addr().Is6() {
				at = i
				break
			}
		}
		return slices.Insert(slices.Clone(there), at, a)
	}
	removal := inOrderOfRemoving(list)
	for cut := range len(removal) + 1 {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			there := slices.DeleteFunc(slices.Clone(list), func(a Addr) bool { return slices.Contains(removal[:cut], a) })
			for _, a := range inOrderOfAdding(list) {
				if !slices.Contains(there, a) {
					there = insert(there, a)
				}
			}
			if !slices.Equal(there, list) {
				t.Errorf("now %v", there)
			}
		})
	}
}
