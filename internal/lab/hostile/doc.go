// Package hostile makes the frames with which a guest, or somebody on the
// provider's side, tries to get through the edge of a server.
//
// FromGuest and FromProvider return attacks: a name, what the frames are, and the
// frames themselves, whole from the Ethernet header on. Each frame that has room
// for it carries a mark with the number of its attack, so that a Tally, fed with
// what a capture hears somewhere else, tells which attack got there: bridged,
// routed, translated, or quoted in an answer. Random makes frames from a seed,
// Legal makes as many as wanted that are allowed. A Sender puts frames on a wire.
//
// All but Sender is pure and builds on every system. Sender needs Linux and
// CAP_NET_RAW in the network namespace of the calling goroutine.
//
// The package imports nothing of the product, and of the judge only the type of
// a MAC: what judges the frames takes them apart with code of its own.
package hostile
