package ra

import (
	"net/netip"
	"time"
)

// RFC 4861, section 10.
const (
	maxInitialInterval = 16 * time.Second       // MAX_INITIAL_RTR_ADVERT_INTERVAL
	maxInitial         = 3                      // MAX_INITIAL_RTR_ADVERTISEMENTS
	minDelayBetween    = 3 * time.Second        // MIN_DELAY_BETWEEN_RAS
	maxRADelay         = 500 * time.Millisecond // MAX_RA_DELAY_TIME
)

const (
	// maxPending bounds the hosts that wait for a unicast answer; a Linux
	// bridge has 1023 ports. Beyond it one multicast answers all.
	maxPending = 1024
	// longestRetry bounds the wait after failures to send.
	longestRetry = 16 * time.Second
)

// scheduler decides when which advertisement is to be sent. It knows no clock:
// every method is told the time. Its zero value is idle.
type scheduler struct {
	min, max, delay time.Duration
	// rand returns a duration from 0 to its argument, both included.
	rand func(time.Duration) time.Duration

	active bool
	// next is when the next multicast is due, notBefore the earliest time that
	// the rate limit, or the wait after a failure, allows one.
	next, notBefore time.Time
	// limited is until when the rate limit alone allows none.
	limited time.Time
	// answering: next was set by a solicitation that waits for it.
	answering bool
	// initial counts the advertisements still to be followed by a short
	// interval.
	initial int
	// retry is the wait after the last failure.
	retry time.Duration

	waiting map[netip.Addr]struct{}
	queue   answers
}

// action is what is to be sent: a multicast, or a unicast to somebody.
type action struct {
	multicast bool
	to        netip.Addr
}

// start begins advertising, or begins anew after what is advertised has
// changed: at once, and soon again (RFC 4861, section 6.2.4).
func (s *scheduler) start(now time.Time) {
	s.active = true
	s.initial = maxInitial
	s.next = later(now, s.notBefore)
}

// stop goes idle. The rate limit outlives it.
func (s *scheduler) stop() {
	s.active = false
	s.forget()
}

// final is when the last advertisement may be sent. It doesn't wait as long as
// the next try after failures may.
func (s *scheduler) final(now time.Time) time.Time { return later(now, s.limited) }

// solicited is told of a valid solicitation, with a source that can be
// answered, or the zero Addr to answer all (RFC 4861, section 6.2.6). It
// reports whether the answer is one that was going to be sent anyway.
func (s *scheduler) solicited(now time.Time, from netip.Addr) (coalesced bool) {
	if !s.active {
		return false
	}
	if from.IsValid() {
		if _, ok := s.waiting[from]; ok {
			return true
		}
		due := now.Add(s.rand(s.delay))
		if !s.next.After(due) {
			return true
		}
		if len(s.queue) < maxPending {
			if s.waiting == nil {
				s.waiting = make(map[netip.Addr]struct{})
			}
			s.waiting[from] = struct{}{}
			s.queue.push(answer{due: due, to: from})
			return false
		}
	}
	if s.answering {
		return true
	}
	// Within the rate limit the random delay counts from the limit's end.
	due := later(now, s.notBefore).Add(s.rand(s.delay))
	if !due.Before(s.next) {
		return true
	}
	s.next, s.answering = due, true
	return false
}

// arrived is told of a host that came up and has not solicited yet. It reports
// whether all are told because of that. Within the rate limit nobody is: by the
// limit's end the host has asked, and was answered by unicast.
func (s *scheduler) arrived(now time.Time) bool {
	if !s.active || s.answering || now.Before(s.notBefore) {
		return false
	}
	due := now.Add(s.rand(s.delay))
	if !due.Before(s.next) {
		return false
	}
	s.next, s.answering = due, true
	return true
}

// due is when take has something to return; the zero Time is never.
func (s *scheduler) due() time.Time {
	if !s.active {
		return time.Time{}
	}
	if len(s.queue) > 0 && s.queue[0].due.Before(s.next) {
		return s.queue[0].due
	}
	return s.next
}

// take returns what is to be sent now, if anything. What became of a multicast
// must be told to sent or failed.
func (s *scheduler) take(now time.Time) (action, bool) {
	if !s.active {
		return action{}, false
	}
	if !s.next.After(now) {
		return action{multicast: true}, true
	}
	if len(s.queue) > 0 && !s.queue[0].due.After(now) {
		a := s.queue.pop()
		delete(s.waiting, a.to)
		return action{to: a.to}, true
	}
	return action{}, false
}

// sent is told that a multicast went out. It answers everybody who waits.
func (s *scheduler) sent(now time.Time) {
	s.forget()
	s.retry = 0
	s.limited = now.Add(minDelayBetween)
	s.notBefore = s.limited
	interval := s.min + s.rand(s.max-s.min)
	if s.initial > 0 {
		s.initial--
		interval = min(interval, maxInitialInterval)
	}
	s.next = now.Add(interval)
}

// failed is told that a multicast could not be sent, or only in part.
func (s *scheduler) failed(now time.Time) {
	s.answering = false
	s.limited = now.Add(minDelayBetween) // a part of it may have gone out
	s.retry = min(max(2*s.retry, time.Second), longestRetry)
	s.notBefore = later(s.notBefore, now.Add(s.retry))
	s.next = s.notBefore
}

func (s *scheduler) forget() {
	s.answering = false
	s.queue = s.queue[:0]
	clear(s.waiting)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// answer is a unicast advertisement that is to be sent.
type answer struct {
	due time.Time
	to  netip.Addr
}

// answers is a heap by due. Package container/heap would allocate for every one
// put in and taken out.
type answers []answer

func (q *answers) push(a answer) {
	h := append(*q, a)
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].due.Before(h[up].due) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	*q = h
}

func (q *answers) pop() answer {
	h := *q
	first := h[0]
	n := len(h) - 1
	h[0] = h[n]
	h = h[:n]
	for i := 0; ; {
		least := i
		for down := 2*i + 1; down <= 2*i+2 && down < n; down++ {
			if h[down].due.Before(h[least].due) {
				least = down
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*q = h
	return first
}
