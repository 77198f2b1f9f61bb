package main

import (
	"context"
	"fmt"

	"github.com/sixhost/sixhost/plan"
)

// part is one package's share of the change, its types forgotten.
type part struct {
	captured plan.Captured
	plan     plan.Plan
	// wanted is the state that the plan leads to, and way plans from another; both
	// are nil for a part that is planned otherwise.
	wanted any
	way    func(from, to any) (plan.Plan, error)
}

// since returns the steps from what another configuration of the same host wants
// to what this one does.
func (p part) since(other part) ([]plan.Step, error) {
	if p.way == nil || other.way == nil {
		return nil, nil
	}
	way, err := p.way(other.wanted, p.wanted)
	return way.Steps, err
}

// partOf captures what is there, decides what is wanted, and plans the way.
// want also hands the wanted state to later parts by its closure.
func partOf[S any](name string, there S, want func(S) (S, error), steps func(from, to S) (plan.Plan, error)) (part, error) {
	captured, err := plan.Capture(name, there)
	if err != nil {
		return part{}, err
	}
	to, err := want(there)
	if err != nil {
		return part{}, fmt.Errorf("%s: %w", name, err)
	}
	p, err := steps(there, to)
	if err != nil {
		return part{}, fmt.Errorf("%s: %w", name, err)
	}
	way := func(from, to any) (plan.Plan, error) { return steps(from.(S), to.(S)) }
	return part{captured: captured, plan: p, wanted: to, way: way}, nil
}

// change is the whole way from the machine as it is to the host as wanted.
type change struct {
	host     host
	captured []plan.Captured
	parts    []part
	plan     plan.Plan
}

// prepare reads the machine and plans, and changes nothing.
//
// The order is the order of the steps: the edge's rules stand before a frame
// can cross the bridge, the bridge before what is routed to it, and the files
// of the next boot come before the network manager is to read them.
func prepare(ctx context.Context, c config) (change, error) {
	h, err := newHost(ctx, c)
	if err != nil {
		return change{}, err
	}
	parts, err := h.parts(ctx)
	if err != nil {
		return change{}, err
	}
	ch := change{host: h, parts: parts}
	var plans []plan.Plan
	for _, p := range parts {
		if p.captured.Part != "" {
			ch.captured = append(ch.captured, p.captured)
		}
		plans = append(plans, p.plan)
	}
	ch.plan = plan.Join(plans...)
	for _, w := range h.warnings {
		ch.plan.Notes = append(ch.plan.Notes, fmt.Sprintf("Guest %s: %s.", w.Guest, w.Text))
	}
	return ch, nil
}

// applied refuses where the apply phase has steps left.
func (ch change) applied(subject string) error {
	rest := ch.plan.Phase(plan.Apply)
	if rest.Empty() {
		return nil
	}
	return &plan.Refusal{Subject: subject, Reason: fmt.Sprintf("the host is not as the file wants it (%d steps to go, the first: %s); run fullhost apply first", len(rest.Steps), rest.Steps[0].Text)}
}
