package lab

import (
	"math"
	"testing"
	"time"
)

func TestFate(t *testing.T) {
	const n = 100000
	i := Impairment{Loss: 0.02, Duplicate: 0.03, Reorder: 0.1, Delay: 10 * time.Millisecond, Jitter: 2 * time.Millisecond, Hold: 20 * time.Millisecond, Seed: 5}
	f, same := newFate(i), newFate(i)
	var lost, twice, held int
	for range n {
		got, again := f.next(), same.next()
		if len(got) != len(again) || len(got) > 0 && got[0] != again[0] {
			t.Fatal("the same seed makes other choices")
		}
		switch len(got) {
		case 0:
			lost++
			continue
		case 2:
			twice++
		}
		switch d := got[0]; {
		case d >= 30*time.Millisecond && d <= 32*time.Millisecond:
			held++
		case d < 10*time.Millisecond || d > 12*time.Millisecond:
			t.Fatalf("takes %v", d)
		}
	}
	for _, tt := range []struct {
		name string
		got  int
		want float64
	}{{"lost", lost, 0.02}, {"twice", twice, 0.03 * 0.98}, {"held back", held, 0.1 * 0.98}} {
		if share := float64(tt.got) / n; math.Abs(share-tt.want) > 0.005 {
			t.Errorf("%s: %.4f, want %.4f", tt.name, share, tt.want)
		}
	}
	if got := newFate(Impairment{}).next(); len(got) != 1 || got[0] != 0 {
		t.Errorf("without impairment: %v", got)
	}
}
