package gateway

import "net/netip"

// limiter holds back errors of our own (RFC 4443, section 2.4 f), so that one who
// provokes errors doesn't silence those due to others. All begin anew with each
// second, so that nothing has to be kept of who was there.
type limiter struct {
	second int64
	// ports are those whose guests are told apart, by what they got; others is
	// for a few classes of addresses.
	ports  map[origin]int
	others [64]int
}

// perSecond is how many errors one port, or one class of addresses, gets in a
// second.
const perSecond = 50

// allow reports whether an error may go to a guest at a time in seconds. It is
// charged to where the guest is, if that is known: it can invent addresses.
func (l *limiter) allow(to netip.Addr, at origin, now int64) bool {
	if l.second != now || l.ports == nil {
		l.second, l.ports, l.others = now, make(map[origin]int), [64]int{}
	}
	if at == 0 {
		n := &l.others[preferred(to, uint32(len(l.others)))]
		if *n == perSecond {
			return false
		}
		*n++
		return true
	}
	if l.ports[at] == perSecond {
		return false
	}
	l.ports[at]++
	return true
}
