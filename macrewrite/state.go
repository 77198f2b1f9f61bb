package macrewrite

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// Part is the name of this package in plans and captured states.
const Part = "macrewrite"

// State is the edge's table, as wanted or as found. It marshals to JSON.
type State struct {
	// Table is nil where there is none.
	Table *nft.Table `json:"table,omitempty"`
}

// State returns the rules for the host c describes, or a [*plan.Refusal].
func (c Config) State() (State, error) {
	if err := c.check(); err != nil {
		return State{}, err
	}
	t := c.withDefaults().rules()
	if err := t.Check(); err != nil {
		return State{}, fmt.Errorf("make edge rules: %w", err)
	}
	return State{Table: t}, nil
}

// Kind returns the provider's kind that the rules are for; empty where there are
// none, or where they are not to be recognized.
func (s State) Kind() Kind {
	if s.Table == nil {
		return ""
	}
	kind := Kind("")
	for _, c := range s.Table.Chains {
		if c.Name != "leaving" {
			continue
		}
		for _, r := range c.Rules {
			for _, e := range r.Exprs {
				switch {
				case e.Kind == nft.KindIP6Daddr && e.Set == "guests6":
					return Routed // all of the /64 is kept from the segment
				case e.Kind == nft.KindIP6Daddr && e.Set == "live-addrs":
					kind = OnLink // only what guests have
				}
			}
		}
	}
	return kind
}

// GatewayMACs returns the gateways inside the /64 whose MACs the rules know: see
// [Config.GatewayMACs].
func (s State) GatewayMACs() []Neighbor {
	if s.Table == nil {
		return nil
	}
	var list []Neighbor
	for _, set := range s.Table.Sets {
		if set.Name != "gateways-mac" {
			continue
		}
		for _, e := range set.Elements {
			addr, mac, _ := strings.Cut(e, " . ")
			a, err1 := netip.ParseAddr(addr)
			m, err2 := slaac.ParseMAC(mac)
			if err1 == nil && err2 == nil {
				list = append(list, Neighbor{Addr: a, MAC: m})
			}
		}
	}
	return list
}

// String returns the text that `nft -f` takes to put the state in place.
func (s State) String() string {
	if s.Table == nil {
		return fmt.Sprintf("table %s %s\ndelete table %s %s\n", nft.Bridge, TableName, nft.Bridge, TableName)
	}
	return s.Table.Script()
}

// Capture reads the table that is there. It needs CAP_NET_ADMIN.
func Capture(ctx context.Context) (State, error) {
	t, err := nft.Read(ctx, nft.Bridge, TableName)
	if err != nil {
		return State{}, fmt.Errorf("capture edge rules: %w", err)
	}
	return State{Table: t}, nil
}

// Plan leads from one state to another in one atomic step of the Apply phase,
// or none if they are equal. Where only guests differ, the step changes elements
// and leaves counters and accounts as they are. What the kernel can't enforce is
// an [*UnsupportedError] of the step. It fails if to is another table, or holds what only
// somebody else can have put into this one.
func Plan(from, to State) (plan.Plan, error) {
	if nft.Equal(from.Table, to.Table) {
		return plan.Plan{}, nil
	}
	step := plan.Step{Phase: plan.Apply, Part: Part}
	if to.Table == nil {
		step.Text = fmt.Sprintf("remove the edge rules (nftables table %s %s)", nft.Bridge, TableName)
		step.Do = func(ctx context.Context) error { return nft.Delete(ctx, nft.Bridge, TableName) }
		return plan.Plan{Steps: []plan.Step{step}}, nil
	}
	if to.Table.Family != nft.Bridge || to.Table.Name != TableName {
		return plan.Plan{}, fmt.Errorf("plan edge rules: table %s %s is not the edge's, %s %s", to.Table.Family, to.Table.Name, nft.Bridge, TableName)
	}
	if err := to.Table.Check(); err != nil {
		return plan.Plan{}, fmt.Errorf("plan edge rules: %w", err)
	}
	if nft.SameRules(from.Table, to.Table) {
		step.Text = fmt.Sprintf(inPlace+" (nftables table %s %s, elements of its sets only, in one transaction)", nft.Bridge, TableName)
		step.Do = func(ctx context.Context) error { return unsupported(nft.Update(ctx, from.Table, to.Table)) }
		return plan.Plan{Steps: []plan.Step{step}}, nil
	}
	verb := "put the edge rules in place"
	if from.Table != nil {
		verb = "replace the edge rules"
	}
	n := 0
	for _, c := range to.Table.Chains {
		n += len(c.Rules)
	}
	step.Text = fmt.Sprintf("%s (nftables table %s %s, %d rules, in one transaction)", verb, to.Table.Family, to.Table.Name, n)
	step.Do = func(ctx context.Context) error { return unsupported(nft.Replace(ctx, to.Table)) }
	return plan.Plan{Steps: []plan.Step{step}}, nil
}

const inPlace = "tell the edge of its guests anew"

// InPlace reports whether a step of [Plan] leaves the rules as they are and
// changes only what they know of guests and ports.
func InPlace(s plan.Step) bool { return s.Part == Part && strings.HasPrefix(s.Text, inPlace) }

// UnsupportedError is a rule, or a part of the table that rules need, which this
// kernel can't have. It matches errors.ErrUnsupported. Nothing was changed.
type UnsupportedError struct {
	// What names it, a rule by its text.
	What string
	Err  error
}

// Error names what can't be enforced.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("this kernel can't enforce the %s: %v", e.What, e.Err)
}

// Unwrap returns what the kernel said.
func (e *UnsupportedError) Unwrap() error { return e.Err }

func unsupported(err error) error {
	var refused *nft.KernelError
	if errors.As(err, &refused) && errors.Is(err, errors.ErrUnsupported) {
		return &UnsupportedError{What: refused.What, Err: refused.Err}
	}
	return err
}

// Restorer takes the edge back to a captured state.
func Restorer() plan.Restorer {
	return plan.RestorerOf(Part, func(ctx context.Context, _ State) (State, error) { return Capture(ctx) }, Plan)
}

func counters(ctx context.Context) ([]Counter, error) {
	read, err := nft.Counters(ctx, nft.Bridge, TableName)
	if err != nil {
		return nil, fmt.Errorf("read edge counters: %w", err)
	}
	by := map[string]nft.Counter{}
	for _, c := range read {
		by[c.Name] = c
	}
	var out []Counter
	for _, r := range Reasons() {
		if c, ok := by[string(r)]; ok {
			out = append(out, Counter{Reason: r, Packets: c.Packets, Bytes: c.Bytes})
		}
	}
	return out, nil
}
