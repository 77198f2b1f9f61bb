// Package sixhost is documentation only: the map of a library that turns a
// rented server with one IPv4 address and one IPv6 /64 into a host for
// IPv6-only KVM guests, without ever locking its owner out.
//
//	                the Internet
//	                     |
//	       the provider's router, fe80::1
//	                     |
//	              enp2s0 (the NIC)          no addresses of its own
//	macrewrite ----------+-----------       what may cross
//	                    br0                 the NIC's MAC and addresses
//	ra, dns64, proxy ----+---- nat64        served by the host
//	        +------------+------------+
//	      vnet0        vnet1        vnet2   52:54:00:...
//	      guest        guest        guest   SLAAC, known in advance
//
// # The packages
//
// Light and pure: they build on every system and link nothing of the kernel.
//
//   - slaac makes addresses from MACs and names, and back
//   - nat64 holds RFC 6052 prefixes and their discovery (RFC 7050)
//   - nat64/siit translates packets (RFC 7915)
//   - guest describes libvirt domains with predictable addresses and names
//   - plan is the vocabulary of change: states, steps, phases, refusals
//
// Those that change the host. Each captures what is there, decides what is
// wanted, and plans the way:
//
//   - bridge moves the NIC's identity and addresses onto br0
//   - bridge/handover takes the NIC off the network manager that runs, and
//     hands that the new files
//   - macrewrite installs the edge's rules, and answers for the guests where
//     the provider asks for each address
//   - macrewrite/proof counts what leaves by the uplink, last of all
//   - nat64/gateway makes the NAT64 device, its routes and its masquerade
//   - persist writes the files of the next boot
//   - plan/rollback takes a change back unless it is confirmed, and
//     plan/rollback/health asks whether the neighbours still answer
//
// Those that serve, by New and Run:
//
//   - ra advertises the router, name server and NAT64 prefix
//   - nat64/gateway translates
//   - nat64/dns64 resolves for the guests
//   - proxy leads IPv4 clients to guests by name
//
// # The data's way
//
// A configuration names the /64, the uplink and the guests once. From these and
// from what bridge.Capture found, a program derives the Config of every
// package; examples/fullhost/host.go is that derivation and nothing else.
//
// Changing the host: for each package Capture gives the state that is there,
// Config.State the one that is wanted, Plan the steps between them. The plans
// are joined in the order manager off br0, edge, bridge, manager off the NIC,
// gateway, files, manager on. rollback.Guard.Begin takes the captured states into
// a watchdog process, the apply phase runs, and a confirmation runs the confirm
// phase. Planning again then gives an empty plan, which is what idempotence means
// here.
//
// A guest's packet to an IPv6 destination: its port of br0, the edge's
// prerouting rules, up into the host's routing because the destination MAC is
// br0's, back down through br0 to the NIC, past the edge's last rule on the
// source MAC. Nothing is ever bridged between a guest's port and the NIC.
//
// To an IPv4 destination: DNS64 answered the name with an address in the NAT64
// prefix, which is routed into the device nat64. The gateway reads it there,
// refuses what must not be reached, maps the guest to an address of a private
// pool, translates, and writes the IPv4 packet back. The kernel masquerades the
// pool behind the host's IPv4 address. Answers go the same way back.
//
// One address of the NIC: captured with its flags and lifetimes, put on br0
// without duplicate address detection while the NIC still has it, the NIC put
// on the bridge, the routes moved, then removed from the NIC. If the
// configuration adopts another address, the old one stays on br0, deprecated,
// until somebody has confirmed.
//
// # Errors
//
// What can't be served is found before anything is changed and returned as a
// plan.Refusal: one sentence that names the field or interface. Kernels and
// systems that lack something give errors that match errors.ErrUnsupported.
package sixhost
