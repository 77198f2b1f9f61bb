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
// Translated are TCP, UDP, ICMP echo, ICMP errors with the packet inside them
// and their extensions, fragments, and every other protocol whose checksum does
// not cover the addresses. Transport checksums are updated by the difference
// (RFC 1624): a wrong one is passed on as wrong, neither dropped nor repaired.
//
// A translator without state can't translate some fragments: those of ICMP
// messages, whose checksum covers the whole's length in IPv6, those of UDP over
// IPv4 without a checksum, and those with extension headers behind the fragment
// header. They come with a reason of their own, and a [Reassembler], which has
// bounds in packets and time, makes of them what can be translated.
//
// Mappers are [ByPrefix] (RFC 7915, section 6), [EAMs] (RFC 7757, with its
// hairpinning), and [ErrorPool] (RFC 6791), which is put around another.
//
// The package is pure, needs no privileges and builds on every system.
package siit
