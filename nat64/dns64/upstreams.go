package dns64

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

// How upstreams are judged.
const (
	// The next attempt starts when an answer takes longer than three times
	// what is usual, within these bounds.
	minPatience = 150 * time.Millisecond
	maxPatience = time.Second
	// firstPatience holds before anything was measured.
	firstPatience = 400 * time.Millisecond
	// downAfter silences in a row put an upstream aside, for minBackoff, then
	// twice as long each time up to maxBackoff.
	downAfter  = 3
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
	// maxRounds is how often one question is put to the same upstream.
	maxRounds = 3
	// probePatience is how long an upstream that is tried again may take.
	probePatience = 2 * time.Second
)

// upstream is a server and what is known of its health.
type upstream struct {
	addr netip.AddrPort

	mu       sync.Mutex
	srtt     time.Duration
	heard    time.Time // of the last answer
	silences int       // in a row
	until    time.Time // aside until then; zero if in use
	backoff  time.Duration
	probing  bool
}

// exchangeFunc puts one question to one server.
type exchangeFunc func(ctx context.Context, to netip.AddrPort, q question) (*dnsmsg.Msg, error)

// upstreams asks whichever server answers, preferring the order given.
type upstreams struct {
	all      []*upstream
	exchange exchangeFunc
	// background runs a function that may outlive the question.
	background func(func(context.Context))
	log        *slog.Logger
	stats      *counters
}

// attempt is the end of one exchange.
type attempt struct {
	u   *upstream
	out outcome
	err error
}

// ask puts the question to one upstream, to the next if the answer is slow or
// is an error, and returns the first good answer; otherwise the last error
// response, or an outcome without one when ctx ended or all failed. It returns
// only when all it waits for has ended.
//
// An upstream that was silent lately comes last; now and then it gets a
// question in addition, so that nobody has to wait to find out that it is back.
func (us *upstreams) ask(ctx context.Context, q question) outcome {
	order, probe := us.order()
	if probe != nil {
		us.background(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, probePatience)
			defer cancel()
			us.attempt(ctx, probe, q)
			probe.endProbe()
		})
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	ended := make(chan attempt)
	launch := func(u *upstream) {
		wg.Go(func() {
			a := us.attempt(ctx, u, q)
			select {
			case ended <- a:
			case <-ctx.Done():
			}
		})
	}

	said := make(map[*upstream]bool) // answered, if only with an error
	var last outcome
	var current *upstream
	var patience <-chan time.Time
	var since time.Time
	running, next := 0, 0
	advance := func() {
		for ; next < maxRounds*len(order); next++ {
			if current = order[next%len(order)]; !said[current] {
				next++
				running++
				launch(current)
				since = time.Now()
				patience = time.After(current.patience())
				return
			}
		}
		current, patience = nil, nil
	}
	advance()
	for running > 0 {
		select {
		case a := <-ended:
			running--
			switch {
			case a.err != nil && a.u == current:
				advance()
			case a.err != nil:
			case a.out.bogus || final(a.out.msg):
				return a.out
			default:
				said[a.u] = true
				last = a.out
				if a.u == current {
					advance()
				}
			}
		case <-patience:
			us.silent(current, since)
			us.stats.upstreamRetries.Add(1)
			advance()
		case <-ctx.Done():
			return last
		}
	}
	return last
}

// final reports whether an upstream's response is worth handing on before the
// others were asked.
func final(m *dnsmsg.Msg) bool {
	return m.Rcode == dnsmsg.RcodeSuccess || m.Rcode == dnsmsg.RcodeNameError
}

// attempt puts the question to one upstream. If that fails to validate the
// answer, the outcome is bogus: the upstream says so by an extended error, or
// it has an answer as soon as it need not validate.
func (us *upstreams) attempt(ctx context.Context, u *upstream, q question) attempt {
	us.stats.upstreamQueries.Add(1)
	start := time.Now()
	m, err := us.exchange(ctx, u.addr, q)
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			us.silent(u, start)
		}
		us.stats.upstreamFailures.Add(1)
		return attempt{u: u, err: err}
	}
	us.answered(u, start)
	out := outcome{msg: m}
	if m.Rcode == dnsmsg.RcodeServerFailure && !q.cd {
		out.bogus = dnsmsg.DNSSECFailed(m)
		if !out.bogus {
			unchecked := q
			unchecked.cd = true
			us.stats.upstreamQueries.Add(1)
			if m, err := us.exchange(ctx, u.addr, unchecked); err == nil && final(m) {
				out.bogus = true
			}
		}
	}
	return attempt{u: u, out: out}
}

// order returns the upstreams in the order to ask them, those that are aside
// last, and one of these whose time has come to be tried again.
func (us *upstreams) order() (order []*upstream, probe *upstream) {
	now := time.Now()
	var aside []*upstream
	for _, u := range us.all {
		u.mu.Lock()
		switch {
		case u.until.IsZero():
			order = append(order, u)
		default:
			aside = append(aside, u)
			if probe == nil && !u.probing && !now.Before(u.until) {
				u.probing = true
				probe = u
			}
		}
		u.mu.Unlock()
	}
	return append(order, aside...), probe
}

func (u *upstream) patience() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.srtt == 0 {
		return firstPatience
	}
	return min(max(3*u.srtt, minPatience), maxPatience)
}

func (u *upstream) endProbe() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.probing = false
}

// silent notes that nothing was heard from an upstream since an attempt
// started. An answer to another question in the meantime says that it is only
// this one that takes long.
func (us *upstreams) silent(u *upstream, since time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.heard.After(since) {
		return
	}
	u.silences++
	switch now := time.Now(); {
	case u.until.IsZero() && u.silences >= downAfter:
		u.backoff = minBackoff
		u.until = now.Add(u.backoff)
		us.log.Warn("DNS upstream does not answer", "upstream", u.addr)
	case !u.until.IsZero() && !now.Before(u.until):
		u.backoff = min(2*u.backoff, maxBackoff)
		u.until = now.Add(u.backoff)
	}
}

// answered notes an answer, whatever it said. The smoothing is that of
// RFC 6298, 2.3.
func (us *upstreams) answered(u *upstream, since time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.until.IsZero() {
		us.log.Info("DNS upstream answers again", "upstream", u.addr)
	}
	u.heard = time.Now()
	u.silences, u.until, u.backoff = 0, time.Time{}, 0
	if took := u.heard.Sub(since); u.srtt == 0 {
		u.srtt = took
	} else {
		u.srtt += (took - u.srtt) / 8
	}
}
