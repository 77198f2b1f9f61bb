// Package macrewrite decides what may cross the edge between guests and the
// provider's segment: a table of nftables rules of our own on the bridge, by
// port. The name is that of the job it replaces, rewriting MAC addresses on the
// way out; here nothing is left to rewrite.
//
// It serves a routed provider: one that routes the whole /64 to the host's
// link-local address. The host routes all guest traffic, so no frame ever needs
// to go between a guest's port and the NIC, and none does. The provider sees
// the host's MAC and the host's own neighbour discovery; guests see no router,
// no redirect and no neighbour of the provider's side. Router advertisements
// and redirects stop at either edge, whoever sends them. The NAT64 prefix and
// the guests' DNS are out of reach from outside.
//
// The host itself stays reachable whatever the rules say about guests: they
// drop only what is listed in [Reasons], each with a counter of that name.
// ARP, the host's neighbour discovery with its gateways and all traffic with
// the host's addresses pass.
//
// [Config.State] gives the wanted [State], [Capture] reads the present one,
// [Plan] leads from one to the other in one atomic step, without a moment
// between old rules and new; the counters start again at zero then. The rules
// name ports, so they can, and should, be in place before the bridge exists and
// the NIC joins it.
//
// # Order against other tables
//
// The table is called sixhost_edge, in the bridge family. Its checks of what
// comes in run at priority -400, before those of ebtables and of nft's "filter"
// (-200) and "dstnat" (-300); its checks of what goes out at 400, behind
// "srcnat" (300), so that they see what will be on the wire. An accept
// elsewhere can't let through what this table drops. Other tables are never
// touched.
//
// The bridge family is one for all bridges of a network namespace, and not all
// kernels can tell bridges apart there: every port but the uplink is taken for
// a guest's, those of other bridges too. On those, router advertisements and
// redirects that come in by a port, and redirects from the host, are dropped as
// well.
//
// # Privileges and errors
//
// The rules are made by pure functions on every system. [Capture], [Counters]
// and the steps of a plan need Linux and CAP_NET_ADMIN in the calling thread's
// network namespace; without they fail with an error matching fs.ErrPermission,
// elsewhere with one matching errors.ErrUnsupported. What a kernel can't do is
// an error naming the rule and matching errors.ErrUnsupported. A wish that
// can't be served is a [*plan.Refusal].
package macrewrite
