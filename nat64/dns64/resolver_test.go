package dns64

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

func fakeResolver(t testing.TB, wg *sync.WaitGroup, ctx context.Context, f *fakeUpstream) *resolver {
	store, err := newCache(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	us := fakeUpstreams(wg, ctx, f)
	return &resolver{
		rules: testRules(t, "64:ff9b::/96"), cache: store, up: us, stats: us.stats, background: us.background,
		timeout: 4 * time.Second, aaaaTimeout: 1500 * time.Millisecond, flights: make(map[key]*flight),
	}
}

func answerOf(t testing.TB, e *entry) *dnsmsg.Msg {
	t.Helper()
	if e == nil {
		t.Fatal("no answer")
	}
	m, err := e.answer.Message(e.age(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestResolver(t *testing.T) {
	const www = "www.example."
	a := rrA(www, "192.0.3.1", 100)
	soa := rrSOA("example.", 60, 60)
	v4only := func(q question) *dnsmsg.Msg {
		if q.Qtype == dnsmsg.TypeA {
			return response(q.Question, dnsmsg.RcodeSuccess, a)
		}
		return response(q.Question, dnsmsg.RcodeSuccess, soa)
	}
	aaaa := key{name: www, rrtype: dnsmsg.TypeAAAA}
	inBubble := func(name string, f *fakeUpstream, test func(t *testing.T, r *resolver, ctx context.Context)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				test(t, fakeResolver(t, &wg, ctx, f), ctx)
				cancel()
				wg.Wait()
			})
		})
	}

	f := &fakeUpstream{delay: 10 * time.Millisecond, answer: v4only}
	inBubble("both questions at the same time, answers counted down in the cache", f, func(t *testing.T, r *resolver, ctx context.Context) {
		start := time.Now()
		m := answerOf(t, r.resolve(ctx, aaaa))
		if d := time.Since(start); d != 10*time.Millisecond {
			t.Errorf("cold question took %s, want one round trip", d)
		}
		if diff := cmp.Diff([]string{"www.example. 60 IN AAAA 64:ff9b::c000:301"}, text(m)); diff != "" {
			t.Error(diff)
		}
		time.Sleep(59 * time.Second)
		m = answerOf(t, r.resolve(ctx, aaaa))
		if diff := cmp.Diff([]string{"www.example. 1 IN AAAA 64:ff9b::c000:301"}, text(m)); diff != "" {
			t.Error(diff)
		}
		if n := f.asked.Load(); n != 2 {
			t.Errorf("%d questions upstream, want 2", n)
		}
		time.Sleep(time.Second)
		// The A records are cached for longer and are not asked for again.
		m = answerOf(t, r.resolve(ctx, aaaa))
		if diff := cmp.Diff([]string{"www.example. 40 IN AAAA 64:ff9b::c000:301"}, text(m)); diff != "" {
			t.Error(diff)
		}
		if n := f.asked.Load(); n != 3 {
			t.Errorf("%d questions upstream, want 3", n)
		}
	})

	f = &fakeUpstream{delay: 10 * time.Millisecond, answer: v4only}
	inBubble("equal questions are asked once", f, func(t *testing.T, r *resolver, ctx context.Context) {
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { answerOf(t, r.resolve(ctx, aaaa)) })
		}
		wg.Wait()
		if n := f.asked.Load(); n != 2 {
			t.Errorf("%d questions upstream, want 2", n)
		}
	})

	f = &fakeUpstream{delay: 10 * time.Millisecond}
	f.answer = func(q question) *dnsmsg.Msg {
		if q.Qtype == dnsmsg.TypeAAAA {
			return response(q.Question, dnsmsg.RcodeSuccess, rrAAAA(www, "2001:db8::1", 60))
		}
		time.Sleep(time.Second)
		return v4only(q)
	}
	inBubble("a native answer does not wait for A", f, func(t *testing.T, r *resolver, ctx context.Context) {
		start := time.Now()
		answerOf(t, r.resolve(ctx, aaaa))
		if d := time.Since(start); d != 10*time.Millisecond {
			t.Errorf("took %s", d)
		}
	})

	f = &fakeUpstream{delay: 10 * time.Millisecond, answer: v4only}
	inBubble("AAAA times out: A after 1.5 s, kept for a short time only", f, func(t *testing.T, r *resolver, ctx context.Context) {
		r.up.exchange = func(inner exchangeFunc) exchangeFunc {
			return func(ctx context.Context, to netip.AddrPort, q question) (*dnsmsg.Msg, error) {
				if q.Qtype == dnsmsg.TypeAAAA {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return inner(ctx, to, q)
			}
		}(r.up.exchange)
		start := time.Now()
		e := r.resolve(ctx, aaaa)
		if d := time.Since(start); d != 1500*time.Millisecond {
			t.Errorf("took %s", d)
		}
		if diff := cmp.Diff([]string{"www.example. 100 IN AAAA 64:ff9b::c000:301"}, text(answerOf(t, e))); diff != "" {
			t.Error(diff)
		}
		if e.life != maxStandIn {
			t.Errorf("kept for %s", e.life)
		}
	})

	f = &fakeUpstream{silent: true}
	inBubble("nothing answers: SERVFAIL after 4 s, kept for 5 s", f, func(t *testing.T, r *resolver, ctx context.Context) {
		start := time.Now()
		m := answerOf(t, r.resolve(ctx, aaaa))
		if d := time.Since(start); d != 4*time.Second || m.Rcode != dnsmsg.RcodeServerFailure {
			t.Errorf("response code %d after %s", m.Rcode, d)
		}
		n := f.asked.Load()
		time.Sleep(4 * time.Second)
		answerOf(t, r.resolve(ctx, aaaa))
		if f.asked.Load() != n {
			t.Error("the failure was not kept")
		}
	})

	f = &fakeUpstream{delay: time.Millisecond, answer: v4only}
	inBubble("DO and CD: as it is; each kind of client has its own answer", f, func(t *testing.T, r *resolver, ctx context.Context) {
		validating := aaaa
		validating.do, validating.cd = true, true
		if m := answerOf(t, r.resolve(ctx, validating)); len(m.Answer) != 0 || len(m.Ns) != 1 {
			t.Errorf("validating client got %v", text(m))
		}
		if m := answerOf(t, r.resolve(ctx, aaaa)); len(m.Answer) != 1 {
			t.Errorf("other client got %v", text(m))
		}
	})

	f = &fakeUpstream{delay: time.Millisecond, answer: bogusUnlessUnchecked}
	inBubble("failed validation stays SERVFAIL, with the extended error", f, func(t *testing.T, r *resolver, ctx context.Context) {
		for _, rrtype := range []uint16{dnsmsg.TypeAAAA, dnsmsg.TypeA, dnsmsg.TypeTXT} {
			m := answerOf(t, r.resolve(ctx, key{name: www, rrtype: rrtype}))
			if m.Rcode != dnsmsg.RcodeServerFailure || !dnsmsg.DNSSECFailed(m) {
				t.Errorf("%s: response code %d, extended errors %v", dnsmsg.TypeString(rrtype), m.Rcode, dnsmsg.EDEs(m))
			}
		}
	})

	f = &fakeUpstream{delay: 10 * time.Millisecond, answer: v4only}
	inBubble("the server stops", f, func(t *testing.T, r *resolver, _ context.Context) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if e := r.resolve(ctx, aaaa); e != nil {
			t.Error("an answer without waiting for it")
		}
	})
}
