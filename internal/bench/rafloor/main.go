// Rafloor is the least that a sender of router advertisements in Go could be: a
// process with one raw ICMPv6 socket that it reads from. Command bench measures
// its memory beside that of the senders.
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	c, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		fmt.Fprintln(os.Stderr, "rafloor:", err)
		os.Exit(1)
	}
	b := make([]byte, 1<<16)
	for {
		if _, _, err := c.ReadFrom(b); err != nil {
			fmt.Fprintln(os.Stderr, "rafloor:", err)
			os.Exit(1)
		}
	}
}
