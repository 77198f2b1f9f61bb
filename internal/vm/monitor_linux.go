package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

// monitor is QEMU's, spoken to in QMP, the JSON protocol of its documentation.
type monitor struct {
	f      *os.File
	answer *json.Decoder
	ready  bool
}

func newMonitor(f *os.File) *monitor { return &monitor{f: f, answer: json.NewDecoder(f)} }

// execute has QEMU do something. It is for one goroutine at a time.
func (m *monitor) execute(ctx context.Context, command string) error {
	if err := m.f.SetDeadline(deadline(ctx)); err != nil {
		return err
	}
	if !m.ready {
		if err := m.one("qmp_capabilities"); err != nil {
			return err
		}
		m.ready = true
	}
	return m.one(command)
}

func (m *monitor) one(command string) error {
	if _, err := fmt.Fprintf(m.f, `{"execute":%q}`+"\n", command); err != nil {
		return fmt.Errorf("tell QEMU to %s: %w", command, err)
	}
	for {
		// Its greeting and its events come in between.
		var a struct {
			Return *json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := m.answer.Decode(&a); err != nil {
			return fmt.Errorf("tell QEMU to %s: %w", command, err)
		}
		switch {
		case a.Error != nil:
			return fmt.Errorf("tell QEMU to %s: %s", command, a.Error.Desc)
		case a.Return != nil:
			return nil
		}
	}
}
