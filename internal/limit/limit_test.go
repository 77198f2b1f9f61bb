package limit

import (
	"net/netip"
	"testing"
)

func TestLimiter(t *testing.T) {
	a, b := netip.MustParseAddr("2001:db8::a"), netip.MustParseAddr("2001:db8::b")
	l := New[netip.Addr](3, 2)
	for i, want := range []bool{true, true, false} {
		if got := l.Enter(a); got != want {
			t.Errorf("a's entry %d: %v, want %v", i+1, got, want)
		}
	}
	if !l.Enter(b) || l.Enter(b) {
		t.Error("b may enter once, before all are three")
	}
	l.Leave(a)
	if !l.Enter(b) {
		t.Error("b may not take the place that a left")
	}
	l.Leave(a)
	l.Leave(b)
	l.Leave(b)
	if l.Total() != 0 || len(l.per) != 0 {
		t.Errorf("%d and %d clients are left over", l.Total(), len(l.per))
	}
}

// However many clients take all they can, one after the other or in turn, those
// that come later get something, as long as a quarter is not full of newcomers.
func TestGreedy(t *testing.T) {
	const all, each = 1024, 256
	for _, inTurn := range []bool{false, true} {
		for _, greedy := range []int{1, 4, 9, 64, 150} {
			l := New[int](all, each)
			if inTurn {
				for range each {
					for c := range greedy {
						l.Enter(c)
					}
				}
			} else {
				for c := range greedy {
					for l.Enter(c) {
					}
				}
			}
			for c := range 2 {
				for n := range few {
					if !l.Enter(1000 + c) {
						t.Errorf("%d greedy ones, in turn %v, hold %d: newcomer %d has only %d", greedy, inTurn, l.Total(), c, n)
					}
				}
			}
		}
	}
}

// One client that is alone has all that one may have.
func TestAlone(t *testing.T) {
	l := New[int](1024, 256)
	n := 0
	for l.Enter(1) {
		n++
	}
	if n != 256 {
		t.Errorf("%d", n)
	}
}
