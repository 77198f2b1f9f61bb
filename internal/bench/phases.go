package main

import (
	"strings"
	"time"
)

// stamped is a line of output and when it came.
type stamped struct {
	at   time.Time
	text string
}

// lineStamper splits what is written to it into lines, and notes when each of
// them was complete.
type lineStamper struct {
	now   func() time.Time
	rest  []byte
	lines []stamped
	// onLine, if set, gets each line as it comes.
	onLine func(stamped)
	all    strings.Builder
}

// Write implements io.Writer. The standard library's exec calls it from one
// goroutine where standard output and error are the same writer.
func (s *lineStamper) Write(b []byte) (int, error) {
	at := s.now()
	s.all.Write(b)
	s.rest = append(s.rest, b...)
	for {
		line, rest, ok := strings.Cut(string(s.rest), "\n")
		if !ok {
			return len(b), nil
		}
		s.rest = []byte(rest)
		l := stamped{at, line}
		s.lines = append(s.lines, l)
		if s.onLine != nil {
			s.onLine(l)
		}
	}
}

// progressText returns the text of one of fullhost lab's progress lines,
// "[  3.1 s] Starting 3 guests".
func progressText(line string) (text string, ok bool) {
	stamp, text, ok := strings.Cut(line, " s] ")
	if !ok || !strings.HasPrefix(stamp, "[") {
		return "", false
	}
	return text, true
}

// labPhases is how long the parts of a run of fullhost lab took.
type labPhases struct {
	build, control, move, serve, guests, check time.Duration
}

// splitLab finds the phases in the progress lines of fullhost lab, which ran
// from start to end. ok is false where a line is missing.
func splitLab(start, end time.Time, lines []stamped) (p labPhases, ok bool) {
	marks := []struct {
		prefix string
		into   *time.Duration // what this line ends
	}{
		{"Counting pings", &p.build},
		{"Moving the server", &p.control},
		{"Moved in", &p.move},
		{"Starting ", &p.serve},
		{"Checking", &p.guests},
	}
	last, next := start, 0
	for _, l := range lines {
		text, is := progressText(l.text)
		if next < len(marks) && is && strings.HasPrefix(text, marks[next].prefix) {
			*marks[next].into = l.at.Sub(last)
			last = l.at
			next++
		}
	}
	p.check = end.Sub(last)
	return p, next == len(marks)
}
