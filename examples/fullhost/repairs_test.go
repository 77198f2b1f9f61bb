package main

import (
	"testing"
	"time"

	"github.com/sixhost/sixhost/plan"
)

func thingOf(text string, vital bool) deviation {
	return deviation{found: text + " is wrong", step: plan.Step{Text: text}, vital: vital}
}

// opponent undoes every repair at once, for the given time, and counts.
func opponent(t *testing.T, r *repairs, all []deviation, start time.Time, length time.Duration) (runs map[string]int, longest map[string]time.Duration, said int) {
	t.Helper()
	runs, longest = make(map[string]int), make(map[string]time.Duration)
	last := make(map[string]time.Time)
	for now := start; now.Before(start.Add(length)); {
		list, again := r.due(now, all)
		for _, d := range list {
			key := d.step.Text
			runs[key]++
			if at, ok := last[key]; ok {
				longest[key] = max(longest[key], now.Sub(at))
			}
			last[key] = now
		}
		if len(list) > 0 {
			said += len(r.done(now, list, nil))
		}
		if again <= 0 {
			t.Fatalf("asks to be called again after %v", again)
		}
		now = now.Add(again)
	}
	return runs, longest, said
}

// TestFightBacksOff: a fight of ten minutes over something vital and something
// that is not.
func TestFightBacksOff(t *testing.T) {
	var r repairs
	start := time.Unix(1e9, 0)
	runs, longest, said := opponent(t, &r, []deviation{thingOf("address", true), thingOf("sysctl", false)}, start, 10*time.Minute)
	if longest["address"] != repairFloor {
		t.Errorf("the address was left for %v", longest["address"])
	}
	if longest["sysctl"] != longestPause {
		t.Errorf("the sysctl was left for %v, want %v", longest["sysctl"], longestPause)
	}
	// Six at once, then after 1, 2, 4, 8, 16, 30, 30 ... seconds.
	if n := runs["sysctl"]; n < 20 || n > 35 {
		t.Errorf("the sysctl was put back %d times", n)
	}
	if said > 60 {
		t.Errorf("spoke of the fight %d times", said)
	}
	// After a calm time all is as at the start.
	now := start.Add(20 * time.Minute)
	for range fightRepairs {
		list, _ := r.due(now, []deviation{thingOf("sysctl", false)})
		if len(list) != 1 {
			t.Fatal("after the fight it is not put back at once")
		}
		if r.fought(list) {
			t.Error("after the fight it is still fought over")
		}
		r.done(now, list, nil)
		now = now.Add(time.Second)
	}
}

// TestFewRepairsAreNoFight: five in ten seconds, again and again.
func TestFewRepairsAreNoFight(t *testing.T) {
	var r repairs
	now := time.Unix(1e9, 0)
	for range 100 {
		list, _ := r.due(now, []deviation{thingOf("sysctl", false)})
		if len(list) != 1 {
			t.Fatal("held back")
		}
		if fights := r.done(now, list, nil); len(fights) > 0 {
			t.Fatal("called a fight")
		}
		now = now.Add(2 * time.Second)
	}
}

// TestFailingIsNoFight: what can't be put back is tried ever more slowly, but
// at least every second, and nobody is accused.
func TestFailingIsNoFight(t *testing.T) {
	var r repairs
	now := time.Unix(1e9, 0)
	tries := 0
	for end := now.Add(time.Minute); now.Before(end); {
		list, again := r.due(now, []deviation{thingOf("address", true)})
		if len(list) > 0 {
			tries++
			if fights := r.done(now, list, map[string]bool{"address": true}); len(fights) > 0 {
				t.Fatal("called a fight")
			}
		}
		now = now.Add(again)
	}
	if tries < 58 || tries > 75 {
		t.Errorf("tried %d times in a minute", tries)
	}
	list, _ := r.due(now.Add(failedPause), []deviation{thingOf("address", true)})
	r.done(now, list, nil)
	if list, _ = r.due(now.Add(repairFloor), []deviation{thingOf("address", true)}); len(list) != 1 {
		t.Error("after a success it is still slow")
	}
}
