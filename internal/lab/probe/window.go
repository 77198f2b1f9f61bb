package probe

import (
	"slices"
	"time"
)

// mark is where a window starts.
type mark struct {
	name string
	at   int64 // nanoseconds since the run's start
	seq  int   // first probe of the window
}

// span is a stretch of a run: probes [from, to), nanoseconds [start, end).
type span struct {
	name       string
	from, to   int
	start, end int64
}

// spans cuts a run of n probes that ends at end into windows. Unnamed windows
// are left out.
func spans(marks []mark, n int, end int64) []span {
	var all []span
	for i, m := range marks {
		s := span{name: m.name, from: m.seq, to: n, start: m.at, end: end}
		if i+1 < len(marks) {
			s.to, s.end = marks[i+1].seq, marks[i+1].at
		}
		if m.name != "" {
			all = append(all, s)
		}
	}
	return all
}

// longestGap returns the longest time between two events in a row that has
// some of the span within it, so that a stall over a window's edge counts for
// both sides. Events are sorted.
func longestGap(events []int64, s span) time.Duration {
	var longest int64
	for i := 1; i < len(events); i++ {
		if events[i-1] < s.end && events[i] > s.start {
			longest = max(longest, events[i]-events[i-1])
		}
	}
	return time.Duration(longest)
}

// none stands for an answer that did not come.
const none = -1

// pingLog holds when each probe left and came back, in nanoseconds since the
// run's start.
type pingLog struct {
	sent, got []int64
	marks     []mark
}

// PingWindow says how the probes sent in one stretch of a run fared.
type PingWindow struct {
	Name     string        `json:"name,omitempty"`
	Length   time.Duration `json:"length"`
	Sent     int           `json:"sent"`
	Answered int           `json:"answered"`
	Lost     int           `json:"lost"` // sent, and not answered until the run's end
	// Stall is the longest time from a probe's sending until the first answer
	// to it or to a later one. It does not grow when the prober itself is kept
	// from sending.
	Stall time.Duration `json:"stall"`
	// Gap is the longest time between two answers in a row.
	Gap time.Duration `json:"gap"`
	// SendGap is the longest time between two sends in a row: what of Gap may
	// be the prober's own doing on a loaded machine.
	SendGap time.Duration `json:"send_gap"`
}

// report sums up the probes of a span; end is when the run's sending ended.
func (l *pingLog) report(s span, end int64) PingWindow {
	w := PingWindow{Name: s.name, Length: time.Duration(s.end - s.start), Sent: s.to - s.from}
	var answers []int64
	first := int64(none) // first answer to this or a later probe
	var stall int64
	for i := len(l.got) - 1; i >= 0; i-- {
		if got := l.got[i]; got != none {
			answers = append(answers, got)
			if first == none || got < first {
				first = got
			}
		}
		if i < s.from || i >= s.to {
			continue
		}
		if l.got[i] != none {
			w.Answered++
		}
		if first != none {
			stall = max(stall, first-l.sent[i])
		} else { // nothing is known beyond the end
			stall = max(stall, end-l.sent[i])
		}
	}
	w.Lost = w.Sent - w.Answered
	w.Stall = time.Duration(stall)
	slices.Sort(answers)
	// Silence before the first and after the last answer is a gap too.
	if n := len(l.got); n > 0 {
		answers = slices.Insert(answers, 0, min(l.sent[0], append(answers, end)[0]))
		if l.got[n-1] == none {
			answers = append(answers, max(end, answers[len(answers)-1]))
		}
	}
	w.Gap = longestGap(answers, s)
	w.SendGap = longestGap(l.sent, s)
	return w
}

// sessionLog holds when each echo came.
type sessionLog struct {
	sent, got []int64 // an outstanding message has sent only
	marks     []mark
}

// SessionWindow says how a session fared in one stretch of a run.
type SessionWindow struct {
	Name   string        `json:"name,omitempty"`
	Length time.Duration `json:"length"`
	Echoes int           `json:"echoes"` // of messages sent in this window
	// Stall is the longest time between two echoes in a row; what of it is not
	// in RoundTrip may be the prober's own doing on a loaded machine.
	Stall time.Duration `json:"stall"`
	// RoundTrip is the longest time from sending a message to its echo.
	RoundTrip time.Duration `json:"round_trip"`
}

func (l *sessionLog) report(s span, end int64) SessionWindow {
	w := SessionWindow{Name: s.name, Length: time.Duration(s.end - s.start)}
	w.Echoes = max(0, min(s.to, len(l.got))-s.from)
	for i := s.from; i < s.to; i++ {
		back := end
		if i < len(l.got) {
			back = l.got[i]
		}
		w.RoundTrip = max(w.RoundTrip, time.Duration(back-l.sent[i]))
	}
	events := l.got
	if len(l.sent) > 0 {
		events = append([]int64{l.sent[0]}, events...)
		if len(l.sent) > len(l.got) {
			events = append(events, end)
		}
	}
	w.Stall = longestGap(events, s)
	return w
}
