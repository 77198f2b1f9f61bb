package probe

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

var (
	near4, far4 = netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.10")
	near6, far6 = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::10")
)

// pair makes two namespaces with one wire between them: link "wire" with the
// near and far addresses of both families.
func pair(t *testing.T) (near, far *netns.NS) {
	t.Helper()
	near, far = nstest.NS(t), nstest.NS(t)
	nstest.Do(t, near, func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: "wire"},
			PeerName:      "wire",
			PeerNamespace: netlink.NsFd(far.File().Fd()),
		})
	})
	for _, end := range []struct {
		ns    *netns.NS
		addrs []netip.Addr
	}{{near, []netip.Addr{near4, near6}}, {far, []netip.Addr{far4, far6}}} {
		h, err := end.ns.Handle()
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		link, err := h.LinkByName("wire")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range end.addrs {
			bits := 24
			if a.Is6() {
				bits = 64
			}
			addr, err := netlink.ParseAddr(fmt.Sprintf("%v/%d", a, bits))
			if err != nil {
				t.Fatal(err)
			}
			addr.Flags = 2 // IFA_F_NODAD
			if err := h.AddrAdd(link, addr); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
	return near, far
}

// setWire sets the far end of the wire up or down. A veth whose peer is down
// has no carrier: routes stay, packets are lost.
func setWire(t *testing.T, ns *netns.NS, up bool) {
	t.Helper()
	h, err := ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	link, err := h.LinkByName("wire")
	if err != nil {
		t.Fatal(err)
	}
	set := h.LinkSetDown
	if up {
		set = h.LinkSetUp
	}
	if err := set(link); err != nil {
		t.Fatal(err)
	}
}

// serve runs fn until the test ends, and fails the test with its error.
func serve(t *testing.T, fn func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
