package fastpath

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/nat64"
)

// A list of denied blocks may be long; each of them is kept from guests.
func TestLongDeniedList(t *testing.T) {
	s := newStage(t, "64:ff9b::/96", false)
	const first, n = 20 << 24, 10000
	s.settings.Denied = nil
	for i := range uint32(n) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], first+2*i<<4)
		s.settings.Denied = append(s.settings.Denied, netip.PrefixFrom(netip.AddrFrom4(b), 28))
	}
	nstest.Do(t, s.host, func() error { return Attach(s.dir, s.settings, s.device, s.link) })
	s.ping(t)
	for _, i := range []int{0, 4096, n - 1} {
		dst := s.settings.Prefix.Embed(s.settings.Denied[i].Addr().Next())
		h := head{src: s.guest6, dst: dst, hops: 64, proto: 17}
		u, at := upper(17, 100)
		seal(h.src, h.dst, 17, u, at, false)
		if got := s.outcome(t, false, ipv6(h, u), vnet{}); got != Refused {
			t.Errorf("to %s: %s", dst, got)
		}
	}
}

// Programs that the kernel does not take leave those that are there as they are,
// and known to be.
func TestFailedAttachChangesNothing(t *testing.T) {
	s := newStage(t, "64:ff9b::/96", false)
	before := s.find(t)
	bad := s.settings
	bad.Denied = []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("::ffff:203.0.114.0"), 120)} // a length that the trie refuses
	err := s.host.Do(func() error { return Attach(s.dir, bad, s.device, s.link) })
	if err == nil {
		t.Fatal("attached")
	}
	byValue := cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b nat64.Prefix) bool { return a == b })}
	if now := s.find(t); !cmp.Equal(now, before, byValue) {
		t.Errorf("found %+v, was %+v", now, before)
	}
	s.ping(t)
}
