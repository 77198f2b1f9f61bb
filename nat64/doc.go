// Package nat64 holds the addresses of NAT64: prefixes that carry IPv4
// addresses inside IPv6 ones (RFC 6052), and how a node finds the prefix of the
// network it is on (RFC 7050).
//
// [Prefix] is a comparable value that marshals to text, so it drops into any
// configuration format and into flags. Nothing here needs privileges or touches
// the network; [Discover] asks its one DNS question through a function of the
// caller's.
//
// The translation itself is in nat64/siit, the gateway in nat64/gateway, the
// DNS side in nat64/dns64.
//
// Errors are sentences about the input; [ErrNoNAT64] is the one to match.
package nat64
