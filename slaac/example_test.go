package slaac_test

import (
	"fmt"
	"net/netip"

	"github.com/sixhost/sixhost/slaac"
)

// The address of a guest is known before the guest exists, and tells the guest
// when it is met later.
func Example() {
	mac := slaac.GuestMAC("web")
	addr, err := slaac.Addr(netip.MustParsePrefix("2001:db8:1:3::/64"), mac)
	if err != nil {
		panic(err)
	}
	fmt.Println(mac, addr)
	fmt.Println(slaac.MACFromAddr(addr))
	// Output:
	// 52:54:00:b0:72:7b 2001:db8:1:3:5054:ff:feb0:727b
	// 52:54:00:b0:72:7b true
}

// A host asks who has an address at a group made from it.
func ExampleSolicitedNode() {
	group := slaac.SolicitedNode(netip.MustParseAddr("2001:db8:1:3::2"))
	fmt.Println(group, slaac.MulticastMAC(group))
	// Output: ff02::1:ff00:2 33:33:ff:00:00:02
}
