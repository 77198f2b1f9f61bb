package dns64

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

// fakeUpstream answers after a delay, or never.
type fakeUpstream struct {
	delay  time.Duration
	silent bool
	err    error
	answer func(q question) *dnsmsg.Msg
	asked  atomic.Int32
}

func addrOfUpstream(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 53)
}

func fakeUpstreams(wg *sync.WaitGroup, ctx context.Context, fakes ...*fakeUpstream) *upstreams {
	us := &upstreams{
		background: func(fn func(context.Context)) { wg.Go(func() { fn(ctx) }) },
		log:        slog.New(slog.DiscardHandler),
		stats:      &counters{},
		exchange: func(ctx context.Context, to netip.AddrPort, q question) (*dnsmsg.Msg, error) {
			f := fakes[to.Addr().As4()[3]-1]
			f.asked.Add(1)
			if f.err != nil {
				return nil, f.err
			}
			if f.silent {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			select {
			case <-time.After(f.delay):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return f.answer(q), nil
		},
	}
	for i := range fakes {
		us.all = append(us.all, &upstream{addr: addrOfUpstream(i)})
	}
	return us
}

func answers(rcode int, rrs ...dnsmsg.RR) func(question) *dnsmsg.Msg {
	return func(q question) *dnsmsg.Msg { return response(q.Question, rcode, rrs...) }
}

// bogusUnlessUnchecked is a validating server without extended errors.
func bogusUnlessUnchecked(q question) *dnsmsg.Msg {
	if q.cd {
		return response(q.Question, dnsmsg.RcodeSuccess)
	}
	return response(q.Question, dnsmsg.RcodeServerFailure)
}

func TestUpstreams(t *testing.T) {
	q := question{Question: ask("www.example.", dnsmsg.TypeA)}
	good := answers(dnsmsg.RcodeSuccess, rrA("www.example.", "192.0.3.1", 60))
	refused := errors.New("connection refused")
	const fast = 10 * time.Millisecond
	for _, tt := range []struct {
		name  string
		fakes []*fakeUpstream
		took  time.Duration
		rcode int // -1: no answer at all
		bogus bool
		asked []int32
	}{
		{"the first answers, the second is left alone",
			[]*fakeUpstream{{delay: fast, answer: good}, {answer: good}}, fast, 0, false, []int32{1, 0}},
		{"the first is silent, the second is asked a little later",
			[]*fakeUpstream{{silent: true}, {delay: fast, answer: good}}, firstPatience + fast, 0, false, []int32{1, 1}},
		{"the first is slow: its answer still counts",
			[]*fakeUpstream{{delay: firstPatience + 5*time.Millisecond, answer: good}, {delay: time.Second, answer: good}},
			firstPatience + 5*time.Millisecond, 0, false, []int32{1, 1}},
		{"the first has no server: the second at once",
			[]*fakeUpstream{{err: refused}, {delay: fast, answer: good}}, fast, 0, false, []int32{1, 1}},
		{"SERVFAIL that is none of validation: the second is asked (a question without checking is tried before)",
			[]*fakeUpstream{{delay: fast, answer: answers(dnsmsg.RcodeServerFailure)}, {delay: fast, answer: good}}, 3 * fast, 0, false, []int32{2, 1}},
		{"REFUSED: the second is asked",
			[]*fakeUpstream{{delay: fast, answer: answers(dnsmsg.RcodeRefused)}, {delay: fast, answer: good}}, 2 * fast, 0, false, []int32{1, 1}},
		{"all refuse: that is the answer",
			[]*fakeUpstream{{delay: fast, answer: answers(dnsmsg.RcodeRefused)}, {delay: fast, answer: answers(dnsmsg.RcodeRefused)}},
			2 * fast, dnsmsg.RcodeRefused, false, []int32{1, 1}},
		{"NXDOMAIN is an answer",
			[]*fakeUpstream{{delay: fast, answer: answers(dnsmsg.RcodeNameError)}, {answer: good}}, fast, dnsmsg.RcodeNameError, false, []int32{1, 0}},
		{"validation failed, told by an extended error: final",
			[]*fakeUpstream{{delay: fast, answer: func(q question) *dnsmsg.Msg {
				return withEDE(response(q.Question, dnsmsg.RcodeServerFailure), dnsmsg.EDEDNSBogus)
			}}, {answer: good}}, fast, dnsmsg.RcodeServerFailure, true, []int32{1, 0}},
		{"validation failed, told by asking without checking: final, a server that doesn't validate is not asked",
			[]*fakeUpstream{{delay: fast, answer: bogusUnlessUnchecked}, {answer: good}}, 2 * fast, dnsmsg.RcodeServerFailure, true, []int32{2, 0}},
		{"one that is silent is asked again",
			[]*fakeUpstream{{silent: true}}, 4 * time.Second, -1, false, []int32{maxRounds}},
		{"all without a server", []*fakeUpstream{{err: refused}, {err: refused}}, 0, -1, false, []int32{maxRounds, maxRounds}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
				defer cancel()
				var wg sync.WaitGroup
				us := fakeUpstreams(&wg, ctx, tt.fakes...)
				start := time.Now()
				got := us.ask(ctx, q)
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %s, want %s", took, tt.took)
				}
				switch {
				case got.msg == nil:
					if tt.rcode != -1 {
						t.Error("no answer")
					}
				case got.msg.Rcode != tt.rcode:
					t.Errorf("response code %d, want %d", got.msg.Rcode, tt.rcode)
				}
				if got.bogus != tt.bogus {
					t.Errorf("bogus %v, want %v", got.bogus, tt.bogus)
				}
				for i, f := range tt.fakes {
					if n := f.asked.Load(); n != tt.asked[i] {
						t.Errorf("upstream %d was asked %d times, want %d", i+1, n, tt.asked[i])
					}
				}
				wg.Wait()
			})
		})
	}
}

