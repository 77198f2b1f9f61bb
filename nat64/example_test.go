package nat64_test

import (
	"fmt"
	"net/netip"

	"github.com/sixhost/sixhost/nat64"
)

func Example() {
	p := nat64.WellKnown()
	v6 := p.Embed(netip.MustParseAddr("8.8.4.4"))
	fmt.Println(v6)

	v4, ok := p.Extract(netip.MustParseAddr("64:ff9b::808:404"))
	fmt.Println(v4, ok)

	fmt.Println(p.MayRepresent(netip.MustParseAddr("10.0.0.1")))
	// Output:
	// 64:ff9b::808:404
	// 8.8.4.4 true
	// false
}
