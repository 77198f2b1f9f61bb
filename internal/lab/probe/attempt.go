package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Outcome says what an attempt met.
type Outcome uint8

// Only Silent and RefusedBy prove that somebody does not answer.
const (
	Unsent    Outcome = iota // nothing left the namespace: no route, no neighbour
	Silent                   // nothing came back
	RefusedBy                // a TCP reset, or an ICMP error of somebody else's
	Answered                 // a connection, a DNS response, an echo reply
)

// String names the outcome.
func (o Outcome) String() string {
	switch o {
	case Unsent:
		return "not sent"
	case Silent:
		return "silent"
	case RefusedBy:
		return "refused"
	case Answered:
		return "answered"
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// Attempt is one try to get an answer.
type Attempt struct {
	What    string // "TCP", "DNS" or "ping"
	To      string
	Outcome Outcome
	By      netip.Addr    // who refused, where an ICMP error told it
	Detail  string        // what came back
	RCode   int           // of a DNS response
	Err     error         // matches ErrUnsent, ErrNoAnswer or ErrRefused, and the errno; nil where Answered
	Took    time.Duration // until it was decided
}

func newAttempt(what, to string) Attempt { return Attempt{What: what, To: to} }

func (a Attempt) unsent(err error) Attempt {
	a.Outcome, a.Err = Unsent, err
	if !errors.Is(err, ErrUnsent) {
		a.Err = fmt.Errorf("%w: %w", ErrUnsent, err)
	}
	return a
}

// String is one line for a reader.
func (a Attempt) String() string {
	s := fmt.Sprintf("%s to %s: %v", a.What, a.To, a.Outcome)
	if a.Err != nil && a.Outcome != Silent {
		s += fmt.Sprintf(" (%v)", a.Err)
	}
	if a.Detail != "" {
		s += ", " + a.Detail
	}
	if a.By.IsValid() {
		s += fmt.Sprintf(" from %v", a.By)
	}
	return s
}

// Unanswered returns nil when every attempt was refused or met silence, and
// otherwise says which was answered, or proved nothing because it was not sent.
// The latter match ErrUnsent.
func Unanswered(attempts ...Attempt) error {
	var errs []error
	for _, a := range attempts {
		switch a.Outcome {
		case Silent, RefusedBy:
		case Unsent:
			errs = append(errs, fmt.Errorf("%s to %s: %w", a.What, a.To, a.Err))
		default:
			errs = append(errs, errors.New(a.String()))
		}
	}
	if len(attempts) == 0 {
		errs = append(errs, fmt.Errorf("no attempt: %w", ErrUnsent))
	}
	return errors.Join(errs...)
}
