package ra

import (
	"fmt"
	"os"
	"reflect"
	"time"
)

// Update puts another Config in place of the one that is advertised. It checks
// it first, and changes nothing where that is refused; then it swaps at once:
// nothing of the old one is sent after Update has returned, and guests are told
// within the three seconds that RFC 4861, section 6.2.6, demands between
// multicast advertisements, and again soon after.
//
// What the new Config leaves out is taken back in every advertisement for as
// long as a guest may hold it: with lifetime 0, prefixes deprecated and valid
// for two hours at most (see [State]). The MTU and the captive portal have no
// lifetime on the wire, so that guests keep those until they are told of others.
//
// Interface and StateFile can't be changed, which is a [*ConfigError]; Logger and
// Uplink stay those of [New]. An equal Config changes nothing. Update may be
// called at any time, before Run too; after the end the error matches
// os.ErrClosed.
func (s *Server) Update(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		return fmt.Errorf("update router advertisements on %s: %w", s.cfg.Interface, os.ErrClosed)
	case cfg.Interface != s.cfg.Interface:
		return &ConfigError{Field: "Interface", Reason: fmt.Sprintf("%q can't take the place of %q in a server that exists", cfg.Interface, s.cfg.Interface)}
	case cfg.StateFile != s.cfg.StateFile:
		return &ConfigError{Field: "StateFile", Reason: fmt.Sprintf("%q can't take the place of %q in a server that exists", cfg.StateFile, s.cfg.StateFile)}
	case s.attached && cfg.MTU > s.at.MTU:
		return &ConfigError{Field: "MTU", Reason: fmt.Sprintf("%d is above the MTU of %s, %d", cfg.MTU, cfg.Interface, s.at.MTU)}
	}
	cfg.Logger, cfg.Uplink = s.cfg.Logger, s.cfg.Uplink
	if reflect.DeepEqual(cfg, s.cfg) {
		return nil
	}
	now := time.Now()
	before := s.cfg
	s.use(cfg)
	s.count.updates.Add(1)
	if !s.running {
		return nil
	}
	// Until now the old one was advertised.
	state := before.State(s.state, now)
	state.Told = s.told
	s.remember(s.cfg.State(state, now))
	s.log.Info("configuration changed", "withdrawn", len(s.state.withdrawn(now)))
	if s.attached {
		if err := s.render(now); err != nil {
			return err
		}
		s.sched.start(now)
	}
	s.conn.wake()
	return nil
}

// Config returns what is advertised, as given. It may be called at any time.
func (s *Server) Config() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

// use makes a valid Config the one that counts.
func (s *Server) use(cfg Config) {
	e := cfg.effective()
	s.cfg = cfg
	s.sched.min, s.sched.max, s.sched.delay = e.MinInterval, e.MaxInterval, e.SolicitedDelay
	if err := s.conn.greet(cfg.Greet); err != nil {
		s.log.Warn("hosts that come up have to solicit", "err", err)
	}
}

// forget drops what no guest can hold any more.
func (s *Server) forget(now time.Time) { s.remember(s.cfg.State(s.state, now)) }

// remember makes a state the one that counts, and keeps it where it differs.
func (s *Server) remember(state State) {
	if reflect.DeepEqual(state.Held, s.state.Held) && state.Told.Equal(s.state.Told) {
		return
	}
	s.state = state
	s.save()
}

// save writes the state down before it is acted on.
func (s *Server) save() {
	if s.cfg.StateFile == "" {
		return
	}
	if err := SaveState(s.cfg.StateFile, s.state); err != nil {
		s.count.stateErrors.Add(1)
		s.log.Warn("a restart won't know what guests were told", "err", err)
	}
}
