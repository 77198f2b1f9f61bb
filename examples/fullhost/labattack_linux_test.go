package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
)

// attacked runs the attacks under one recipe at one kind of provider.
func attacked(t *testing.T, recipe, provider, seed string) attackTable {
	t.Helper()
	status, stdout, stderr := program(t, nil, nil, "lab", "-attack", "-json", "-recipe", recipe, "-provider", provider, "-seed", seed)
	var table attackTable
	if err := json.Unmarshal([]byte(stdout), &table); err != nil {
		t.Fatalf("status %d, %v\n%s%s", status, err, stdout, stderr)
	}
	if len(table.Rows) == 0 || table.Sums[recipe] == nil {
		t.Fatalf("status %d: nothing was attacked\n%s%s", status, stdout, stderr)
	}
	if want := map[bool]int{true: 1, false: 0}[table.failed() > 0]; status != want {
		t.Errorf("status %d for %d failures", status, table.failed())
	}
	return table
}

// seeds are those of the random frames: one by default, more where there is
// time.
func seeds() []string {
	if os.Getenv("CI_TIER") == "full" {
		return []string{"1", "2", "3", "4", "5"}
	}
	return []string{"1"}
}

// TestAttacks: neither a hostile guest nor somebody on the provider's side gets
// anything through the edge, and the other guests go on as if nothing was.
func TestAttacks(t *testing.T) {
	nstest.RequireTun(t)
	for _, provider := range []string{"routed"} {
		t.Run(provider, func(t *testing.T) {
			for _, seed := range seeds() {
				t.Logf("seed %s", seed)
				table := attacked(t, recipeFullhost, provider, seed)
				for _, r := range table.Rows {
					if res := r.Results[recipeFullhost]; res.Leaks {
						t.Errorf("from the %s, %s: %s\n\t%s", r.From, r.Attack, res, strings.Join(res.details(), "\n\t"))
					}
				}
				for _, c := range table.Sums[recipeFullhost].Checks {
					if !c.OK {
						t.Errorf("%s: %s", c.Name, c.Measured)
					}
				}
			}
		})
	}
}

// TestAttacksOnTheArticle: the same attacks do get through what people set up by
// hand, so that it is the edge that stops them.
func TestAttacksOnTheArticle(t *testing.T) {
	nstest.Tool(t, "ebtables-nft")
	nstest.Tool(t, "radvd")
	table := attacked(t, recipeArticle, "routed", "1")
	held := 0
	for _, r := range table.Rows {
		res := r.Results[recipeArticle]
		if !res.Leaks {
			held++
			t.Logf("does not get through: from the %s, %s", r.From, r.Attack)
		}
		if r.Attack != "router advertisement" || r.From != "guest" {
			continue
		}
		if res.Offences["router advertisement"] == 0 || res.Offences["foreign MAC inside payload"] == 0 ||
			!slices.ContainsFunc(res.Harm, func(s string) bool { return strings.Contains(s, "2001:db8:bad:") }) {
			t.Errorf("a guest's advertisement under the article's recipe: %+v", res)
		}
	}
	if held > len(table.Rows)/4 {
		t.Errorf("%d of %d attacks don't get through: they prove little", held, len(table.Rows))
	}
}
