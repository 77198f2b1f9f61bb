package ra

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/slaac"
)

// A monitor in the guest's namespace hears the real server as a rogue, sees it
// change and go.
func TestKernelMonitor(t *testing.T) {
	n := newTestNet(t)
	n.quietGuest(t)
	var mu sync.Mutex
	var events []string
	var m *Monitor
	nstest.Do(t, n.guest, func() (err error) {
		m, err = NewMonitor(MonitorConfig{Interface: guestLink, Logger: logTo(t), Handle: func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, strings.TrimPrefix(fmt.Sprintf("%T", e), "*ra."))
			if e.Source() != slaac.LinkLocal(n.routerMAC) {
				t.Errorf("event about %s", e.Source())
			}
			if r, ok := e.(*RogueRouter); ok && r.MAC != n.routerMAC {
				t.Errorf("the rogue's MAC is %s", r.MAC)
			}
		}})
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	saw := func(want ...string) {
		t.Helper()
		eventually(t, 15*time.Second, func() string {
			mu.Lock()
			defer mu.Unlock()
			if strings.Join(events, " ") != strings.Join(want, " ") {
				return fmt.Sprintf("events %q, want %q", events, want)
			}
			return ""
		})
	}
	s, stop := n.serve(t, kernelConfig())
	saw("RogueRouter")
	cfg := kernelConfig()
	cfg.Interface = routerLink
	cfg.Managed = true
	if err := s.Update(cfg); err != nil {
		t.Fatal(err)
	}
	saw("RogueRouter", "RouterChanged")
	s.Stop()
	stop()
	saw("RogueRouter", "RouterChanged", "RouterGone")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c := m.Stats(); c.Rogues != 1 || c.Changes != 1 || c.Gone != 1 || c.Advertisements < 3 {
		t.Errorf("%+v", c)
	}
}
