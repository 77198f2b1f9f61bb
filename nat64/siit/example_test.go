package siit_test

import (
	"fmt"
	"net/netip"

	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/siit"
)

func Example() {
	t := siit.Translator{Map: siit.ByPrefix{Prefix: nat64.WellKnown()}}

	// An IPv6 packet with an empty payload, from one embedded address to another.
	packet := make([]byte, 40)
	packet[0], packet[6], packet[7] = 0x60, 59, 64
	src, dst := netip.MustParseAddr("64:ff9b::8.8.4.4").As16(), netip.MustParseAddr("64:ff9b::8.8.8.8").As16()
	copy(packet[8:], src[:])
	copy(packet[24:], dst[:])

	out := make([]byte, len(packet))
	n, result := t.To4(out, packet, siit.Offload{})
	fmt.Println(result.Reason, n, netip.AddrFrom4([4]byte(out[12:])), netip.AddrFrom4([4]byte(out[16:])), "ttl", out[8])

	// To a private address: refused, and the sender is due an ICMPv6 error.
	private := netip.MustParseAddr("64:ff9b::10.0.0.1").As16()
	copy(packet[24:], private[:])
	_, result = t.To4(out, packet, siit.Offload{})
	fmt.Printf("%s, tell the sender type %d code %d\n", result.Reason, result.Answer.Type, result.Answer.Code)
	// Output:
	// translated 20 8.8.4.4 8.8.8.8 ttl 63
	// denied, tell the sender type 1 code 1
}
