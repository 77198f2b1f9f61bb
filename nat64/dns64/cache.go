package dns64

import (
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

// key identifies an answer. What a validating client gets differs from what
// others get, and so does what a plain one gets, for whom nothing is
// synthesised. The class is always IN, the name canonical.
type key struct {
	name   string
	rrtype uint16
	do, cd bool
	plain  bool
}

// validates reports whether the client validates by itself, and wants the data
// as it is (RFC 6147, 5.5, third case): it has set both bits.
func (k key) validates() bool { return k.do && k.cd }

func (k key) question() question {
	return question{
		Question: dnsmsg.Question{Name: k.name, Qtype: k.rrtype, Qclass: dnsmsg.ClassINET},
		do:       k.do, cd: k.cd,
	}
}

// entry is an answer and how long it holds.
type entry struct {
	answer *dnsmsg.Answer
	stored time.Time
	life   time.Duration
}

// age in whole seconds, to be taken off the TTLs.
func (e *entry) age(now time.Time) uint32 { return uint32(max(0, now.Sub(e.stored)) / time.Second) }

// cache holds answers, bounded by the memory they take. Entries that have
// expired are not returned; they stay until something pushes them out, as
// that needs no goroutine.
type cache struct {
	store *otter.Cache[key, *entry]
}

func newCache(bytes int) (cache, error) {
	store, err := otter.New(&otter.Options[key, *entry]{
		MaximumWeight: uint64(bytes),
		Weigher: func(k key, e *entry) uint32 {
			const overhead = 160 // key, entry and the cache's own node
			return uint32(overhead + len(k.name) + e.answer.Size())
		},
		// Housekeeping runs on the goroutine that happens to call, so that
		// none outlives the server.
		Executor: func(fn func()) { fn() },
	})
	if err != nil {
		return cache{}, fmt.Errorf("make DNS cache: %w", err)
	}
	return cache{store}, nil
}

func (c cache) get(k key, now time.Time) (*entry, bool) {
	e, ok := c.store.GetIfPresent(k)
	if !ok || now.Sub(e.stored) >= e.life {
		return nil, false
	}
	return e, true
}

func (c cache) put(k key, e *entry) {
	if e.life > 0 {
		c.store.Set(k, e)
	}
}
