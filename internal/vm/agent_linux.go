package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/sixhost/sixhost/internal/vm/agent/proto"
)

// ErrRebooted means that a command's machine has booted again meanwhile.
var ErrRebooted = errors.New("the machine has booted again")

// ExitError tells of a command that failed.
type ExitError struct {
	Command string
	Status  int
	Output  string
}

// Error has the output too: it says why.
func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: exit status %d\n%s", e.Command, e.Status, e.Output)
}

// agent is the program of that name in the machine, as seen from here.
type agent struct {
	f *os.File
	// boots gets a value for each start of the program.
	boots chan struct{}

	mu      sync.Mutex
	last    int
	pending map[int]chan<- proto.Answer
	ended   bool
}

// maxBoots is more than any test has.
const maxBoots = 100

func newAgent(f *os.File) *agent {
	return &agent{f: f, boots: make(chan struct{}, maxBoots), pending: map[int]chan<- proto.Answer{}}
}

// run takes answers until the file is closed.
func (a *agent) run() {
	defer a.forget(true)
	d := json.NewDecoder(a.f)
	for {
		var m proto.Answer
		if err := d.Decode(&m); err != nil {
			return
		}
		if m.ID == proto.Hello {
			a.forget(false)
			a.boots <- struct{}{}
			continue
		}
		a.mu.Lock()
		if ch := a.pending[m.ID]; ch != nil {
			ch <- m
			delete(a.pending, m.ID)
		}
		a.mu.Unlock()
	}
}

// forget gives up on all commands that wait for an answer.
func (a *agent) forget(end bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = a.ended || end
	for id, ch := range a.pending {
		close(ch)
		delete(a.pending, id)
	}
}

func (a *agent) do(ctx context.Context, shell string) (string, error) {
	ch := make(chan proto.Answer, 1)
	a.mu.Lock()
	if a.ended {
		a.mu.Unlock()
		return "", fmt.Errorf("run %q: %w", shell, os.ErrClosed)
	}
	a.last++
	id := a.last
	a.pending[id] = ch
	b, err := json.Marshal(proto.Command{ID: id, Shell: shell})
	if err == nil {
		_, err = a.f.Write(append(b, '\n'))
	}
	a.mu.Unlock()
	if err != nil {
		return "", fmt.Errorf("run %q: %w", shell, err)
	}
	select {
	case m, ok := <-ch:
		switch {
		case !ok:
			return "", fmt.Errorf("run %q: %w", shell, ErrRebooted)
		case m.Status != 0:
			return m.Output, &ExitError{shell, m.Status, m.Output}
		}
		return m.Output, nil
	case <-ctx.Done():
		return "", fmt.Errorf("run %q: %w", shell, context.Cause(ctx))
	}
}
