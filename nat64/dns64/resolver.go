package dns64

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

// resolver turns questions into answers: from the cache, of its own, or from
// the upstreams. Equal questions that come together are asked once.
type resolver struct {
	rules       rules
	hosts       atomic.Pointer[hosts]
	cache       cache
	up          *upstreams
	timeout     time.Duration
	aaaaTimeout time.Duration
	stats       *counters
	// background runs a function whose context ends when the server does.
	background func(func(context.Context))

	mu      sync.Mutex
	flights map[key]*flight
}

// flight is one question on its way.
type flight struct {
	done  chan struct{}
	entry *entry // set when done is closed; nil if the server is stopping
}

// resolve returns the answer to a question, or nil when ctx ends before.
func (r *resolver) resolve(ctx context.Context, k key) *entry {
	if e, ok := r.cache.get(k, time.Now()); ok {
		return e
	}
	f := r.join(k)
	select {
	case <-f.done:
		return f.entry
	case <-ctx.Done():
		return nil
	}
}

// join returns the flight for the key and starts it if there is none.
func (r *resolver) join(k key) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.flights[k]; ok {
		return f
	}
	f := &flight{done: make(chan struct{})}
	r.flights[k] = f
	r.background(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, r.timeout)
		defer cancel()
		e := r.find(ctx, k)
		if e != nil {
			r.cache.put(k, e)
		}
		r.mu.Lock()
		delete(r.flights, k)
		r.mu.Unlock()
		f.entry = e
		close(f.done)
	})
	return f
}

// find makes the answer.
func (r *resolver) find(ctx context.Context, k key) *entry {
	q := k.question()
	if m := r.rules.local(q.Question, k.plain); m != nil {
		r.stats.local.Add(1)
		return r.entry(m, lifetime(m))
	}
	if target, ok := r.rules.reverse(q.Question); ok && !k.validates() && !k.plain {
		r.stats.reverse.Add(1)
		t := k
		t.name = target
		m := alias(q.Question, target, r.again(ctx, t))
		return r.entry(m, lifetime(m))
	}
	if k.rrtype == dnsmsg.TypeAAAA && !k.validates() && !k.plain {
		return r.findAAAA(ctx, k)
	}
	out := r.up.ask(ctx, q)
	m := out.msg
	if m == nil || len(m.Question) == 0 {
		m = failure(q.Question, m, dnsmsg.EDENoReachable)
	} else if out.bogus && len(dnsmsg.EDEs(m)) == 0 {
		m = failure(q.Question, m, dnsmsg.EDEDNSBogus)
	}
	if out.bogus {
		r.stats.bogus.Add(1)
	}
	if !k.validates() {
		m = r.hosts.Load().exists(q.Question, m)
	}
	return r.entry(m, lifetime(m))
}

// host answers from the list of hosts, or returns nil. It is never kept: the
// list may be another one at any time.
func (r *resolver) host(k key) *entry {
	if k.validates() {
		return nil
	}
	m := r.hosts.Load().answer(r.rules, k.question().Question, k.plain)
	if m == nil {
		return nil
	}
	r.stats.local.Add(1)
	return r.entry(m, 0)
}

// findAAAA asks for AAAA and A records together (RFC 6147, 5.1.8), waits for
// what decides, and no longer than aaaaTimeout for AAAA once there is something
// to stand in for it (5.1.3).
func (r *resolver) findAAAA(ctx context.Context, k key) *entry {
	q := k.question()
	ctxAAAA, cancel := context.WithCancel(ctx)
	defer cancel()
	aaaaEnded := make(chan outcome, 1)
	r.background(func(context.Context) { aaaaEnded <- r.up.ask(ctxAAAA, q) })
	aEnded := make(chan outcome, 1)
	r.background(func(context.Context) {
		a := k
		a.rrtype = dnsmsg.TypeA
		aEnded <- r.again(ctx, a)
	})

	var aaaa, a outcome
	haveAAAA, haveA, late := false, false, false
	timer := time.NewTimer(r.aaaaTimeout)
	defer timer.Stop()
	for {
		if haveAAAA && (haveA || !r.rules.needsA(q.Question, aaaa)) {
			break
		}
		if late && haveA && a.msg != nil && r.rules.synthesise(q.Question, nil, a.msg) != nil && !a.bogus {
			break
		}
		select {
		case aaaa = <-aaaaEnded:
			haveAAAA = true
		case a = <-aEnded:
			haveA = true
		case <-timer.C:
			late = true
		}
	}
	m, v := r.rules.answer(q.Question, aaaa, a)
	life := lifetime(m)
	switch v {
	case native:
		r.stats.native.Add(1)
	case synthesised:
		r.stats.synthesised.Add(1)
		if aaaa.msg == nil || aaaa.msg.Rcode != dnsmsg.RcodeSuccess {
			life = min(life, maxStandIn)
		}
	case failed:
		if aaaa.bogus || a.bogus {
			r.stats.bogus.Add(1)
		}
	}
	return r.entry(m, life)
}

// again resolves a further question for an answer in the making.
func (r *resolver) again(ctx context.Context, k key) outcome {
	e := r.resolve(ctx, k)
	if e == nil {
		return outcome{}
	}
	m, err := e.answer.Message(e.age(time.Now()))
	if err != nil {
		return outcome{}
	}
	return outcome{msg: m, bogus: dnsmsg.DNSSECFailed(m)}
}

// entry packs an answer. One that can't be packed becomes a failure.
func (r *resolver) entry(m *dnsmsg.Msg, life time.Duration) *entry {
	if m.Rcode != dnsmsg.RcodeSuccess && m.Rcode != dnsmsg.RcodeNameError {
		r.stats.failed.Add(1)
	}
	a, err := dnsmsg.NewAnswer(m)
	if err != nil {
		a, err = dnsmsg.NewAnswer(failure(m.Question[0], nil, dnsmsg.EDEOther))
		if err != nil {
			return nil
		}
		life = failureTTL
	}
	return &entry{answer: a, stored: time.Now(), life: life}
}
