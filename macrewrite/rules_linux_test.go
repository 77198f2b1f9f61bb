package macrewrite

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
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

// mutant is a table without one rule or element, in each scenario that has it.
type mutant struct {
	what string
	in   []int // scenarios
	cut  []func(*nft.Table)
}

// mutants lists them.
func mutants(t *testing.T, list []scenario) []mutant {
	var out []mutant
	at := map[string]int{}
	add := func(what string, scenario int, cut func(*nft.Table)) {
		i, there := at[what]
		if !there {
			i = len(out)
			at[what] = i
			out = append(out, mutant{what: what})
		}
		out[i].in, out[i].cut = append(out[i].in, scenario), append(out[i].cut, cut)
	}
	for n, s := range list {
		want := s.state(t)
		for ci, c := range want.Table.Chains {
			seen := map[string]int{}
			for ri, r := range c.Rules {
				one := nft.Table{Family: nft.Bridge, Name: "t", Chains: []nft.Chain{{Name: c.Name, Rules: []nft.Rule{r}}}}
				text := one.String()
				seen[text]++
				add(fmt.Sprintf("rule of %s, number %d of its kind: %s", c.Name, seen[text], text), n, func(tb *nft.Table) {
					tb.Chains[ci].Rules = slices.Delete(tb.Chains[ci].Rules, ri, ri+1)
				})
			}
		}
		weakened(s, want, add, n)
		for si, set := range want.Table.Sets {
			for ei, e := range set.Elements {
				add(elementOf(e, set), n, func(tb *nft.Table) {
					tb.Sets[si].Elements = slices.Delete(tb.Sets[si].Elements, ei, ei+1)
				})
			}
		}
	}
	return out
}

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
	// Putting a table in place is waiting, for the most part: several networks at
	// a time take no longer than one.
	const networks = 4
	var n [networks]*network
	for i := range n {
		n[i] = newNetwork(t, true, State{})
		n[i].up(t)
	}
	list := mutants(t, scenarios(n[0]))
	if os.Getenv("CI_TIER") != "full" {
		random := rand.New(rand.NewPCG(seed, 0))
		element := func(m mutant) bool { return strings.Contains(m.what, " in set ") }
		rules := slices.DeleteFunc(slices.Clone(list), element)
		elements := slices.DeleteFunc(list, func(m mutant) bool { return !element(m) })
		random.Shuffle(len(elements), func(i, j int) { elements[i], elements[j] = elements[j], elements[i] })
		list = append(rules, elements[:elementsTried]...)
	}
	work := make(chan mutant, len(list))
	for _, m := range list {
		work <- m
	}
	close(work)
	t.Logf("%d mutants", len(list))
	for i := range networks {
		t.Run(fmt.Sprint("network ", i), func(t *testing.T) {
			t.Parallel()
			tryMutants(t, n[i], work)
		})
	}
}

// tryMutants tries one after the other in one network.
func tryMutants(t *testing.T, n *network, work <-chan mutant) {
	pr := newProber(t, n)
	list := scenarios(n)
	var text [][]byte
	var checks [][]check
	for _, s := range list {
		b, err := json.Marshal(s.state(t))
		if err != nil {
			t.Fatal(err)
		}
		text, checks = append(text, b), append(checks, s.checks(n))
	}
	for m := range work {
		noticed := false
		for i, in := range m.in {
			var s State
			if err := json.Unmarshal(text[in], &s); err != nil {
				t.Fatal(err)
			}
			m.cut[i](s.Table)
			if err := n.apply(s); err != nil {
				t.Fatal(err)
			}
			wrong, err := pr.run(checks[in])
			if err != nil {
				t.Fatal(err)
			}
			if len(wrong) > 0 {
				noticed = true
				if os.Getenv("VERBOSE_MUTANTS") != "" {
					t.Logf("%s without %s: %s", list[in].name, m.what, sentence(wrong))
				}
				break
			}
		}
		// What only makes a way shorter is noticed where there is no other.
		for i := 0; i < len(m.in) && !noticed && strings.HasPrefix(m.what, "rule "); i++ {
			if in := m.in[i]; !list[in].others {
				wrong, err := pr.unbarred(n, list[in], text[in], m.cut[i])
				if err != nil {
					t.Fatal(err)
				}
				noticed = len(wrong) > 0
			}
		}
		if !noticed {
			t.Errorf("nothing notices the lack of %s", m.what)
		}
	}
}

func elementOf(e string, s nft.Set) string { return e + " in set " + s.Name }

// The judge is the real nft: what it makes of our text, it lists as what we make
// of the value, and we read it as the value.
func TestNftTakesTheText(t *testing.T) {
	prefixes := sample()
	for _, p := range []string{"2001:db9::/32", "2001:dc0:100::/40", "2001:dc1:122::/48", "2001:dc2:122:300::/56", "2001:dc3:122:344::/64"} {
		prefixes.NAT64 = append(prefixes.NAT64, netip.MustParsePrefix(p))
	}
	for name, c := range map[string]Config{"plain": sample(), "guests": withGuests(), "on-link": onLink(), "prefixes": prefixes} {
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
			if text := list(ours); !strings.Contains(text, "comment \""+Owner+"\"") {
				t.Errorf("nft list does not tell whose the table is:\n%s", text[:min(len(text), 300)])
			}
			if d := cmp.Diff(list(theirs), list(ours)); d != "" {
				t.Errorf("nft list (-loaded by nft +written by us):\n%s", d)
			}
			loadNft(t, theirs, "", State{}.String())
		})
	}
}
