// Package fastpath is the part of the NAT64 gateway that runs in the kernel:
// two BPF programs that translate what needs no judgement, one that leads on
// what the gateway's process translates, and the maps by which the gateway tells
// them who is who.
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
// The kernel's own IPv6, with conntrack and the host's rules, has not seen the
// connections whose packets the programs translate, and a stateful firewall would
// drop what belongs to them and comes by the process: errors, fragments. So such
// packets are led around it too:
//
//	process --IPv6--> comes in by the device [given] --> guests' link --> guest
//	guest --ICMPv6 error--> guests' link [to4] --> goes out by the device --> process
//
// A guest is looked for as a neighbour on the guests' link. One that a route of
// its own leads to must not be told of.
//
// # What outlives the process
//
// [Attach] makes everything and pins it in a folder on a BPF file system: maps, and
// the links that hold the programs. The programs go on without any process.
// [Attach] over an earlier one changes both programs in place, without a moment
// in which none is there, and keeps the mappings. [Detach] removes it all.
// [Open] is for the process that makes the mappings.
//
// Links of TCX hold the programs, from Linux 6.6 on. Before, filters of the
// qdisc clsact do, each with priority 25700 (0x6464) and handle 0x64 by the name
// sixhost_nat64, which is changed as one; others' filters are left alone, and so
// is the qdisc, which others may have come to use. Such a filter can't be found
// from another network namespace: if that of the pins is gone, the folder has to
// be removed by hand.
//
// The programs need the initial user namespace, and helpers that came with Linux
// 5.11 (tried: 6.1 and 6.18); [Probe] says what is missing.
package fastpath
