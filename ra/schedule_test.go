package ra

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// clockStart is any moment.
func clockStart() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

func fixed(fraction float64) func(time.Duration) time.Duration {
	return func(d time.Duration) time.Duration { return time.Duration(float64(d) * fraction) }
}

func testScheduler(rnd func(time.Duration) time.Duration) *scheduler {
	return &scheduler{min: 200 * time.Second, max: 600 * time.Second, delay: maxRADelay, rand: rnd}
}

// event is what a table drives the scheduler with.
type event struct {
	at   time.Duration
	from string // a solicitation: from an address, or "all"
	do   string // start, stop, fail (the next multicast)
}

// drive plays events and returns what is sent until the end, as
// "1.5s all" or "1.5s fe80::1".
func drive(s *scheduler, events []event, until time.Duration) []string {
	t0 := clockStart()
	var sent []string
	fail := false
	runTo := func(end time.Time) {
		for {
			due := s.due()
			if due.IsZero() || due.After(end) {
				return
			}
			a, ok := s.take(due)
			if !ok {
				panic("nothing to take when due")
			}
			who := a.to.String()
			if a.multicast {
				who = "all"
				if fail {
					fail = false
					who = "failed"
					s.failed(due)
				} else {
					s.sent(due)
				}
			}
			sent = append(sent, fmt.Sprintf("%gs %s", due.Sub(t0).Seconds(), who))
		}
	}
	for _, e := range events {
		now := t0.Add(e.at)
		runTo(now.Add(-1))
		switch {
		case e.do == "start":
			s.start(now)
		case e.do == "stop":
			s.stop()
		case e.do == "fail":
			fail = true
		case e.from == "all":
			s.solicited(now, netip.Addr{})
		default:
			s.solicited(now, netip.MustParseAddr(e.from))
		}
	}
	runTo(t0.Add(until))
	return sent
}

func TestSchedule(t *testing.T) {
	const ms = time.Millisecond
	start := event{do: "start"}
	for _, tt := range []struct {
		name   string
		rnd    float64
		events []event
		until  time.Duration
		want   []string
	}{
		{
			"the first three are followed by at most 16 s, RFC 4861 6.2.4", 0.5, []event{start}, 1000 * time.Second,
			[]string{"0s all", "16s all", "32s all", "48s all", "448s all", "848s all"},
		},
		{
			"unicast answer after the random delay", 0.5, []event{start, {at: 10 * time.Second, from: "fe80::a"}}, 11 * time.Second,
			[]string{"0s all", "10.25s fe80::a"},
		},
		{
			"a host that asks again is answered once, as of its first question", 0.5,
			[]event{start, {at: 10000 * ms, from: "fe80::a"}, {at: 10100 * ms, from: "fe80::a"}, {at: 10200 * ms, from: "fe80::b"}}, 11 * time.Second,
			[]string{"0s all", "10.25s fe80::a", "10.45s fe80::b"},
		},
		{
			"unicast is not rate limited", 0, []event{start, {at: 100 * ms, from: "fe80::a"}, {at: 101 * ms, from: "fe80::b"}, {at: 102 * ms, from: "fe80::a"}}, time.Second,
			[]string{"0s all", "0.1s fe80::a", "0.101s fe80::b", "0.102s fe80::a"},
		},
		{
			"a multicast that comes sooner answers, RFC 4861 6.2.6", 0.5, []event{start, {at: 15900 * ms, from: "fe80::a"}, {at: 15950 * ms, from: "all"}}, 17 * time.Second,
			[]string{"0s all", "16s all"},
		},
		{
			"a multicast answers those who wait for a unicast", 0.5,
			[]event{start, {at: 15700 * ms, from: "fe80::a"}, {at: 15800 * ms, from: "fe80::b"}}, 17 * time.Second,
			[]string{"0s all", "15.95s fe80::a", "16s all"},
		},
		{
			"multicast answer within 3 s comes 3 s and the delay after the last", 0.5, []event{start, {at: time.Second, from: "all"}}, 5 * time.Second,
			[]string{"0s all", "3.25s all"},
		},
		{
			"multicast answer after 3 s comes after the delay, and restarts the interval", 0.5, []event{start, {at: 10 * time.Second, from: "all"}}, 30 * time.Second,
			[]string{"0s all", "10.25s all", "26.25s all"},
		},
		{
			"a failed multicast is repeated, no solicitation hastens it", 0.5,
			[]event{{do: "fail"}, start, {at: 100 * ms, from: "all"}, {at: 200 * ms, from: "all"}}, 5 * time.Second,
			[]string{"0s failed", "1s all"},
		},
		{
			"a start anew keeps the rate limit", 0.5, []event{start, {at: time.Second, do: "stop"}, {at: 1500 * ms, from: "fe80::a"}, {at: 2 * time.Second, do: "start"}}, 4 * time.Second,
			[]string{"0s all", "3s all"},
		},
		{
			"idle before start", 0.5, []event{{from: "fe80::a"}, {from: "all"}}, time.Hour, nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := drive(testScheduler(fixed(tt.rnd)), tt.events, tt.until); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("sent %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestFailuresBackOff(t *testing.T) {
	s := testScheduler(fixed(0))
	s.start(clockStart())
	var waits []time.Duration
	for range 7 {
		now := s.due()
		s.take(now)
		s.failed(now)
		waits = append(waits, s.due().Sub(now))
	}
	want := []time.Duration{1, 2, 4, 8, 16, 16, 16}
	for i := range want {
		if waits[i] != want[i]*time.Second {
			t.Fatalf("waits %v", waits)
		}
	}
}

// However many solicitations come, from whomever: multicasts are 3 s apart at
// least (RFC 4861, section 6.2.6), what is kept is bounded, and everybody is
// answered within the 3 s and the delay.
func TestStorm(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := testScheduler(func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d) + 1)) })
	t0 := clockStart()
	now := t0
	s.start(now)
	var last time.Time
	multicasts, unicasts := 0, 0
	oldest := make(map[netip.Addr]time.Time) // solicitations without an answer
	const most = minDelayBetween + 2*maxRADelay
	for i := range 200_000 {
		now = now.Add(time.Duration(r.Int64N(int64(time.Millisecond))))
		from := netip.Addr{}
		if i%3 != 0 {
			var a [16]byte
			a[0], a[1] = 0xfe, 0x80
			binary.BigEndian.PutUint32(a[12:], uint32(r.IntN(100_000)))
			from = netip.AddrFrom16(a)
		}
		s.solicited(now, from)
		if _, ok := oldest[from]; !ok {
			oldest[from] = now
		}
		if len(s.queue) > maxPending || len(s.waiting) != len(s.queue) {
			t.Fatalf("%d wait, %d known", len(s.queue), len(s.waiting))
		}
		for {
			a, ok := s.take(now)
			if !ok {
				break
			}
			if !a.multicast {
				unicasts++
				delete(oldest, a.to)
				continue
			}
			if !last.IsZero() && now.Sub(last) < minDelayBetween {
				t.Fatalf("multicasts %s apart", now.Sub(last))
			}
			for who, since := range oldest {
				if now.Sub(since) > most {
					t.Fatalf("%s waited for %s", who, now.Sub(since))
				}
			}
			clear(oldest)
			last = now
			multicasts++
			s.sent(now)
		}
	}
	t.Logf("in %s: %d multicasts, %d unicasts", now.Sub(t0), multicasts, unicasts)
	if least := int(now.Sub(t0) / (minDelayBetween + maxRADelay + time.Millisecond)); multicasts < least {
		t.Errorf("%d multicasts, want at least %d", multicasts, least)
	}
}
