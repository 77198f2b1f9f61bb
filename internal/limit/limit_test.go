package limit

import (
	"net/netip"
	"testing"
)

func TestLimiter(t *testing.T) {
	a, b := netip.MustParseAddr("2001:db8::a"), netip.MustParseAddr("2001:db8::b")
	l := New(3, 2)
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
