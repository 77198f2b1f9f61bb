package lab

import (
	"math/rand/v2"
	"time"
)

// Impairment says what a [Relay] does to packets. Shares are between 0 and 1.
type Impairment struct {
	// Loss is the share that is lost, Duplicate the share that comes twice.
	Loss, Duplicate float64
	// Delay is what every packet takes, up to Jitter more.
	Delay, Jitter time.Duration
	// Reorder is the share that is held back by Hold, so that others overtake.
	Reorder float64
	Hold    time.Duration
	// Seed makes the choices; the same seed makes the same ones.
	Seed uint64
}

// fate decides about packets, one after the other.
type fate struct {
	Impairment
	rng *rand.Rand
}

func newFate(i Impairment) *fate {
	return &fate{i, rand.New(rand.NewPCG(i.Seed, 0x6a09e667f3bcc908))}
}

// next returns how long each copy of the next packet takes; none is a loss.
// Every call draws as many numbers, so that one share doesn't change what
// another does to a packet.
func (f *fate) next() []time.Duration {
	lost, twice, held := f.rng.Float64() < f.Loss, f.rng.Float64() < f.Duplicate, f.rng.Float64() < f.Reorder
	jitter := time.Duration(f.rng.Float64() * float64(f.Jitter))
	if lost {
		return nil
	}
	d := f.Delay + jitter
	if held {
		d += f.Hold
	}
	if twice {
		return []time.Duration{d, d}
	}
	return []time.Duration{d}
}
