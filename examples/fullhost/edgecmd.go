package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/plan"
)

// edge puts the edge's rules in place that persist wrote down. It is what the
// boot runs before any link comes up: the rules name links, none of which has to
// be there.
func (a app) edge(ctx context.Context, args []string) error {
	var path string
	if err := a.flags("edge", args, func(fs *flag.FlagSet) {
		fs.StringVar(&path, "load", "", "the `file` with the rules, as persist has written it")
	}); err != nil {
		return err
	}
	if path == "" {
		return usageError{"edge: -load FILE says which rules to put in place"}
	}
	wanted, err := loadEdge(path)
	if err != nil {
		return err
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	there, err := macrewrite.Capture(ctx)
	if err != nil {
		return err
	}
	p, err := macrewrite.Plan(there, wanted)
	if err != nil {
		return refuseEdge(path, err)
	}
	return p.Run(ctx, plan.Apply, func(n, of int, s plan.Step) {
		fmt.Fprintf(a.stdout, "[%d/%d] %s\n", n, of, s.Text)
	})
}

// loadEdge reads the edge's state from a file.
func loadEdge(path string) (macrewrite.State, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return macrewrite.State{}, &plan.Refusal{Subject: path, Reason: "can't be read: " + errText(err), Err: err}
	}
	var s macrewrite.State
	d := json.NewDecoder(bytes.NewReader(b))
	// A rule that is passed over is a hole.
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends too early")
		}
		return macrewrite.State{}, refuseEdge(path, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return macrewrite.State{}, refuseEdge(path, errors.New("something follows them"))
	}
	if s.Table == nil {
		return macrewrite.State{}, refuseEdge(path, errors.New("there are none in it"))
	}
	return s, nil
}

// refuseEdge makes one sentence of what is wrong with a file.
func refuseEdge(path string, err error) error {
	return &plan.Refusal{Subject: path, Reason: "does not hold rules of the edge: " + strings.ReplaceAll(err.Error(), "\n", "; "), Err: err}
}

// edgeAtBoot is the edge's state once all is confirmed, as a file that edge
// loads.
func (h host) edgeAtBoot() ([]byte, error) {
	// Which port is whose is known when the guests have started; until run looks
	// they are known by their MACs.
	h.edge.ports = nil
	h = h.withFound(libvirtguests.State{}) // what libvirt has is to be asked then
	// A gateway may be another machine by then.
	h.edge.gateways = nil
	s, err := h.edgeConfig(h.wanted.Addrs).State()
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write down the edge's rules: %w", err)
	}
	return append(b, '\n'), nil
}
