// Package dns64 is a DNS forwarder that gives IPv6-only clients AAAA records
// for names that have A records only (RFC 6147), inside the NAT64 prefix. It
// serves the listed clients by UDP and TCP and asks recursive servers, which do
// the validation.
//
// AAAA and A records are asked for together. An AAAA record is made up only if
// there is none that a guest can use: NXDOMAIN stands, and so does a failed
// DNSSEC validation, which is told by the upstream's extended error (RFC 8914)
// or, as not every server sends one, by asking again without validation. A
// client that sets DO and CD validates by itself and gets everything as it is
// (5.5). Aliases are kept; TTLs are bounded by the SOA record's (5.1.7); A
// records outside the public Internet are not synthesised unless the
// configuration says so. PTR questions inside the prefix lead to the IPv4
// address's name (5.3.1), and ipv4only.arpa and its reverse are answered here
// (RFC 8880).
//
// Hosts of the operator's own, guests above all, are answered for here too:
// [Config.Hosts] names them, and [Server.SetHosts] puts another list in its place
// while questions are answered. Such answers are never cached. Clients in
// [Config.NoSynthesis] get what the upstreams say.
//
// Answers are cached for as long as they hold (RFC 2308, RFC 9520), in bounded
// memory. Addresses that are no clients get nothing back.
//
// Opening a port below 1024 needs CAP_NET_BIND_SERVICE; nothing else here needs
// privileges. A configuration that can't be served is a [*plan.Refusal];
// everything else is the system's error, wrapped.
package dns64
