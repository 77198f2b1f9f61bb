// Slaacaddr tells the address that an interface gives itself, and goes back
// from an address to the MAC in it.
//
//	slaacaddr 52:54:00:12:34:56 2001:db8:1:3::/64
//	slaacaddr 2001:db8:1:3:5054:ff:fe12:3456
//
// It prints one line, and exits with status 2 and one sentence if the input
// makes no sense.
package main

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/sixhost/sixhost/slaac"
)

func main() {
	line, err := answer(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "slaacaddr:", err)
		os.Exit(2)
	}
	fmt.Println(line)
}

// answer turns the command line into the line to print.
func answer(args []string) (string, error) {
	switch len(args) {
	case 1:
		addr, err := netip.ParseAddr(args[0])
		if err != nil {
			return "", fmt.Errorf("%q is not an IPv6 address", args[0])
		}
		mac, ok := slaac.MACFromAddr(addr)
		if !ok {
			return "", fmt.Errorf("%s was not made from a MAC: it has no ff:fe in the middle of its last 64 bits", addr)
		}
		return mac.String(), nil
	case 2:
		mac, err := slaac.ParseMAC(args[0])
		if err != nil {
			return "", fmt.Errorf("%q is not a MAC address of six octets", args[0])
		}
		prefix, err := netip.ParsePrefix(args[1])
		if err != nil {
			return "", fmt.Errorf("%q is not a prefix such as 2001:db8:1:3::/64", args[1])
		}
		addr, err := slaac.Addr(prefix, mac)
		if err != nil {
			return "", err
		}
		return addr.String(), nil
	}
	return "", fmt.Errorf("usage: slaacaddr MAC PREFIX, or slaacaddr ADDRESS")
}
