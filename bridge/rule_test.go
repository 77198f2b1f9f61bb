package bridge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testRule(priority int, change func(*Rule)) Rule {
	r := Rule{Family: 4, Priority: priority, Action: actionLookup, Table: 100, DSCP: -1, SuppressPrefixLength: -1, SuppressGroup: -1}
	if change != nil {
		change(&r)
	}
	return r
}

func TestRuleString(t *testing.T) {
	for want, r := range map[string]Rule{
		"100: from all lookup 100":                       testRule(100, nil),
		"7: not from all fwmark 0x1/0xff iif eth0 nop":   testRule(7, func(r *Rule) { r.Invert, r.Mark, r.Mask, r.Iif, r.Action = true, 1, 0xff, "eth0", actionNop }),
		"1: from all goto 5":                             testRule(1, func(r *Rule) { r.Action, r.Goto = actionGoto, 5 }),
		"1: from all oif eth0 uidrange 0-0 prohibit":     testRule(1, func(r *Rule) { r.Oif, r.HasUIDs, r.Action = "eth0", true, actionProhibit }),
		"1: from all l3mdev":                             testRule(1, func(r *Rule) { r.L3MDev = true }),
		"1: from all lookup 100 suppress_prefixlength 0": testRule(1, func(r *Rule) { r.SuppressPrefixLength = 0 }),
	} {
		if got := r.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// kernelRules does with rules what the kernel does: one is added behind those
// of its priority, and the first that fits is removed.
func kernelRules(list []Rule, c change) []Rule {
	switch c := c.(type) {
	case addRule:
		i := slices.IndexFunc(list, func(r Rule) bool { return r.Priority > c.Priority })
		if i < 0 {
			i = len(list)
		}
		return slices.Insert(slices.Clone(list), i, c.Rule)
	case delRule:
		i := slices.IndexFunc(list, func(r Rule) bool {
			// A description leaves open what it does not say.
			return r.Priority == c.Priority && (c.Iif == "" || r.Iif == c.Iif) && (c.Oif == "" || r.Oif == c.Oif) && (c.Mark == 0 || r.Mark == c.Mark) && r.Table == c.Table
		})
		return slices.Delete(slices.Clone(list), i, i+1)
	}
	return list
}

// At every moment each rule is there, for the one link or for the other.
func TestRulesMoveWithoutGap(t *testing.T) {
	scope := Scope{Uplink: "eth0", Bridge: "br0"}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		var all []Rule
		for range rnd.IntN(6) {
			all = append(all, testRule(100+rnd.IntN(2), func(r *Rule) {
				r.Iif = []string{"", "eth0", "eth0", "eth1"}[rnd.IntN(4)]
				r.Oif = []string{"", "", "eth0"}[rnd.IntN(3)]
				r.Mark = []uint32{0, 0, 5}[rnd.IntN(3)]
			}))
		}
		slices.SortStableFunc(all, func(a, b Rule) int { return a.Priority - b.Priority })
		from := State{Scope: scope, Rules: inPlaceOf(all, scope)}
		to := State{Scope: scope, Rules: wantedRules(from.Rules, scope)}
		unmoved := func(r Rule) Rule { return r.moved(scope.Bridge, scope.Uplink) }
		// Where a description leaves open what another rule says, the kernel takes
		// the first, and the order is another for a moment.
		ambiguous := slices.ContainsFunc(all, func(r Rule) bool {
			return slices.ContainsFunc(all, func(o Rule) bool { return r != o && r.place() == o.place() && r.fits(o) })
		})
		now := all
		for _, way := range [][2]State{{from, to}, {to, from}} {
			added, removed := ruleChanges(way[0], way[1])
			for _, c := range slices.Concat(added, removed) {
				now = kernelRules(now, c)
				var seen []Rule
				for _, r := range now {
					if !slices.Contains(seen, unmoved(r)) {
						seen = append(seen, unmoved(r))
					}
				}
				var want []Rule
				for _, r := range all {
					if !slices.Contains(want, r) {
						want = append(want, r)
					}
				}
				if !ambiguous && !slices.Equal(want, seen) {
					t.Fatalf("after %q one rule has overtaken another: %q", c, now)
				}
				for _, r := range want {
					if !slices.Contains(seen, r) {
						t.Fatalf("after %q, %q is missing", c, r)
					}
				}
			}
		}
		if !slices.Equal(all, now) {
			t.Fatalf("before %q\nafter  %q", all, now)
		}
	}
}

func TestHopsAreAList(t *testing.T) {
	for _, list := range [][]Hop{nil, {{Link: "eth0", Weight: 1}}, {{Link: "eth0", Weight: 3, OnLink: true}, {Link: "eth1", Weight: 1}}} {
		h := HopsOf(list...)
		if diff := cmp.Diff(fmt.Sprint(list), fmt.Sprint(h.List())); diff != "" {
			t.Error(diff)
		}
		b, err := h.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var back Hops
		if err := back.UnmarshalJSON(b); err != nil || back != h {
			t.Errorf("%s comes back as %v, %v", b, back, err)
		}
	}
	var h Hops
	if err := h.UnmarshalJSON([]byte(`{}`)); err == nil {
		t.Error("an object is taken for a list of next hops")
	}
}
