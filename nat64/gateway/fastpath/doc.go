// Package fastpath is the part of the NAT64 gateway that runs in the kernel:
// two BPF programs that translate what needs no judgement, and the maps by which
// the gateway tells them who is who.
//
// # The data's way
//
//	guest --IPv6--> guests' link [to4] --IPv4--> comes in by the device --> routing, masquerade --> Internet
//	Internet --IPv4--> masquerade undone, routing --> goes out by the device [to6] --IPv6--> guests' link --> guest
//
// The program to4 stands where packets come in from the guests' link, to6 where
// the host routes IPv4 into the gateway's TUN device. Each saves one of the two
// trips through the host's routing that a packet takes on the portable path. The
// IPv4 trip, with conntrack, masquerade and the host's forward rules, is the same
// on both paths, by the same device; the IPv6 one, from the guests' link to the
// device and back, is the one saved, and rules about it don't see these packets.
//
// Translated are TCP, UDP with a checksum, and ICMP echo, whole, without options
// or extension headers, of guests that have a mapping, super-packets included.
// The hop limit counts one, as in the trip that is saved. What else there is, and
// what is to be answered with an error (a destination that is refused, a hop limit
// that ends, a packet too big), goes on as if the programs were not there, and
// reaches the process that reads the device. The same packet gives the same
// octets on both ways.
//
// # What outlives the process
//
// [Attach] makes everything and pins it in a folder on a BPF file system: maps, and
// the links that hold the programs. The programs go on without any process.
// [Attach] over an earlier one changes both programs in place, without a moment
// in which none is there, and keeps the mappings. [Detach] removes it all.
// [Open] is for the process that makes the mappings.
//
// The programs need Linux 6.6 (TCX) and the initial user namespace; [Probe]
// says what is missing.
package fastpath
