// Package siit translates packets between IPv4 and IPv6 as RFC 7915 says,
// without state, without system calls and without allocating memory.
//
// A [Translator] takes one whole packet and writes its counterpart into a
// buffer of the caller's. Which address stands for which is decided by a
// [Mapper], so that the same code serves a stateless translator, a NAT64 with
// mappings of its own, and a CLAT. Where a packet isn't translated, the
// [Result] says why, and which ICMP error its sender is due; [Translator.Error4]
// and [Translator.Error6] build it.
//
// Translated are TCP, UDP, ICMP echo, ICMP errors with the packet inside them,
// fragments, and every other protocol whose checksum does not cover the
// addresses. Transport checksums are updated by the difference (RFC 1624): a
// wrong one is passed on as wrong, neither dropped nor repaired. Not translated
// are fragments of ICMP messages, whose checksum can't be known (RFC 7915,
// section 1.2), and extension headers behind a fragment header.
//
// The package is pure, needs no privileges and builds on every system.
package siit
