// Package limit bounds how much a service works on at the same time, in all and
// for each client, so that one client can't take everything from the others.
package limit

import "sync"

// Limiter counts what is under way for clients that are told apart by a K. It is
// safe for concurrent use.
//
// The fuller it is, the less one client can have of the rest: half is for those
// with fewer than [some] under way, the last quarter for those with fewer than
// [few]. So who takes all it can, by a few dozen addresses too, leaves room for
// the next one.
type Limiter[K comparable] struct {
	all, each int

	mu    sync.Mutex
	total int
	per   map[K]int
}

// How much a client may have under way and still get one of the last. Few is two
// as a resolver asks for A and AAAA at the same time.
const (
	few  = 2
	some = 8
)

// New allows all in total and each for one client.
func New[K comparable](all, each int) *Limiter[K] {
	return &Limiter[K]{all: all, each: each, per: make(map[K]int)}
}

// room is how much of all there is for a client that has so much.
func (l *Limiter[K]) room(has int) int {
	switch {
	case has < few:
		return l.all
	case has < some:
		return l.all - l.all/4
	}
	return l.all - l.all/2
}

// Enter reports whether the client may have one more; then Leave must follow.
func (l *Limiter[K]) Enter(client K) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if has := l.per[client]; has >= l.each || l.total >= l.room(has) {
		return false
	}
	l.total++
	l.per[client]++
	return true
}

// Leave takes back one Enter that returned true.
func (l *Limiter[K]) Leave(client K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.per[client]--; l.per[client] == 0 {
		delete(l.per, client)
	}
}

// Total returns how much is under way.
func (l *Limiter[K]) Total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}
