// Package bridge moves the identity of a server's NIC onto a bridge: its MAC,
// its addresses, its routes, so that guests can have ports of their own on the
// same bridge while everything that talked to the NIC goes on talking.
//
// [Capture] reads what is there, [Config.State] decides what is wanted, [Plan]
// orders the steps from one state to another so that nothing stalls: the bridge
// stands with the NIC's MAC and addresses, usable without duplicate address
// detection, before the NIC becomes its port; what arrives while the NIC changes
// its place is received by another way (two short-lived links and an nftables
// table of the netdev family); routes are replaced before an address they depend
// on is removed. The way back is the plan to the captured state, in the same
// order of care.
//
// [Watch] tells when reality leaves the wanted state: it waits for the kernel's
// notifications, captures and plans again, and a plan that is not empty is drift.
// It names who asked for the change where the kernel tells (see [Suspect]), and
// which steps the host's own reachability hangs on, so that whoever puts things
// back need not give up the host's address in a fight over something else.
//
// # What comes back
//
// On the way back every address, route and permanent neighbour has all its
// fields again: flags, labels, metrics, source prefixes, preferences, the order of
// addresses, and lifetimes as they would have run on, to the whole second that the
// kernel counts in. What the kernel lets nobody set is:
//
//   - when an address was made and changed last (ifa_cacheinfo's cstamp and tstamp)
//   - privacy addresses (RFC 8981, the flag "temporary"): the kernel makes new ones
//   - the flag "stable-privacy" of an address that the kernel made by RFC 7217
//   - the tie of an address or route to the advertisement it came from: it runs on
//     with its remaining lifetime until the next one
//   - learned neighbours, but for the gateways', which are handed on
//
// Routes with an encapsulation or a next hop object, and what else can't be
// carried over, are refused by name before anything is changed.
//
// # Privileges and errors
//
// Deciding and planning are pure and build everywhere. Capturing and running
// need Linux; running needs CAP_NET_ADMIN over the network namespace of the
// calling thread. What can't be served is a *plan.Refusal that matches one of
// this package's errors; on other systems errors match errors.ErrUnsupported.
package bridge
