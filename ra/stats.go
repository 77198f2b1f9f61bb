package ra

import (
	"errors"
	"sync/atomic"
)

// Stats counts what a [Server] did since New.
type Stats struct {
	// Solicitations that were valid, and how many of them were answered by an
	// advertisement that was due anyway.
	Solicitations, Coalesced uint64
	// Solicitations that were discarded, by reason.
	BadHopLimit, Fragmented, BadSource, UnspecifiedLLA, Malformed uint64
	// Multicast and Unicast are rounds of advertisements sent; a round is more
	// than one message where the options don't fit into one.
	Multicast, Unicast uint64
	// Greetings are the multicast ones that came sooner for a host that had just
	// come up (Config.Greet).
	Greetings uint64
	// SendErrors and ReceiveErrors are failed system calls.
	SendErrors, ReceiveErrors uint64
	// LinkChanges counts how often advertising began anew because the link had
	// come or changed, LinkLosses how often it ended.
	LinkChanges, LinkLosses uint64
	// Updates counts the configurations that took another's place.
	Updates uint64
	// StateErrors are failures to read or write Config.StateFile.
	StateErrors uint64
	// DefaultRouter is 1 while the host advertises itself as a default router,
	// and Withdrawn the number of things that are being taken back.
	DefaultRouter, Withdrawn uint64
}

type counters struct {
	solicitations, coalesced                                      atomic.Uint64
	badHopLimit, fragmented, badSource, unspecifiedLLA, malformed atomic.Uint64
	multicast, unicast, greetings, sendErrors, receiveErrors      atomic.Uint64
	linkChanges, linkLosses, updates, stateErrors                 atomic.Uint64
	defaultRouter, withdrawn                                      atomic.Uint64
}

func (c *counters) discarded(err error) {
	switch {
	case errors.Is(err, ErrHopLimit):
		c.badHopLimit.Add(1)
	case errors.Is(err, ErrFragmented):
		c.fragmented.Add(1)
	case errors.Is(err, ErrSource):
		c.badSource.Add(1)
	case errors.Is(err, ErrUnspecifiedLLA):
		c.unspecifiedLLA.Add(1)
	default:
		c.malformed.Add(1)
	}
}

func (c *counters) read() Stats {
	return Stats{
		Solicitations:  c.solicitations.Load(),
		Coalesced:      c.coalesced.Load(),
		BadHopLimit:    c.badHopLimit.Load(),
		Fragmented:     c.fragmented.Load(),
		BadSource:      c.badSource.Load(),
		UnspecifiedLLA: c.unspecifiedLLA.Load(),
		Malformed:      c.malformed.Load(),
		Multicast:      c.multicast.Load(),
		Unicast:        c.unicast.Load(),
		Greetings:      c.greetings.Load(),
		SendErrors:     c.sendErrors.Load(),
		ReceiveErrors:  c.receiveErrors.Load(),
		LinkChanges:    c.linkChanges.Load(),
		LinkLosses:     c.linkLosses.Load(),
		Updates:        c.updates.Load(),
		StateErrors:    c.stateErrors.Load(),
		DefaultRouter:  c.defaultRouter.Load(),
		Withdrawn:      c.withdrawn.Load(),
	}
}
