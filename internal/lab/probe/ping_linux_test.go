package probe

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/nstest"
)

func TestPinger(t *testing.T) {
	near, far := pair(t)
	for _, to := range []netip.Addr{far4, far6} {
		t.Run(to.String(), func(t *testing.T) {
			p, err := StartPinger(context.Background(), near, PingConfig{To: to, Stragglers: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Stop()
			if err := p.WaitAnswer(within(t, 10*time.Second)); err != nil {
				t.Fatal(err)
			}
			stretch := func(name string) {
				p.Mark(name)
				for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
					if p.Report().Window(name).Sent >= 200 { // enough
						break
					}
					time.Sleep(5 * time.Millisecond)
				}
				p.Mark("")
			}
			stretch("control")
			nstest.Output(t, far, "nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in meta l4proto { icmp, ipv6-icmp } drop")
			stretch("cut")
			nstest.Output(t, far, "nft", "delete table inet t")
			// The neighbour may have been lost meanwhile.
			if err := p.WaitAnswer(within(t, 10*time.Second)); err != nil {
				t.Fatal(err)
			}
			stretch("after")
			r := p.Stop()
			t.Logf("%v, overflow %d, send errors %d %s", r, r.Overflow, r.SendErrors, r.FirstSendError)
			for _, w := range r.Windows {
				t.Logf("%+v", w)
			}
			if w := r.Window("control"); w.Sent < 100 || w.Lost != 0 {
				t.Errorf("control window: %+v, want at least 100 sent, none lost", w)
			}
			if w := r.Window("cut"); w.Lost < 100 || w.Stall < 100*time.Millisecond || w.Gap < 100*time.Millisecond {
				t.Errorf("cut window: %+v, want at least 100 lost and as many ms of stall", w)
			}
			if w := r.Window("after"); w.Sent < 100 || w.Lost != 0 {
				t.Errorf("window after: %+v, want at least 100 sent, none lost", w)
			}
			if r.Total.Sent != r.Total.Answered+r.Total.Lost || r.Total.Lost < r.Window("cut").Lost {
				t.Errorf("total %+v does not add up", r.Total)
			}
			if again := p.Stop(); again.Total != r.Total {
				t.Errorf("second Stop: %+v, first %+v", again.Total, r.Total)
			}
		})
	}
}

// TestPingersApart runs two pingers to one address: each sees its own answers.
func TestPingersApart(t *testing.T) {
	t.Parallel()
	near, _ := pair(t)
	var ps []*Pinger
	for range 2 {
		p, err := StartPinger(context.Background(), near, PingConfig{To: far6})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Stop()
		ps = append(ps, p)
	}
	for _, p := range ps {
		if err := p.WaitAnswer(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range ps {
		if r := p.Stop(); r.Total.Answered == 0 || r.Overflow != 0 {
			t.Errorf("%+v", r)
		}
	}
}

func TestPingerStopsWithContext(t *testing.T) {
	near, _ := pair(t)
	ctx, cancel := context.WithCancel(context.Background())
	p, err := StartPinger(ctx, near, PingConfig{To: far4})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-p.sent:
	case <-time.After(10 * time.Second):
		t.Error("still sending")
	}
	p.Stop()
}

func TestPingerWithoutRoute(t *testing.T) {
	ns := nstest.NS(t)
	if _, err := StartPinger(context.Background(), ns, PingConfig{To: far6}); err == nil {
		t.Error("no error without a route")
	}
	if _, err := StartPinger(context.Background(), ns, PingConfig{}); err == nil {
		t.Error("no error without an address")
	}
}
