package probe

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nstest"
)

func TestTry(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	echo, err := NewEchoServer(far, netip.AddrPortFrom(netip.IPv6Unspecified(), 7))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, echo.Run)
	const (
		table  = "add table inet t; add chain inet t in { type filter hook input priority 0; }; "
		prot   = "add rule inet t in meta l4proto { tcp, udp, icmp, ipv6-icmp } "
		not135 = "add rule inet t in icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; "
	)
	for _, tc := range []struct {
		name           string
		rules          string
		tcp, dns, ping Outcome
		errno6, errno4 error // of pings
	}{
		{name: "open", tcp: Answered, dns: RefusedBy, ping: Answered},
		{name: "dropped", rules: table + not135 + prot + "drop", tcp: Silent, dns: Silent, ping: Silent},
		{
			name: "prohibited", rules: table + not135 + prot + "reject with icmpx admin-prohibited",
			tcp: RefusedBy, dns: RefusedBy, ping: RefusedBy, errno6: unix.EACCES, errno4: unix.EHOSTUNREACH,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.rules != "" {
				nstest.Output(t, far, "nft", tc.rules)
				defer nstest.Output(t, far, "nft", "delete table inet t")
			}
			wait := 10 * time.Second
			if tc.tcp == Silent {
				wait = 200 * time.Millisecond
			}
			ctx := context.Background()
			for _, to := range []netip.Addr{far4, far6} {
				check := func(a Attempt, want Outcome, errno error) {
					t.Helper()
					t.Log(a)
					if a.Outcome != want {
						t.Errorf("%v, want %v", a, want)
					}
					switch want {
					case Answered:
						if a.Err != nil || Unanswered(a) == nil {
							t.Errorf("%v: error %v, Unanswered %v", a, a.Err, Unanswered(a))
						}
					case Silent:
						if !errors.Is(a.Err, ErrNoAnswer) || Unanswered(a) != nil || a.Took < wait {
							t.Errorf("%v: error %v, took %v, Unanswered %v", a, a.Err, a.Took, Unanswered(a))
						}
					case RefusedBy:
						if !errors.Is(a.Err, ErrRefused) || a.By != to || Unanswered(a) != nil {
							t.Errorf("%v: error %v, Unanswered %v", a, a.Err, Unanswered(a))
						}
					}
					if errno != nil && !errors.Is(a.Err, errno) {
						t.Errorf("%v: error %v, want %v", a, a.Err, errno)
					}
				}
				errno := tc.errno6
				if to.Is4() {
					errno = tc.errno4
				}
				check(TryTCP(ctx, near, netip.AddrPortFrom(to, 7), wait), tc.tcp, errno)
				check(TryDNS(ctx, near, netip.AddrPortFrom(to, 53), "a.example", TypeA, wait), tc.dns, errno)
				check(TryPing(ctx, near, to, wait), tc.ping, errno)
			}
		})
	}
}

// TestTryReset tells a TCP reset.
func TestTryReset(t *testing.T) {
	t.Parallel()
	near, _ := pair(t)
	a := TryTCP(context.Background(), near, netip.AddrPortFrom(far6, 9), 10*time.Second)
	if a.Outcome != RefusedBy || !errors.Is(a.Err, unix.ECONNREFUSED) {
		t.Errorf("%v", a)
	}
}

// TestTryUnsent: what never left proves nothing.
func TestTryUnsent(t *testing.T) {
	t.Parallel()
	near, _ := pair(t)
	empty := nstest.NS(t)
	ctx := context.Background()
	for _, a := range []Attempt{
		TryTCP(ctx, empty, netip.AddrPortFrom(far6, 80), time.Second),
		TryDNS(ctx, empty, netip.AddrPortFrom(far4, 53), "a.example", TypeA, time.Second),
		TryPing(ctx, empty, far6, time.Second),
		// A neighbour that isn't there.
		TryTCP(ctx, near, netip.MustParseAddrPort("[2001:db8::bad]:80"), 10*time.Second),
		TryPing(ctx, near, netip.MustParseAddr("203.0.113.99"), 10*time.Second),
	} {
		t.Log(a)
		if a.Outcome != Unsent || !errors.Is(Unanswered(a), ErrUnsent) {
			t.Errorf("%v: Unanswered %v", a, Unanswered(a))
		}
	}
	if Unanswered() == nil {
		t.Error("no attempts prove something")
	}
}

func TestTryEndsWithContext(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	nstest.Output(t, far, "nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in meta l4proto tcp drop")
	a := TryTCP(within(t, 100*time.Millisecond), near, netip.AddrPortFrom(far6, 9), time.Minute)
	if a.Outcome != Silent || a.Took > 20*time.Second {
		t.Errorf("%v after %v", a, a.Took)
	}
}
