package gateway

import "testing"

// Every port has errors of its own, whatever its number, and one that asks for
// more gets no more by other addresses.
func TestErrorsByPort(t *testing.T) {
	var l limiter
	for now := int64(5); now < 7; now++ {
		got := 0
		for n := range uint64(10000) {
			if l.allow(guestN(n), 7, now) {
				got++
			}
		}
		if got != perSecond {
			t.Errorf("%d errors in a second", got)
		}
		for other := 8; other < 1<<16; other++ {
			if !l.allow(guestN(1), origin(other), now) {
				t.Fatalf("port %d is silenced", other)
			}
		}
	}
}
