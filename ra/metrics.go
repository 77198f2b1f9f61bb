package ra

import "iter"

// Metrics is what a package that exports counters needs of a [Server] or a
// [Monitor]; package raprom exports them to Prometheus. Counters are read, not
// pushed: what is counted costs the sending path one atomic addition.
type Metrics interface {
	// Counters yields every counter with its value now, in the same order every
	// time. It is safe to call at any time.
	Counters() iter.Seq2[Counter, uint64]
}

var (
	_ Metrics = &Server{}
	_ Metrics = &Monitor{}
)

// Counter names a number that only grows, or, where Gauge is set, one that is
// what it is now.
type Counter struct {
	// Name in snake case, as "solicitations".
	Name string
	// Label and Value tell several counters of one name apart, as "result" and
	// "hop_limit"; "" where there is only one.
	Label, Value string
	Gauge        bool
	// Help is one sentence about all counters of the name.
	Help string
}

// Counters implements [Metrics].
func (s *Server) Counters() iter.Seq2[Counter, uint64] {
	c := s.Stats()
	const (
		solicitations = "Router solicitations received, by what became of them."
		sent          = "Rounds of router advertisements sent, by destination."
		errs          = "Failures, by what was tried."
		link          = "Times that advertising began anew or ended because of the link."
	)
	return each([]counted{
		{Counter{"solicitations", "result", "accepted", false, solicitations}, c.Solicitations - c.Coalesced},
		{Counter{"solicitations", "result", "coalesced", false, solicitations}, c.Coalesced},
		{Counter{"solicitations", "result", "hop_limit", false, solicitations}, c.BadHopLimit},
		{Counter{"solicitations", "result", "fragmented", false, solicitations}, c.Fragmented},
		{Counter{"solicitations", "result", "source", false, solicitations}, c.BadSource},
		{Counter{"solicitations", "result", "unspecified_lladdr", false, solicitations}, c.UnspecifiedLLA},
		{Counter{"solicitations", "result", "malformed", false, solicitations}, c.Malformed},
		{Counter{"advertisements", "destination", "multicast", false, sent}, c.Multicast},
		{Counter{"advertisements", "destination", "unicast", false, sent}, c.Unicast},
		{Counter{"greetings", "", "", false, "Multicast rounds that came sooner for a host that had just come up."}, c.Greetings},
		{Counter{"errors", "operation", "send", false, errs}, c.SendErrors},
		{Counter{"errors", "operation", "receive", false, errs}, c.ReceiveErrors},
		{Counter{"errors", "operation", "state_file", false, errs}, c.StateErrors},
		{Counter{"link_events", "event", "change", false, link}, c.LinkChanges},
		{Counter{"link_events", "event", "loss", false, link}, c.LinkLosses},
		{Counter{"updates", "", "", false, "Configurations that took another's place."}, c.Updates},
		{Counter{"default_router", "", "", true, "1 while the host advertises itself as a default router."}, c.DefaultRouter},
		{Counter{"withdrawn", "", "", true, "Prefixes, routes, servers and domains that are being taken back."}, c.Withdrawn},
	})
}

// Counters implements [Metrics].
func (m *Monitor) Counters() iter.Seq2[Counter, uint64] {
	c := m.Stats()
	const (
		heard  = "Router advertisements of others, by whether hosts accept them."
		events = "Events told of, by type."
	)
	return each([]counted{
		{Counter{"heard", "result", "valid", false, heard}, c.Advertisements},
		{Counter{"heard", "result", "invalid", false, heard}, c.Invalid},
		{Counter{"events", "event", "rogue", false, events}, c.Rogues},
		{Counter{"events", "event", "changed", false, events}, c.Changes},
		{Counter{"events", "event", "gone", false, events}, c.Gone},
		{Counter{"events", "event", "inconsistent", false, events}, c.Inconsistencies},
		{Counter{"other_routers", "", "", true, "Other routers that are known now."}, uint64(c.Routers)},
	})
}

type counted struct {
	counter Counter
	value   uint64
}

func each(list []counted) iter.Seq2[Counter, uint64] {
	return func(yield func(Counter, uint64) bool) {
		for _, c := range list {
			if !yield(c.counter, c.value) {
				return
			}
		}
	}
}
