package ra

import (
	"context"
	"time"
)

// Uplink tells a [Server] whether its host has a way for what guests send.
type Uplink interface {
	// Up reports whether there is one now. An error means that it can't be known,
	// and counts as yes: guests of a host that is sound must not lose their route
	// because a question failed.
	Up() (bool, error)
	// Wait returns nil when the answer may have changed and when ctx ends, or an
	// error, after which it is called again a second later.
	Wait(ctx context.Context) error
}

// uplinkGrace is how long an uplink has to be missing before guests are told:
// who replaces a default route often deletes it first. Its return is told at
// once.
const uplinkGrace = time.Second

// noUplink asks, and arranges to ask again.
func (s *Server) noUplink(now time.Time) bool {
	if s.cfg.Uplink == nil {
		return false
	}
	up, err := s.cfg.Uplink.Up()
	if err != nil {
		s.log.Warn("can't tell whether there is an uplink", "err", err)
		up = true
	}
	if up {
		s.lost = time.Time{}
		return false
	}
	if s.lost.IsZero() {
		s.lost = now
	}
	// Before anything was said there is nobody to spare.
	if wait := s.lost.Add(uplinkGrace).Sub(now); wait > 0 && s.attached && !s.at.NoUplink {
		s.recheck = now.Add(wait)
		return false
	}
	return true
}

// watchUplink runs beside the loop and wakes it when the uplink may have
// changed.
func (s *Server) watchUplink(ended context.Context, up Uplink) {
	for {
		err := up.Wait(ended)
		if ended.Err() != nil {
			return
		}
		s.changed.Store(true)
		s.conn.wake()
		if err != nil {
			s.log.Warn("can't watch the uplink", "err", err)
			pause(ended, time.Now().Add(time.Second), time.Now().Add(time.Second))
		}
	}
}
