package rollback

// event is something the watchdog learns.
type event uint8

const (
	evApplied       event = iota // the applying process: all steps are done
	evStopped                    // the applying process: no step is running any more
	evGone                       // the applying process has ended
	evConfirm                    // somebody: keep it
	evUndo                       // somebody: take it back
	evTimer                      // the timer that the last action set has ended
	evTerminate                  // SIGTERM
	evRestored                   // the attempt at restoring succeeded
	evRestoreFailed              // the attempt at restoring failed
)

// action is what the watchdog does about an event.
type action uint8

const (
	doNothing   action = iota
	doCountdown        // set the timer to the countdown
	doSettle           // tell the applying process to stop, set the timer to its grace
	doRestore          // tell the applying process to stop, start an attempt, stop the timer
	doPause            // set the timer to the pause between attempts
	doDisarm           // forget the capture: the change stays
	doFinish           // forget the capture: the change is taken back
	doFail             // keep the capture and end
)

// machine decides what the watchdog does. It starts when the watchdog is ready
// and knows neither time nor processes.
type machine struct {
	phase    Phase
	outcome  Outcome // why it is being restored
	attempts int     // how many attempts may follow the present one

	// stopped: the applying process runs no step, or is gone.
	stopped bool
	// What the timer or the process is waited for while restoring.
	settling bool // for the applying process, ahead of an attempt
	running  bool // for an attempt
	overlap  bool // the last attempt began while a step may have been running
	again    bool // for the applying process, to restore once more
}

func newMachine(attempts int) *machine {
	return &machine{phase: Applying, attempts: attempts - 1}
}

// on takes an event. The error is for whoever asked.
func (m *machine) on(e event) (action, error) {
	switch e {
	case evStopped, evGone:
		return m.stop(e == evGone), nil
	case evApplied:
		if m.phase == Applying {
			m.stopped, m.phase = true, Waiting
			return doCountdown, nil
		}
		if m.phase == Waiting {
			return doNothing, nil
		}
		return m.stop(false), ErrRestoring
	case evConfirm:
		switch m.phase {
		case Applying:
			return doNothing, ErrNotApplied
		case Waiting:
			return doDisarm, nil
		}
		return doNothing, ErrRestoring
	case evUndo:
		return m.takeBack(Undone), nil
	case evTerminate:
		return m.takeBack(Terminated), nil
	case evTimer:
		switch {
		case m.phase == Applying:
			return m.takeBack(ApplyTimedOut), nil
		case m.phase == Waiting:
			return m.takeBack(TimedOut), nil
		case m.running || m.again:
			return doNothing, nil
		}
		return m.restore(), nil
	case evRestored:
		m.running = false
		switch {
		case !m.overlap:
			return doFinish, nil
		case m.stopped:
			return m.restore(), nil
		}
		m.again = true
		return doNothing, nil
	case evRestoreFailed:
		m.running = false
		if m.attempts == 0 {
			m.phase = Failed
			return doFail, nil
		}
		m.attempts--
		return doPause, nil
	}
	return doNothing, nil
}

// stop notes that no step runs any more.
func (m *machine) stop(gone bool) action {
	m.stopped = true
	switch {
	case m.phase == Applying && gone:
		return m.takeBack(Abandoned)
	case m.settling, m.again:
		return m.restore()
	}
	return doNothing
}

func (m *machine) takeBack(why Outcome) action {
	if m.phase != Applying && m.phase != Waiting {
		return doNothing
	}
	m.phase, m.outcome = Restoring, why
	if !m.stopped {
		m.settling = true
		return doSettle
	}
	return m.restore()
}

func (m *machine) restore() action {
	m.settling, m.again = false, false
	m.running, m.overlap = true, !m.stopped
	return doRestore
}
