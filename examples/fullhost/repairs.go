package main

import (
	"time"

	"github.com/sixhost/sixhost/plan"
)

// deviation is one thing that is not as wanted, whichever package found it.
type deviation struct {
	found string // what is there instead, "" where the step completes others
	step  plan.Step
	vital bool // the host itself must not be left without it
}

const (
	// repairFloor is the least time between two repairs, so that who changes
	// things as fast as possible does not get all of a processor.
	repairFloor = 20 * time.Millisecond
	// More than fightRepairs of one thing within fightWindow are a fight.
	fightRepairs = 5
	fightWindow  = 10 * time.Second
	// What is fought over is left for firstPause, then twice as long each time.
	firstPause   = time.Second
	longestPause = 30 * time.Second
	// failedPause is the longest time between two tries that fail.
	failedPause = time.Second
)

// repairs decides when what is put back. It only counts: the time is handed in.
//
// What is vital is put back whenever it is found missing, at most every
// repairFloor: there is no fight in which the host gives up its address. What
// else is fought over is left for longer and longer, because a host that is
// changed twenty times a second serves its guests less well than one that is
// changed once in half a minute.
type repairs struct {
	last   time.Time
	failed int // runs in a row in which a step failed
	things map[string]*thing
}

// thing is what one step puts back.
type thing struct {
	recent []time.Time   // repairs within fightWindow
	last   time.Time     // the last repair
	pause  time.Duration // 0: no fight
	said   time.Time     // when the fight was last spoken of
}

// calm reports whether nobody has changed the thing for so long that it is
// over.
func (t *thing) calm(now time.Time) bool { return now.Sub(t.last) > fightWindow+t.pause }

// due selects what to put back now, in its order, and says when to ask again
// for the rest.
func (r *repairs) due(now time.Time, all []deviation) (list []deviation, again time.Duration) {
	for key, t := range r.things {
		if t.calm(now) {
			delete(r.things, key)
		}
	}
	floor := repairFloor
	if r.failed > 0 {
		floor = min(repairFloor<<min(r.failed, 10), failedPause)
	}
	if wait := r.last.Add(floor).Sub(now); !r.last.IsZero() && wait > 0 {
		return nil, wait
	}
	again = longestPause
	for _, d := range all {
		t := r.things[d.step.Text]
		if t != nil && !d.vital {
			if wait := t.last.Add(t.pause).Sub(now); wait > 0 {
				again = min(again, wait)
				continue
			}
		}
		list = append(list, d)
	}
	if len(list) > 0 {
		again = repairFloor
	}
	return list, again
}

// done notes a run of what was due, and which steps failed. It returns the
// things of which it is time to say that they are fought over.
func (r *repairs) done(now time.Time, list []deviation, failed map[string]bool) (fights []deviation) {
	r.last = now
	if len(failed) > 0 {
		r.failed++
	} else {
		r.failed = 0
	}
	if r.things == nil {
		r.things = make(map[string]*thing)
	}
	for _, d := range list {
		key := d.step.Text
		if failed[key] {
			continue // nobody has taken away what was not there
		}
		t := r.things[key]
		if t == nil {
			t = &thing{}
			r.things[key] = t
		}
		recent := t.recent[:0]
		for _, at := range t.recent {
			if now.Sub(at) < fightWindow {
				recent = append(recent, at)
			}
		}
		t.recent, t.last = append(recent, now), now
		if t.pause == 0 && len(t.recent) <= fightRepairs {
			continue
		}
		// A vital thing is not left, only spoken of less and less.
		if t.pause == 0 {
			t.pause = firstPause
		} else if !d.vital || now.Sub(t.said) >= t.pause {
			t.pause = min(2*t.pause, longestPause)
		} else {
			continue
		}
		t.said = now
		if d.found != "" {
			fights = append(fights, d)
		}
	}
	return fights
}

// fought reports whether everything in the list is being fought over, so that
// a word on every repair would be one too many.
func (r *repairs) fought(list []deviation) bool {
	for _, d := range list {
		if t := r.things[d.step.Text]; d.found != "" && (t == nil || t.pause == 0) {
			return false
		}
	}
	return len(list) > 0
}

// fighting reports whether anything is being fought over.
func (r *repairs) fighting() bool {
	for _, t := range r.things {
		if t.pause > 0 {
			return true
		}
	}
	return false
}
