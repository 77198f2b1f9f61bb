package ra

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mdlayher/ndp"
)

// fakeUplink is up or not as it is told.
type fakeUplink struct {
	mu     sync.Mutex
	up     bool
	err    error
	events chan struct{}
}

func newFakeUplink(up bool) *fakeUplink { return &fakeUplink{up: up, events: make(chan struct{}, 8)} }

func (u *fakeUplink) Up() (bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.up, u.err
}

func (u *fakeUplink) Wait(ctx context.Context) error {
	select {
	case <-u.events:
	case <-ctx.Done():
	}
	return nil
}

func (u *fakeUplink) set(up bool, err error) {
	u.mu.Lock()
	u.up, u.err = up, err
	u.mu.Unlock()
	u.events <- struct{}{}
}

// RFC 4861, section 6.2.5: who ceases to be a default router says so by
// lifetime 0, and goes on advertising.
func TestNoUplinkMeansNoDefaultRouter(t *testing.T) {
	u := newFakeUplink(true)
	cfg := Config{
		Interface: "br0", Preference: High, Uplink: nil,
		Routes: []Route{{Prefix: mustPrefix("::/0")}, {Prefix: mustPrefix("2001:db8:3::/48")}},
		PREF64: []PREF64{{Prefix: mustPrefix("64:ff9b::/96")}},
	}
	synctest.Test(t, func(t *testing.T) {
		u = newFakeUplink(true)
		cfg.Uplink = u
		f := newFakeEdge()
		s := newServer(cfg, f, f, fixed(0.5))
		done := make(chan error, 1)
		go func() { done <- s.Run(t.Context()) }()
		check := func(when string, lifetime time.Duration, pref Preference, defaultRoute, other time.Duration) {
			t.Helper()
			m := lastMessage(t, f.sent())
			if m.RouterLifetime != lifetime || m.RouterSelectionPreference != pref {
				t.Errorf("%s: router lifetime %s, preference %s", when, m.RouterLifetime, m.RouterSelectionPreference)
			}
			for _, o := range m.Options {
				switch o := o.(type) {
				case *ndp.RouteInformation:
					want := other
					if o.PrefixLength == 0 {
						want = defaultRoute
					}
					if o.RouteLifetime != want {
						t.Errorf("%s: route to %s/%d for %s", when, o.Prefix, o.PrefixLength, o.RouteLifetime)
					}
				case *ndp.PREF64:
					// The IPv4 Internet is another matter.
					if o.Lifetime == 0 {
						t.Errorf("%s: no NAT64", when)
					}
				}
			}
		}
		const long = 1800 * time.Second
		time.Sleep(100 * time.Second)
		check("at first", long, High, long, long)
		// A route that is replaced is missing for a moment.
		u.set(false, nil)
		time.Sleep(500 * time.Millisecond)
		u.set(true, nil)
		time.Sleep(5 * time.Second)
		if got := f.sent(); len(got) != 0 {
			t.Errorf("a moment without a route was told: %v", got)
		}
		u.set(false, nil)
		time.Sleep(1100 * time.Millisecond)
		check("lost", 0, Medium, 0, long)
		u.set(true, nil)
		time.Sleep(3 * time.Second)
		check("back", long, High, long, long)
		u.set(false, errors.New("no answer"))
		time.Sleep(20 * time.Second)
		check("not known", long, High, long, long)
		s.Handover()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		cfg.Uplink = newFakeUplink(false)
		f := newFakeEdge()
		s := newServer(cfg, f, f, fixed(0.5))
		done := make(chan error, 1)
		go func() { done <- s.Run(t.Context()) }()
		synctest.Wait()
		if m := lastMessage(t, f.sent()); m.RouterLifetime != 0 {
			t.Errorf("the first says %s", m.RouterLifetime)
		}
		s.Handover()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
