package hostile

import (
	"bytes"
	"sync"
	"time"
)

// Attack is one kind of frames.
type Attack struct {
	// Name is a few words for a table.
	Name string
	// Frames are whole Ethernet frames, without their checksum.
	Frames [][]byte
	// MayReach: it is no harm in itself that other guests hear the frames; what
	// they do then must be harmless.
	MayReach bool
	// MayPass: some of the frames may happen to be what a guest is allowed, or
	// the host answers; that a mark gets through is then no leak in itself.
	MayPass bool

	number uint8
}

// Number is what the frames are marked with.
func (a Attack) Number() uint8 { return a.number }

// markStart begins a mark, in bytes that don't turn up by themselves.
var markStart = []byte{0xc5, 'h', 0x9e, 0xa7}

// markSize is the length of a mark: it fits into a neighbour discovery option of
// eight bytes, and into a label of a name.
const markSize = 6

// mark ends with the number and its complement, so that random changes don't make
// it another's.
func mark(number uint8) []byte { return append(bytes.Clone(markStart), number, ^number) }

// MarkOf returns the number of the attack that a frame carries.
func MarkOf(frame []byte) (uint8, bool) {
	i := bytes.Index(frame, markStart)
	if i < 0 || i+markSize > len(frame) || frame[i+4] != ^frame[i+5] {
		return 0, false
	}
	return frame[i+4], true
}

// Tally counts marked frames by attack. Its methods may be called from several
// goroutines.
type Tally struct {
	mu   sync.Mutex
	seen [256]int
}

// Frame counts a frame if it is marked; it fits wire.CaptureConfig.
func (t *Tally) Frame(_ time.Time, b []byte) {
	n, ok := MarkOf(b)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen[n]++
}

// Seen is how many frames of an attack have been counted.
func (t *Tally) Seen(a Attack) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen[a.number]
}
