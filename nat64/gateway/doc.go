// Package gateway is a NAT64 gateway for the guests of one host: their packets
// to the NAT64 prefix leave for the IPv4 Internet behind the host's own IPv4
// address.
//
// One persistent layer-3 TUN device stands between two routings of the kernel.
// The NAT64 prefix and a private IPv4 pool are routed to it; each guest address
// gets one address of the pool; what the guest sends is translated (RFC 7915)
// and comes back out of the device as IPv4 from that address, which the
// kernel's own masquerade puts behind the host's address. Ports, timeouts and
// the state of connections stay the kernel's.
//
//	guest --IPv6--> routing --> nat64 --> translator --> nat64 --IPv4--> masquerade --> Internet
//
// Setting the host up and serving are apart. [Capture], [Config.State] and
// [Plan] are about device, routes, forwarding and the nftables table
// "inet sixhost_nat64", which outlive any process; running such a plan needs
// CAP_NET_ADMIN over the network namespace of the calling thread. [New] attaches
// to the device in the calling goroutine's namespace, and [Gateway.Run]
// translates until its context ends. While no process serves, packets to the
// device are lost; sessions survive a restart, because a guest's pool address
// follows from its own and the kernel keeps the connections' state.
//
// # The fast path
//
// With [Config.Pins] a plan also attaches BPF programs (package fastpath): one
// where packets come in from the guests' link, one where the host routes IPv4
// into the device. They translate TCP, UDP and ICMP echo of guests that have a
// mapping, super-packets as one, and leave the rest to the process that reads
// the device, the first packet of a guest included:
//
//	guest --IPv6--> guests' link [to4] --IPv4, in by nat64--> routing, masquerade --> Internet
//	Internet --IPv4--> routing [to6] --IPv6--> guest, as a neighbour on its link
//
// The IPv4 half of the way is the same as on the portable path: conntrack, the
// masquerade and the host's own forward rules see these packets between the
// device and the uplink. The IPv6 half is saved, also for what the process gives
// back to these guests: rules about IPv6 between the guests' link and the device
// are for the portable path only, and see first packets of guests, fragments, and
// what is refused. Guests that a route of their own leads to (with an MTU, or by
// way of another guest) take the portable path while it is there. The programs and their maps
// are pinned, so flows of known guests go on without any process; [New] adopts
// their mappings, and a plan changes the programs without a gap. Where a host
// can't have BPF the same plan comes out without them, and
// [Stats].FastPathError, which matches [ErrNoFastPath], says why.
//
// # From outside to a guest
//
// [Config.Expose] leads a port of the host's, or a whole address, to a guest:
// nftables replaces the destination by the guest's pool address, and translation
// does the rest, by either path.
//
// # Who may reach what
//
// Sources are guests only. Destinations that are no hosts of the public
// Internet are refused with ICMPv6 "administratively prohibited", by the
// translator and again by nftables: see [Config.Denied]. So are the host's own
// IPv4 addresses, and both inside ICMP errors too. Nothing from outside reaches a guest but answers and
// what is exposed, and no
// packet with a pool address leaves the host. Forwarding of IPv4, which the kernel
// knows by the link a packet arrives by, is for NAT64 only: a host that was no
// router is none for others on the uplink, but for what the owner's rules lead
// on (destination NAT) and for [Config.Routed].
//
// # Mappings
//
// A mapping is made by a guest's first packet. It prefers the pool address that
// a hash of the guest's address names, and takes the next free one if that is
// another's. Mappings don't expire while the pool has room, so none is ever
// shorter than the kernel's timers (five days for an established TCP
// connection). When the pool is full the one idle for longest is given to the
// newcomer, with the kernel's connections of the old owner ended first, if it
// has been idle for ten minutes, one in a second; else the newcomer is told
// "address unreachable". Addresses in [Config.Known] keep theirs for good.
//
// Those that are not where the hash puts them, and those they had to make way
// for, are kept in a file ([Config.Mappings]), so that a restart, after
// whatever end, finds the same.
//
// # One guest against the others
//
// A rule in the bridge family stamps the number of the port on what guests send
// to the prefix, over the low bits of the flow label, which translation leaves
// out; what stood there is the guest's own word. So the translator knows whom a
// new mapping is to be charged to, whatever source address the packet has. One
// port gets [Config.PerPort] mappings, new ones no faster than 32 in a second
// after the first 256, and only its own share of ICMP errors. When the pool is
// full and nothing in it is idle, the port with most gives way to one with less
// than a fair share. So a guest that invents addresses takes none from others.
// Where the guests' link is no bridge, they can't be told apart.
//
// # Segments and fragments
//
// The device's packets carry the driver's header (virtio-net): checksums and
// segments are left for later, and a packet of 64 KiB is translated as one,
// where it lies. Datagrams of one flow that wait one after the other, each with
// its checksum left for later, are given back as one packet of many segments, if
// the kernel takes such (Linux 6.2). Fragments are translated one by one; those that can't be are
// put together first, see siit.Reassembler.
//
// What can't be served is a *plan.Refusal that matches one of this package's
// errors. Deciding, planning and the mapping are pure and build everywhere; on
// other systems than Linux the rest returns errors matching
// errors.ErrUnsupported.
package gateway
