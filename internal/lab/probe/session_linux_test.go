package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/nstest"
)

func TestSession(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	for _, to := range []netip.Addr{far4, far6} {
		t.Run(to.String(), func(t *testing.T) {
			echo, err := NewEchoServer(far, netip.AddrPortFrom(to, 0))
			if err != nil {
				t.Fatal(err)
			}
			serve(t, echo.Run)
			s, err := StartSession(within(t, 30*time.Second), near, SessionConfig{To: echo.Addr()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Stop()
			s.Mark("control")
			for s.Report().Total.Echoes < 100 {
				if err := s.WaitEcho(within(t, 10*time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			s.Mark("cut")
			nstest.Output(t, far, "nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in meta l4proto tcp drop")
			time.Sleep(300 * time.Millisecond)
			nstest.Output(t, far, "nft", "delete table inet t")
			if err := s.WaitEcho(within(t, 10*time.Second)); err != nil {
				t.Fatal(err)
			}
			s.Mark("after")
			if err := s.WaitEcho(within(t, 10*time.Second)); err != nil {
				t.Fatal(err)
			}
			r := s.Stop()
			t.Logf("%v: %+v", r, r.Windows)
			if !r.Alive || r.Error != "" {
				t.Errorf("not alive: %+v", r)
			}
			if w := r.Window("control"); w.Echoes < 90 || w.Stall <= 0 {
				t.Errorf("control window: %+v", w)
			}
			if w := r.Window("cut"); w.Stall < 250*time.Millisecond || w.RoundTrip < 200*time.Millisecond {
				t.Errorf("cut window: %+v, want a stall of 300 ms or more", w)
			}
			if r.Total.Stall != r.Window("cut").Stall {
				t.Errorf("total stall %v, that of the cut window %v", r.Total.Stall, r.Window("cut").Stall)
			}
			if err := s.WaitEcho(context.Background()); !errors.Is(err, net.ErrClosed) {
				t.Errorf("WaitEcho after Stop: %v", err)
			}
		})
	}
}

func TestSessionHangs(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	echo, err := NewEchoServer(far, netip.AddrPortFrom(far6, 0))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, echo.Run)
	s, err := StartSession(context.Background(), near, SessionConfig{To: echo.Addr(), Linger: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WaitEcho(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	setWire(t, far, false)
	if err := s.WaitEcho(within(t, 100*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitEcho over a cut wire: %v", err)
	}
	r := s.Stop()
	if r.Alive || r.Error != "" || !strings.Contains(r.String(), "hanging") {
		t.Errorf("%v: %+v", r, r)
	}
}

func TestSessionBreaks(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	echo, err := NewEchoServer(far, netip.AddrPortFrom(far4, 0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- echo.Run(ctx) }()
	s, err := StartSession(context.Background(), near, SessionConfig{To: echo.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if err := s.WaitEcho(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := s.WaitEcho(within(t, 10*time.Second)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitEcho after the server ended: %v", err)
	}
	if r := s.Stop(); r.Alive || r.Error == "" {
		t.Errorf("%+v", r)
	}
}

func TestSessionRefused(t *testing.T) {
	t.Parallel()
	near, _ := pair(t)
	_, err := StartSession(within(t, 10*time.Second), near, SessionConfig{To: netip.AddrPortFrom(far6, 9)})
	if !errors.Is(err, ErrRefused) {
		t.Errorf("error %v, want ErrRefused", err)
	}
}
