package ifaddr_test

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// TestReceivesAtOnce adds addresses on a machine kept busy, where without
// waiting one in some hundred is not local yet.
func TestReceivesAtOnce(t *testing.T) {
	var busy sync.WaitGroup
	var stop atomic.Bool
	for range 2 * runtime.NumCPU() {
		busy.Go(func() {
			for !stop.Load() {
			}
		})
	}
	defer busy.Wait()
	defer stop.Store(true)
	for range 100 {
		nstest.Do(t, nstest.NS(t), func() error {
			h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			defer h.Close()
			lo, err := h.LinkByName("lo")
			if err != nil {
				return err
			}
			a, err := netlink.ParseAddr("2001:db8::1/128")
			if err != nil {
				return err
			}
			if err := ifaddr.AddReady(context.Background(), h, lo, a); err != nil {
				return err
			}
			// What the kernel says by another question than AddReady's.
			routes, err := h.RouteGet(net.ParseIP("2001:db8::1"))
			if err != nil {
				return err
			}
			if len(routes) != 1 || routes[0].Type != unix.RTN_LOCAL {
				return errors.New("the kernel would not deliver to the address yet")
			}
			if err := ifaddr.AddReady(context.Background(), h, lo, a); !errors.Is(err, unix.EEXIST) {
				t.Errorf("adding it again: %v", err)
			}
			return nil
		})
	}
}
