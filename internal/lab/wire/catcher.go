package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Catcher collects the router advertisements that arrive on an interface.
type Catcher struct {
	name    string
	capture *Capture

	mu      sync.Mutex
	seen    []RA
	bad     []error
	changed chan struct{} // closed and replaced with every one seen
}

// NewCatcher listens on an interface of the calling goroutine's network
// namespace. Advertisements are kept from then on; they are seen while Run
// runs. The caller calls Run, or Close.
func NewCatcher(ifname string) (*Catcher, error) {
	c := &Catcher{name: ifname, changed: make(chan struct{})}
	capture, err := NewCapture(CaptureConfig{Interface: ifname, Frame: c.frame, Frames: 512})
	if err != nil {
		return nil, err
	}
	c.capture = capture
	return c, nil
}

// Run collects until ctx ends, and then returns nil.
func (c *Catcher) Run(ctx context.Context) error { return c.capture.Run(ctx) }

// Close ends a catcher that is not run.
func (c *Catcher) Close() error { return c.capture.Close() }

func (c *Catcher) frame(at time.Time, b []byte) {
	// Cheap look first: guests' bulk traffic comes by here.
	if e, ok := splitEthernet(b); !ok || e.typ != typeIPv6 {
		return
	}
	ra, err := ParseRAFrame(b)
	if err != nil && !errors.Is(err, ErrTruncated) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.bad = append(c.bad, err)
	} else {
		ra.At = at
		c.seen = append(c.seen, ra)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// Seen returns the advertisements so far in the order they came.
func (c *Catcher) Seen() []RA {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen)
}

// Malformed returns what was wrong with advertisements that could not be
// decoded; each matches ErrTruncated.
func (c *Catcher) Malformed() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.bad)
}

// Wait returns the first advertisement, of those seen already or to come, that
// fits; nil fits all. The error matches ctx's when it ends before.
func (c *Catcher) Wait(ctx context.Context, fits func(RA) bool) (RA, error) {
	looked := 0
	for {
		c.mu.Lock()
		seen, changed := c.seen[looked:], c.changed
		c.mu.Unlock()
		for _, ra := range seen {
			if fits == nil || fits(ra) {
				return ra, nil
			}
		}
		looked += len(seen)
		select {
		case <-changed:
		case <-ctx.Done():
			return RA{}, fmt.Errorf("wait for a router advertisement on %s, %d others seen: %w", c.name, looked, context.Cause(ctx))
		}
	}
}
