package netns_test

import (
	"net"
	"sync"
	"testing"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// TestHome opens sockets from goroutines anywhere: they must land in the
// namespace the Home was made in.
func TestHome(t *testing.T) {
	for range 20 {
		ns := nstest.NS(t)
		var home *netns.Home
		var l net.Listener
		nstest.Do(t, ns, func() (err error) {
			if home, err = netns.NewHome(); err != nil {
				return err
			}
			l, err = net.Listen("tcp", "127.0.0.1:0")
			return err
		})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				err := home.Do(func() error {
					c, err := net.Dial("tcp", l.Addr().String())
					if err == nil {
						c.Close()
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		l.Close()
		if err := home.Close(); err != nil {
			t.Error(err)
		}
	}
	here, err := netns.NewHome()
	if err != nil {
		t.Fatal(err)
	}
	if err := here.Do(func() error { return nil }); err != nil {
		t.Error(err)
	}
	if err := here.Close(); err != nil {
		t.Error(err)
	}
}
