package dns64

import "sync/atomic"

// Stats counts what the server has done since New.
type Stats struct {
	// Queries received from clients, by transport, those refused included.
	UDPQueries, TCPQueries uint64
	// Strangers are datagrams and connections from addresses that are no
	// clients. They got no answer.
	Strangers uint64
	// Malformed are messages that were no queries or could not be parsed.
	Malformed uint64
	// Dropped are queries without an answer because too many were being
	// worked on, in all or for that client.
	Dropped uint64
	// CacheHits were answered from the cache.
	CacheHits uint64
	// Local were answered here without asking: ipv4only.arpa and its
	// reverse.
	Local uint64
	// Synthesised are AAAA answers made of A records; Native those that had
	// AAAA records or none of either kind. Each is counted once, not again
	// when it comes from the cache.
	Synthesised, Native uint64
	// Reverse are PTR answers for addresses inside the NAT64 prefix.
	Reverse uint64
	// Failed are questions that ended in an error response for want of a
	// good answer; Bogus those among them whose data failed validation.
	Failed, Bogus uint64
	// Truncated are replies cut down to make the client ask by TCP.
	Truncated uint64
	// UpstreamQueries were sent; UpstreamRetries are those put to another
	// upstream, or once more to the same, because the answer took long;
	// UpstreamFailures ended without an answer.
	UpstreamQueries, UpstreamRetries, UpstreamFailures uint64
	// CacheEntries is how many answers are cached now, CacheBytes about how
	// much memory they take.
	CacheEntries, CacheBytes uint64
}

type counters struct {
	udpQueries, tcpQueries, strangers, malformed, dropped         atomic.Uint64
	cacheHits, local, synthesised, native, reverse, failed, bogus atomic.Uint64
	truncated, upstreamQueries, upstreamRetries, upstreamFailures atomic.Uint64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	return Stats{
		UDPQueries:       c.udpQueries.Load(),
		TCPQueries:       c.tcpQueries.Load(),
		Strangers:        c.strangers.Load(),
		Malformed:        c.malformed.Load(),
		Dropped:          c.dropped.Load(),
		CacheHits:        c.cacheHits.Load(),
		Local:            c.local.Load(),
		Synthesised:      c.synthesised.Load(),
		Native:           c.native.Load(),
		Reverse:          c.reverse.Load(),
		Failed:           c.failed.Load(),
		Bogus:            c.bogus.Load(),
		Truncated:        c.truncated.Load(),
		UpstreamQueries:  c.upstreamQueries.Load(),
		UpstreamRetries:  c.upstreamRetries.Load(),
		UpstreamFailures: c.upstreamFailures.Load(),
		CacheEntries:     uint64(s.resolver.cache.store.EstimatedSize()),
		CacheBytes:       s.resolver.cache.store.WeightedSize(),
	}
}
