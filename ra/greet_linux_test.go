package ra

import (
	"fmt"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// A guest that never solicits has its route from the server's greeting, by what
// its kernel sends when the link comes up. The next advertisement that is due
// anyway comes 16 s after the one before.
func TestKernelGreets(t *testing.T) {
	t.Parallel()
	n := newTestNet(t)
	nstest.Do(t, n.guest, func() error {
		// The greater of the interface's and that of all counts.
		if err := sysctl.Write("net/ipv6/conf/"+guestLink+"/accept_dad", "1"); err != nil {
			return err
		}
		return sysctl.Write("net/ipv6/conf/"+guestLink+"/router_solicitations", "0")
	})
	// The router's end gets its own address when it has a carrier.
	up := func(on bool) { nstest.Do(t, n.guest, func() error { return setUp(guestLink, on) }) }
	up(true)
	s, _ := n.serve(t, kernelConfig())
	<-s.Ready()
	up(false)
	// The socket is told while it is attached, both ways.
	for _, on := range []bool{true, false, true} {
		cfg := s.Config()
		cfg.Greet = on
		if err := s.Update(cfg); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 10*time.Second, func() string {
		if c := s.Stats(); c.Multicast < 2 {
			return fmt.Sprintf("the update isn't advertised: %+v", c)
		}
		return ""
	})
	h := handle(t, n.guest)
	// On a busy machine another advertisement may have gone out just before, within
	// whose 3 s nobody is greeted.
	for try := 1; ; try++ {
		time.Sleep(minDelayBetween + 100*time.Millisecond)
		before := s.Stats()
		up(true)
		for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if c := s.Stats(); c.Greetings > before.Greetings {
				break
			}
		}
		if c := s.Stats(); c.Greetings > before.Greetings {
			break
		}
		if try == 5 {
			t.Fatalf("not greeted: %+v", s.Stats())
		}
		up(false)
	}
	eventually(t, 10*time.Second, func() string {
		if _, gateways := guestState(h); len(gateways) == 0 {
			return fmt.Sprintf("no route; %+v", s.Stats())
		}
		return ""
	})
	if c := s.Stats(); c.Solicitations != 0 {
		t.Errorf("it has solicited: %+v", c)
	}
}
