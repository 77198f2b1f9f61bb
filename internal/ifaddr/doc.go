// Package ifaddr puts addresses on interfaces so that they work when the call
// returns.
//
// The kernel makes an IPv6 address local, which means that packets to it are
// received, in a work queue: for one without duplicate address detection
// usually within a millisecond, on a busy machine tens of milliseconds after
// RTM_NEWADDR was acknowledged. Whoever removes the same address from another
// interface, or connects to it, in between loses packets.
package ifaddr
