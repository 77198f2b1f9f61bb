package ra

import (
	"errors"
	"testing"
	"time"
)

// After failures to send the goodbye waits no longer than the rate limit demands,
// and nobody else with it.
func TestGoodbyeAfterFailures(t *testing.T) {
	bubble(t, Config{Interface: "br0"}, func(f *fakeEdge, s *Server, stop func()) {
		time.Sleep(time.Minute)
		f.mu.Lock()
		f.sendErr = errors.New("no buffer space available")
		f.mu.Unlock()
		// Long enough for the longest wait between two tries, and a moment after one.
		failed := s.Stats().SendErrors
		for s.Stats().SendErrors < failed+8 {
			time.Sleep(100 * time.Millisecond)
		}
		f.mu.Lock()
		f.sendErr = nil
		f.log = nil
		f.mu.Unlock()
		began := time.Now()
		s.Stop()
		time.Sleep(time.Second)
		if !s.mu.TryLock() {
			t.Error("nothing can be asked of the server while it waits")
		} else {
			s.mu.Unlock()
		}
		stop()
		got := f.sent()
		if m := lastMessage(t, got); len(got) != 1 || m.RouterLifetime != 0 {
			t.Errorf("sent %d, last %+v", len(got), m)
		}
		if d := got[0].at.Sub(began); d > minDelayBetween {
			t.Errorf("the goodbye came after %s", d)
		}
	})
}
