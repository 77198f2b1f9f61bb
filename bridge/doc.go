// Package bridge moves the identity of a server's NIC onto a bridge: its MAC,
// its addresses, its routes, so that guests can have ports of their own on the
// same bridge while everything that talked to the NIC goes on talking.
//
// [Capture] reads what is there, [Config.State] decides what is wanted, [Plan]
// orders the steps from one state to another so that nothing stalls: the bridge
// stands with the NIC's MAC and addresses, usable without duplicate address
// detection, before the NIC becomes its port; routes are replaced before an
// address they depend on is removed. The way back is the plan to the captured
// state, in the same order of care.
//
// # What comes back
//
// On the way back every address, route and permanent neighbour has all its
// fields again: flags, labels, metrics, source prefixes, preferences, the order of
// addresses, and lifetimes as they would have run on. Lifetimes are whole seconds
// to the kernel; they are rounded down, so that nothing lives longer than it would
// have. What the kernel lets nobody set is:
//
//   - when an address was made and changed last (ifa_cacheinfo's cstamp and tstamp)
//   - privacy addresses (RFC 8981, the flag "temporary"): the kernel makes new ones
//   - the flag "stable-privacy" of an address that the kernel made by RFC 7217
//   - the tie of an address or route to the advertisement it came from: it runs on
//     with its remaining lifetime until the next one
//   - learned neighbours, but for the gateways', which are handed on
//
// Routes with several next hops, an encapsulation or a next hop object, and
// policy rules that name the links, are refused before anything is changed.
//
// Deciding and planning are pure and build everywhere. Capturing and running
// need Linux; running needs CAP_NET_ADMIN over the network namespace of the
// calling thread. What can't be served is a *plan.Refusal that matches one of
// this package's errors; on other systems errors match errors.ErrUnsupported.
package bridge
