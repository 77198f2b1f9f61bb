package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress prints steps as they are taken, each with the time since the start,
// and one line that changes while something is waited for. Where the output is
// no terminal, a wait is one line.
type progress struct {
	w     io.Writer
	live  bool // a terminal, where a line can be written over
	start time.Time

	mu      sync.Mutex
	waiting bool // the cursor stands behind a wait line
}

func newProgress(w io.Writer, live bool) *progress {
	return &progress{w: w, live: live, start: time.Now()}
}

// step prints a line.
func (p *progress) step(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.w, "%s %s\n", p.stamp(), fmt.Sprintf(format, args...))
}

// detail prints a line that belongs to the step before.
func (p *progress) detail(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.w, "          %s\n", text)
}

// wait shows text with the seconds that pass until the returned function is
// called.
func (p *progress) wait(format string, args ...any) (done func()) {
	text := fmt.Sprintf(format, args...)
	if !p.live {
		p.step("%s", text)
		return func() {}
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	begun := time.Now()
	show := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		fmt.Fprintf(p.w, "\r%s %s ... %.1f s\x1b[K", p.stamp(), text, time.Since(begun).Seconds())
		p.waiting = true
	}
	show()
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				show()
			}
		}
	}()
	return func() {
		close(stop)
		<-ended
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waiting {
			fmt.Fprintln(p.w)
			p.waiting = false
		}
	}
}

// clear removes a wait line that another line is to take the place of; the
// wait shows itself again.
func (p *progress) clear() {
	if p.waiting {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.waiting = false
	}
}

func (p *progress) stamp() string {
	return fmt.Sprintf("[%5.1f s]", time.Since(p.start).Seconds())
}