// TestDeadUpstreamDelaysNobody lets the preferred server die and come back:
// only the first questions wait, and its return is noticed without a delay.
func TestDeadUpstreamDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		good := answers(dnsmsg.RcodeSuccess, rrA("www.example.", "192.0.3.1", 60))
		const fast = 10 * time.Millisecond
		first := &fakeUpstream{delay: fast, silent: true, answer: good}
		second := &fakeUpstream{delay: fast, answer: good}
		us := fakeUpstreams(&wg, ctx, first, second)
		q := question{Question: ask("www.example.", dnsmsg.TypeA)}
		took := func() time.Duration {
			start := time.Now()
			if us.ask(ctx, q).msg == nil {
				t.Fatal("no answer")
			}
			return time.Since(start)
		}
		for i := range downAfter {
			if d := took(); d != firstPatience+fast {
				t.Errorf("question %d with the first silent took %s", i+1, d)
			}
		}
		for i := range 600 { // a minute
			if d := took(); d != fast {
				t.Errorf("question %d with the first known silent took %s", i+1, d)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := first.asked.Load(); n > downAfter+8 {
			t.Errorf("the silent one was asked %d times in a minute", n)
		}
		first.silent = false
		for range 400 {
			if d := took(); d != fast {
				t.Errorf("question while the first returns took %s", d)
			}
			time.Sleep(100 * time.Millisecond)
		}
		before := second.asked.Load()
		took()
		if second.asked.Load() != before {
			t.Error("the preferred one is back and not preferred")
		}
		cancel()
		wg.Wait()
	})
}

// TestSlowNameIsNotADeadUpstream: silence about one name says nothing while
// other answers come.
func TestSlowNameIsNotADeadUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		good := answers(dnsmsg.RcodeSuccess)
		both := func() *fakeUpstream { return &fakeUpstream{delay: time.Millisecond, answer: good} }
		first, second := both(), both()
		us := fakeUpstreams(&wg, ctx, first, second)
		inner := us.exchange
		us.exchange = func(ctx context.Context, to netip.AddrPort, q question) (*dnsmsg.Msg, error) {
			if q.Name == "slow.example." && to == addrOfUpstream(0) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return inner(ctx, to, q)
		}
		for range 2 * downAfter {
			wg.Go(func() { us.ask(ctx, question{Question: ask("slow.example.", dnsmsg.TypeA)}) })
			time.Sleep(100 * time.Millisecond)
			us.ask(ctx, question{Question: ask("www.example.", dnsmsg.TypeA)})
			time.Sleep(time.Second)
		}
		if order, _ := us.order(); order[0].addr != addrOfUpstream(0) {
			t.Error("the preferred upstream was put aside")
		}
		cancel()
		wg.Wait()
	})
}
