package dns64

import (
	"net/netip"
	"sync"
)

// limiter bounds how much is under way, in all and for each client.
type limiter struct {
	all, each int

	mu    sync.Mutex
	total int
	per   map[netip.Addr]int
}

func newLimiter(all, each int) *limiter {
	return &limiter{all: all, each: each, per: make(map[netip.Addr]int)}
}

// enter reports whether one more is allowed; then leave must follow.
func (l *limiter) enter(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.all || l.per[a] >= l.each {
		return false
	}
	l.total++
	l.per[a]++
	return true
}

func (l *limiter) leave(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.per[a]--; l.per[a] == 0 {
		delete(l.per, a)
	}
}
