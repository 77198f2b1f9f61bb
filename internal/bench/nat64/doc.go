// Command nat64 measures NAT64 on this machine beside other ways for a guest's
// packets: plain IPv6 forwarding, plain IPv4 masquerade, and tayga.
//
//	go run ./internal/bench/nat64 [-quick] [-rounds N] [-only fast,tayga] [-figures UDP,conn] [-offloads on|off|both]
//
// A guest, a host and a piece of Internet are network namespaces joined by veth.
// Everything that makes and takes traffic is the same for all contenders and runs
// in this process; the gateway's own process is another. Measured are, with the
// segmentation and checksum offloads of both outer ends on and off:
//
//	round trip       of one octet over a TCP connection, median
//	TCP up, down     1 and 4 streams, Gbit/s
//	UDP              64 octets of payload, the highest rate at which none is
//	                 lost, in thousands a second
//	connections      made, one octet each way, and closed, by 8 at a time
//	cores            busy on the whole machine while 1 Gbit/s of TCP flows up
//	a packet, a MiB  processor time of the traffic's own process, the least that
//	                 was seen: it says where a contender stands on a busy machine
//	                 too, but leaves out what other processes do (tayga, portable)
//
// The rounds go around the contenders, so that a change of the machine's mood
// meets all of them; the table has medians, and ratios to plain IPv6. A last part
// gives the fast path 1, 100 and 10,000 mappings.
//
// It needs root (the fast path is BPF), nft, ip, ethtool and tayga; a machine
// that does nothing else; and less than ten minutes, with -quick three. -figures
// names what is measured, by how the columns' names begin, and "mappings".
package main
