// Package limit bounds how much a service works on at the same time, in all and
// for each client, so that one client can't take everything from the others.
package limit

import (
	"net/netip"
	"sync"
)

// Limiter counts what is under way. It is safe for concurrent use.
type Limiter struct {
	all, each int

	mu    sync.Mutex
	total int
	per   map[netip.Addr]int
}

// New allows all in total and each for one address.
func New(all, each int) *Limiter {
	return &Limiter{all: all, each: each, per: make(map[netip.Addr]int)}
}

// Enter reports whether the client may have one more; then Leave must follow.
func (l *Limiter) Enter(client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.all || l.per[client] >= l.each {
		return false
	}
	l.total++
	l.per[client]++
	return true
}

// Leave takes back one Enter that returned true.
func (l *Limiter) Leave(client netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.per[client]--; l.per[client] == 0 {
		delete(l.per, client)
	}
}

// Total returns how much is under way.
func (l *Limiter) Total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}
