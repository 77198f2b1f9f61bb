package ra

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/nstest"
)

// From the solicitation in the socket to the answer in the kernel nothing is
// allocated. What the kernel itself does is real; the guest's end is a socket
// like the server's, with the types swapped.
func TestAnswersDontAllocate(t *testing.T) {
	n := newTestNet(t)
	n.quietGuest(t)
	cfg := kernelConfig()
	cfg.Interface = routerLink
	var s *Server
	nstest.Do(t, n.router, func() (err error) {
		s, err = New(cfg)
		return err
	})
	defer s.Close()
	guest := n.guestSocket(t)
	s.changed.Store(true)
	s.begin(time.Now())
	s.work(time.Now())
	if !s.attached {
		t.Fatal("not advertising")
	}
	rs := []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}
	routers := netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 2})
	buf, heard := make([]byte, longestMessage), make([]byte, longestMessage)
	// Far enough away to be the same for all: moving a deadline is another matter.
	until := time.Now().Add(time.Hour)
	const rounds = 500
	answers := uint64(0)
	one := func() {
		if err := guest.send(rs, routers); err != nil {
			t.Fatal(err)
		}
		p, err := s.conn.receive(buf, until)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		s.receive(now, p, buf)
		s.work(now)
		if _, err := guest.receive(heard, until); err != nil {
			t.Fatal(err)
		}
		answers++
	}
	one() // the map of waiting hosts is made by the first
	if got := testing.AllocsPerRun(rounds, one); got != 0 {
		t.Errorf("%g allocations per answer", got)
	}
	if c := s.Stats(); c.Unicast+c.Multicast < answers {
		t.Errorf("%d answers, %+v", answers, c)
	}
}
