// Package slaac computes the addresses that IPv6 hosts give themselves, and
// goes back from an address to the MAC in it.
//
// [Addr] is what an interface with a given MAC will use inside a /64 that is
// advertised to it (RFC 4862 with the modified EUI-64 of RFC 4291), [LinkLocal]
// what it uses on its link, [MACFromAddr] the way back: "the one with ff:fe in
// the middle". [SolicitedNode] and [MulticastMAC] name the group and the
// Ethernet address at which it is asked for. [Stable] makes the opaque
// addresses of RFC 7217, [KernelStable] those of Linux, and [GuestMAC] gives a
// virtual machine a MAC that depends on its name alone.
//
// The package is pure arithmetic: it needs no privileges, touches no network
// and builds on every system. Errors that a caller can act on are
// [ErrPrefixLength], [ErrGroupMAC] and [ErrSecretLength]; match them with
// errors.Is.
package slaac
