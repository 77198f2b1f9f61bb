package macrewrite

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/plan"
)

// readCounters reads the counters in the server.
func (n *network) readCounters() (map[Reason]uint64, error) {
	var list []Counter
	if err := n.ns[host].Do(func() (err error) { list, err = Counters(context.Background()); return err }); err != nil {
		return nil, err
	}
	out := map[Reason]uint64{}
	for _, c := range list {
		out[c.Reason] = c.Packets
	}
	return out, nil
}

func (n *network) apply(s State) error {
	return n.ns[host].Do(func() error {
		p, err := Plan(State{}, s)
		if err != nil {
			return err
		}
		return p.Run(context.Background(), plan.Apply, nil)
	})
}

// state is the scenario's table.
func (s scenario) state(t *testing.T) State {
	t.Helper()
	st := must(t, s.config)
	for i := range st.Table.Sets {
		if st.Table.Sets[i].Name == "seen" && s.room != 0 {
			st.Table.Sets[i].Size = s.room
		}
	}
	return st
}

func TestEdge(t *testing.T) {
	n := newNetwork(t, true, State{})
	n.up(t)
	pr := newProber(t, n)
	for _, s := range scenarios(n) {
		t.Run(s.name, func(t *testing.T) {
			if err := n.apply(s.state(t)); err != nil {
				t.Fatal(err)
			}
			all := s.checks(n)
			wrong, err := pr.run(all)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range wrong {
				t.Error(w)
			}
			t.Logf("%d checks", len(all))
		})
	}
}

// elementsTried is how many elements of sets TestEveryRuleMatters takes out by
// default; CI_TIER=full takes all.
const elementsTried = 40

// TestEveryRuleMatters takes each rule, and elements of the sets, out of the
// table, and wants some check to notice.
func TestEveryRuleMatters(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("MUTATION_SEED"); v != "" {
		if _, err := fmt.Sscan(v, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("MUTATION_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	chosen := map[string]bool{}
	n := newNetwork(t, true, State{})
	n.up(t)
	pr := newProber(t, n)
	noticed := map[string]bool{} // what was taken out
	missed := map[string]bool{}
	tried := 0
	if os.Getenv("CI_TIER") != "full" {
		var list []string
		for _, s := range scenarios(n) {
			for _, set := range s.state(t).Table.Sets {
				for _, e := range set.Elements {
					list = append(list, elementOf(e, set))
				}
			}
		}
		slices.Sort(list)
		list = slices.Compact(list)
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for _, e := range list[:elementsTried] {
			chosen[e] = true
		}
	}
	for _, s := range scenarios(n) {
		want := s.state(t)
		all := s.checks(n)
		mutant := func(what string, cut func(*nft.Table)) {
			if noticed[what] {
				return
			}
			tried++
			var m State
			b, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			cut(m.Table)
			if err := n.apply(m); err != nil {
				t.Fatal(err)
			}
			wrong, err := pr.run(all)
			if err != nil {
				t.Fatal(err)
			}
			if len(wrong) == 0 {
				missed[what] = true
				return
			}
			noticed[what] = true
			if os.Getenv("VERBOSE_MUTANTS") != "" {
				t.Logf("%s without %s: %s", s.name, what, sentence(wrong))
			}
		}
		for ci, c := range want.Table.Chains {
			seen := map[string]int{}
			for ri, r := range c.Rules {
				one := nft.Table{Family: nft.Bridge, Name: "t", Chains: []nft.Chain{{Name: c.Name, Rules: []nft.Rule{r}}}}
				text := one.String()
				seen[text]++
				mutant(fmt.Sprintf("rule of %s, number %d of its kind: %s", c.Name, seen[text], text), func(tb *nft.Table) {
					tb.Chains[ci].Rules = slices.Delete(tb.Chains[ci].Rules, ri, ri+1)
				})
			}
		}
		for si, set := range want.Table.Sets {
			for ei, e := range set.Elements {
				if len(chosen) > 0 && !chosen[elementOf(e, set)] {
					continue
				}
				mutant(elementOf(e, set), func(tb *nft.Table) {
					tb.Sets[si].Elements = slices.Delete(tb.Sets[si].Elements, ei, ei+1)
				})
			}
		}
	}
	for what := range missed {
		if !noticed[what] {
			t.Errorf("nothing notices the lack of %s", what)
		}
	}
	t.Logf("%d mutants, %d rules and elements noticed", tried, len(noticed))
}

func elementOf(e string, s nft.Set) string { return e + " in set " + s.Name }

// The judge is the real nft: what it makes of our text, it lists as what we make
// of the value, and we read it as the value.
func TestNftTakesTheText(t *testing.T) {
	for name, c := range map[string]Config{"plain": sample(), "guests": withGuests(), "on-link": onLink()} {
		t.Run(name, func(t *testing.T) {
			theirs, ours := nstest.NS(t), nstest.NS(t)
			want := must(t, c)
			loadNft(t, theirs, "-c", want.String())
			loadNft(t, theirs, "", want.String())
			var got State
			nstest.Do(t, theirs, func() (err error) { got, err = Capture(context.Background()); return err })
			p, err := Plan(got, want)
			if err != nil {
				t.Fatal(err)
			}
			if !p.Empty() {
				t.Errorf("what nft loads from our text is not the wanted state: %s\n%s", p.Steps[0].Text, cmp.Diff(want.String(), got.String()))
			}
			if err := (&network{ns: [places]*netns.NS{host: ours}}).apply(want); err != nil {
				t.Fatal(err)
			}
			list := func(ns *netns.NS) string {
				return nstest.Output(t, ns, "nft", "-s", "list", "table", "bridge", TableName)
			}
			if d := cmp.Diff(list(theirs), list(ours)); d != "" {
				t.Errorf("nft list (-loaded by nft +written by us):\n%s", d)
			}
			loadNft(t, theirs, "", State{}.String())
		})
	}
}
