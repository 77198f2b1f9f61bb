package ra

import (
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/nstest"
)

// A listener hears on when its interface was removed and made anew.
func TestListenerOnLinkMadeAnew(t *testing.T) {
	n := newTestNet(t)
	s, _ := n.serve(t, kernelConfig())
	n.quietGuest(t)
	h := n.listen(t)
	heard := func(more int) {
		t.Helper()
		before := len(h.list())
		eventually(t, 20*time.Second, func() string {
			if got := len(h.list()) - before; got < more {
				return fmt.Sprintf("heard %d; %+v", got, s.Stats())
			}
			return ""
		})
	}
	n.rawSolicit(t, 255, "::", 1)
	heard(1)
	nstest.Do(t, n.router, func() error {
		l, err := netlink.LinkByName(routerLink)
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	n.addVeth(t)
	n.guestUp(t, true)
	heard(1)
}
