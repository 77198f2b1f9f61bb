// Package macrewrite decides what may cross the edge between guests and the
// provider's segment: a table of nftables rules of our own on the bridge, by
// port. The name is that of the job it replaces, rewriting MAC addresses on the
// way out; here nothing is left to rewrite.
//
// # Two kinds of provider
//
// A [Routed] provider routes the whole /64 to the host's link-local address. An
// [OnLink] provider's router asks the segment for every single address, its
// gateway may be inside the /64, and so may other hosts. [Detect] finds out
// which one it is, by trying.
//
// With both the host routes all guest traffic: no frame ever goes between a
// guest's port and the NIC, redirects can't exist, and the provider sees one MAC.
// With an on-link provider an [Answerer] answers on the NIC for the addresses of
// the guests that are there, with the host's MAC, and for no other address; it
// defends them against duplicates; it answers ARP for guests' extra IPv4 addresses
// in the same way, where the provider asks for these. It is a neighbour proxy of our own because
// the other ways are worse. The kernel's proxy entries belong to the bridge: they
// would answer guests too, whose duplicate address detection would fail by it.
// Rewriting MACs in bridged neighbour discovery would have to find options that
// stand at no fixed place, and would leave the guests' frames on the segment.
// Guests must send through the host even what is inside the /64, so their router
// advertisements say L=0 there: see [Config.OffLink].
//
// # What is kept out
//
// From the NIC: router advertisements and redirects; sources that are the host's
// or a guest's, with a routed provider all of the /64 but for its gateways;
// neighbour discovery about guests' addresses; the NAT64 prefix and the guests'
// DNS; packets to more absent addresses of the /64 than the neighbour table
// should be asked for.
//
// From a guest: any MAC but its own, in the frame as in neighbour discovery; any
// IPv6 source but its own (that of its MAC, link-local, a list; for an open guest
// a few new ones at a time that are nobody's by the list); router advertisements,
// redirects, answers of DHCP servers; neighbour discovery in fragments or behind
// extension headers; ICMPv6 that is not for guests; IPv4 and ARP, but for extra
// addresses of the guest; every other ethertype, and tags. Each port has limits
// for router solicitations, for solicitations and packets to absent addresses,
// and for new source addresses, so that no guest fills the neighbour table.
//
// The host itself stays reachable whatever the rules say about guests: they
// drop only what is listed in [Reasons], each with a counter of that name and a
// comment that says it in words. The table's own comment says whose it is.
// ARP, the host's neighbour discovery with its gateways and all traffic with
// the host's addresses pass.
//
// What the spanning tree of a bridge that takes part in one makes of a guest's
// frames, the bridge decides before any rule: it has a guard for ports.
//
// # The way of the data
//
// Whoever knows the guests puts them into Config.Guests, and nowhere else.
// [Config.State] gives the wanted [State], [Capture] reads the present one, [Plan]
// leads from one to the other in one atomic step, without a moment between old
// rules and new. Guests are elements of sets, never rules: a changed list changes
// elements, in one transaction too, and counters and accounts go on; whatever else
// changes puts a new table in place, whose counters start at zero. A frame of a
// guest meets the same few rules however many guests there are. A [Watcher]
// compares the table with the wanted state whenever nftables tells of a change,
// and after [Watcher.Want] with another list; [Answerer.Guests] takes the same
// Config.
//
// A guest whose port is not known yet is listed without: its MAC may use its
// addresses by any port that no other guest has. Ports without a guest in the
// list are held to what needs no list, see [Unlisted].
//
// The rules name ports, so they can, and should, be in place before the bridge
// exists and the NIC joins it.
//
// # Order against other tables
//
// The table is called sixhost_edge, in the bridge family. Its checks of what
// comes in run at priority -400, before those of ebtables and of nft's "filter"
// (-200) and "dstnat" (-300); its checks of what goes out at postrouting and 400,
// behind "srcnat" (300), so that they see what will be on the wire. An accept
// elsewhere can't let through what this table drops. Other tables are never
// touched. What leaves is counted once more behind all of them by package
// macrewrite/proof.
//
// The bridge family is one for all bridges of a network namespace, and not all
// kernels can tell bridges apart there: every port but the uplink is taken for
// a guest's, unless Config.OtherPorts names it. From and to those nothing is
// bridged by way of the uplink.
//
// # What it costs
//
// TCP and UDP between a guest of the list and the Internet take a short way: one
// lookup of port, MAC, ethertype and source together where the packet comes in, one
// comparison of MAC and ethertype where it goes out, and comparisons of single
// words that say that neither address is one of here. Everything else, what is to
// or from an address of the /64 or link-local, what is not TCP or UDP or has
// extension headers, goes by all rules that it may concern. The kernel's bill is
// the number of hooks, lookups and fields longer than four octets, see words.go;
// two hooks are the least that a table in the bridge family can do with.
// `go run ./internal/bench edge` measures it, and beside it two chains without
// rules at the same hooks.
//
// # Privileges and errors
//
// The rules are made by pure functions on every system. [Capture], [Counters],
// the steps of a plan and a [Watcher] need Linux and CAP_NET_ADMIN in the calling
// thread's network namespace, [Detect] and an [Answerer] CAP_NET_RAW; without they
// fail with an error matching fs.ErrPermission, elsewhere with one matching
// errors.ErrUnsupported. What a kernel can't enforce is an [*UnsupportedError]
// naming the rule, and changes nothing. A wish that can't be served is a
// [*plan.Refusal].
package macrewrite
