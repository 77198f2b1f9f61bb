// Package wire judges what a server puts on its provider's wire, and reads
// router advertisements where a guest hears them.
//
// A Judge is pure: it is handed Ethernet frames as they arrived at the
// provider's port and counts, by Kind, what a provider of rented servers would
// lock a server for: foreign MACs as source or inside payloads, router
// advertisements, redirects, guests' multicast. A Capture is the edge: a packet
// socket that sees every frame of an interface before any filter does, and says
// so when it lost some.
//
// The package takes packets apart by hand, shares no code with what it judges,
// and imports none of it.
//
// Judge, ParseRA and ParseRAFrame need no privilege and run on every system.
// Capture and Catcher need Linux and CAP_NET_RAW over the network namespace of
// the calling goroutine; elsewhere their errors match errors.ErrUnsupported.
// Errors of the decoders match ErrTruncated or ErrNotRA.
package wire
