package gateway

import "net/netip"

// limiter holds back errors of our own (RFC 4443, section 2.4 f): a bucket of
// tokens for each of a few classes of guests, so that one who provokes errors
// doesn't silence those due to others.
type limiter struct {
	buckets [64]bucket
}

type bucket struct {
	second int64
	left   int
}

// perSecond is how many errors one class of guests gets in a second.
const perSecond = 50

// allow reports whether an error may go to a guest at a time in seconds. The
// class is where the guest is, if that is known: it can invent addresses.
func (l *limiter) allow(to netip.Addr, at origin, now int64) bool {
	n := uint32(at) % uint32(len(l.buckets))
	if at == 0 {
		n = preferred(to, uint32(len(l.buckets)))
	}
	b := &l.buckets[n]
	if b.second != now {
		b.second, b.left = now, perSecond
	}
	if b.left == 0 {
		return false
	}
	b.left--
	return true
}
