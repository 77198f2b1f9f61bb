package persist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/plan"
)

// ErrChanged means that a file is not any more what it was when the plan was
// made.
var ErrChanged = errors.New("file was changed meanwhile")

// Restorer takes the files back to a captured State.
func Restorer() plan.Restorer {
	return plan.RestorerOf(Part, func(ctx context.Context, like State) (State, error) { return Capture(ctx, like.Scope) }, Plan)
}

// Ranks order the files so that one rename decides which network the next boot
// has: what ranks below rankSwitch has no effect without that, what ranks above
// isn't needed to reach the host.
const (
	rankBackup       = iota // a copy of a file that is about to be replaced
	rankEdge                // the edge's rules, which wait for ports to drop something
	rankEdgeUnit            // loads them
	rankEdgeUnitLink        // at boot
	rankInert               // what belongs to a link that nothing makes yet
	rankNetdev              // makes the bridge, which without a port has no carrier and no network
	rankSwitch              // makes the uplink a port
	rankAfter
	rankUnit
	rankUnitLink
)

func rank(name string) int {
	switch {
	case strings.Contains(path.Base(name), savedSuffix), strings.Contains(path.Base(name), ".networkNO"), strings.Contains(path.Base(name), ".netdevNO"):
		return rankBackup
	case name == edgePath:
		return rankEdge
	case name == edgeUnitPath:
		return rankEdgeUnit
	case name == edgeUnitLinkPath:
		return rankEdgeUnitLink
	case name == cloudOffPath, strings.HasPrefix(name, generatedPrefix) && strings.HasSuffix(name, dropIn):
		return rankInert
	case strings.HasPrefix(name, ownPrefix) && strings.HasSuffix(name, dropIn), name == sysctlPath:
		return rankAfter
	case strings.HasSuffix(name, ".netdev"):
		return rankNetdev
	case name == unitPath:
		return rankUnit
	case name == unitLinkPath:
		return rankUnitLink
	}
	return rankSwitch
}

// change is what becomes of one path, or of two if it is a rename.
type change struct {
	path     string
	from, to *File  // nil is absent
	renamed  string // path after a rename
}

// Plan returns the steps from one state of a scope's files to another. All
// are of the Confirm phase.
func Plan(from, to State) (plan.Plan, error) {
	if from.Root != to.Root {
		return plan.Plan{}, fmt.Errorf("plan from files below %s to files below %s", from.Root, to.Root)
	}
	p := plan.Plan{Notes: slices.Clone(to.Notes)}
	for _, c := range changes(from, to) {
		p.Steps = append(p.Steps, plan.Step{
			Phase: plan.Confirm,
			Part:  Part,
			Text:  c.text(),
			Do:    func(context.Context) error { return c.do(to.Root) },
		})
	}
	return p, nil
}

// changes returns the difference in the order it has to be made.
func changes(from, to State) []change {
	from.Files = slices.DeleteFunc(slices.Clone(from.Files), readOnly)
	to.Files = slices.DeleteFunc(slices.Clone(to.Files), readOnly)
	var writes, renames, removals []change
	renamedTo := make(map[string]bool)
	for _, f := range from.Files {
		if _, stays := to.File(f.Path); stays {
			continue
		}
		c := change{path: f.Path, from: &f}
		for _, t := range to.Files {
			if _, there := from.File(t.Path); !there && !renamedTo[t.Path] && path.Dir(t.Path) == path.Dir(f.Path) && alias(f.Path, t.Path) && f.same(t) {
				c.to, c.renamed = &t, t.Path
				renamedTo[t.Path] = true
				break
			}
		}
		if c.to != nil {
			renames = append(renames, c)
		} else {
			removals = append(removals, c)
		}
	}
	for _, t := range to.Files {
		f, there := from.File(t.Path)
		switch {
		case renamedTo[t.Path] || there && f.same(t):
		case there:
			writes = append(writes, change{path: t.Path, from: &f, to: &t})
		default:
			writes = append(writes, change{path: t.Path, to: &t})
		}
	}

	// The way there ends with what comes after the switch, so the way back
	// begins with it.
	byRank := func(a, b change) int { return order(a, to) - order(b, to) }
	slices.SortStableFunc(writes, byRank)
	slices.SortStableFunc(removals, func(a, b change) int { return order(b, from) - order(a, from) })
	// The first file that matches a link is the one that counts: later ones go
	// first, so that the rename of the first is the switch.
	slices.Reverse(renames)
	after := func(c change) bool { return rank(c.path) > rankSwitch }
	backup := func(c change) bool { return rank(c.path) == rankBackup }
	between := func(c change) bool { return !after(c) && !backup(c) }
	return slices.Concat(
		only(removals, after),
		only(writes, func(c change) bool { return !after(c) }),
		renames,
		only(removals, between),
		only(writes, after),
		only(removals, backup), // a copy goes when what it is of is back
	)
}

func only(list []change, is func(change) bool) []change {
	return slices.DeleteFunc(slices.Clone(list), func(c change) bool { return !is(c) })
}

// order is the rank with one thing more: the network of a bridge that one of
// our .netdev files makes has no effect before that.
func order(c change, in State) int {
	if strings.HasPrefix(c.path, ownPrefix) && path.Ext(c.path) == ".network" {
		if _, made := in.File(strings.TrimSuffix(c.path, ".network") + ".netdev"); made {
			return rankInert
		}
	}
	return rank(c.path)
}

// alias reports whether one name is the other with an ending that sets a file
// aside.
func alias(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	rest, ok := strings.CutPrefix(b, a)
	return ok && (strings.HasPrefix(rest, savedSuffix) || strings.HasPrefix(rest, "NO"))
}

// text is the change as a sentence.
func (c change) text() string {
	name := "/" + c.path
	switch {
	case c.renamed != "" && len(c.renamed) > len(c.path):
		return fmt.Sprintf("set %s aside as %s", name, path.Base(c.renamed))
	case c.renamed != "":
		return fmt.Sprintf("rename %s back to %s", name, path.Base(c.renamed))
	case c.to == nil:
		return "remove " + name
	case c.to.Target != "":
		return fmt.Sprintf("link %s to %s", name, c.to.Target)
	case c.from == nil && strings.Contains(path.Base(name), savedSuffix):
		original, _, _ := strings.Cut(name, savedSuffix)
		return fmt.Sprintf("keep a copy of %s as %s", original, path.Base(name))
	case c.from == nil:
		return "write " + name
	case bytes.Equal(c.from.Content, c.to.Content):
		return fmt.Sprintf("set the permissions of %s to %04o", name, c.to.Mode)
	}
	if c.to.edited() {
		return "edit " + name
	}
	return "replace " + name
}
