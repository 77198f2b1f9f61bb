package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// attackResult is what became of one attack's frames under one recipe.
type attackResult struct {
	// Sent is how many frames the sender's own kernel let out.
	Sent int `json:"sent"`
	// AtProvider is how many of them, or of answers that quote them, arrived at
	// the provider's port; AtGuests the same at the guests that behave.
	AtProvider int `json:"at_provider"`
	AtGuests   int `json:"at_guests"`
	// Offences are the judge's counts at the provider's port meanwhile.
	Offences map[string]uint64 `json:"offences,omitempty"`
	// Findings are the first of these, in words.
	Findings []string `json:"findings,omitempty"`
	// Neighbours is how many entries for addresses that nobody has the host's
	// neighbour table got.
	Neighbours int `json:"neighbours,omitempty"`
	// Harm lists what changed for the worse at guests and host.
	Harm []string `json:"harm,omitempty"`
	// Leaks: the edge failed.
	Leaks bool `json:"leaks"`
}

// String is the cell of the table: how much got where.
func (r attackResult) String() string {
	var parts []string
	if r.AtProvider > 0 {
		parts = append(parts, fmt.Sprintf("%d at the provider", r.AtProvider))
	}
	var offences uint64
	for _, n := range r.Offences {
		offences += n
	}
	if offences > 0 {
		parts = append(parts, fmt.Sprintf("%d %s", offences, plural(int(offences), "offence", "offences")))
	}
	if r.AtGuests > 0 {
		parts = append(parts, fmt.Sprintf("%d at other guests", r.AtGuests))
	}
	if r.Neighbours > 0 {
		parts = append(parts, fmt.Sprintf("%d neighbour entries", r.Neighbours))
	}
	if n := len(r.Harm); n > 0 {
		parts = append(parts, fmt.Sprintf("%d %s", n, plural(n, "harm", "harms")))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// details are the sentences behind the cell.
func (r attackResult) details() []string {
	var kinds []string
	for k, n := range r.Offences {
		kinds = append(kinds, fmt.Sprintf("%s: %d", k, n))
	}
	slices.Sort(kinds)
	return slices.Concat(kinds, r.Findings, r.Harm)
}

// attackRow is one attack under each recipe.
type attackRow struct {
	From    string                  `json:"from"`
	Attack  string                  `json:"attack"`
	Frames  int                     `json:"frames"`
	Results map[string]attackResult `json:"results"`
}

// attackTable is what leaks, recipe beside recipe.
type attackTable struct {
	Provider string      `json:"provider"`
	Seed     uint64      `json:"seed"`
	Recipes  []string    `json:"recipes"`
	Rows     []attackRow `json:"rows"`
	// Sums are what holds over the whole run of each recipe.
	Sums map[string]*table `json:"sums"`
}

// add takes over a recipe's rows, in the order of the first recipe's.
func (t *attackTable) add(recipe string, rows []attackRow, sums *table) {
	t.Recipes = append(t.Recipes, recipe)
	if t.Sums == nil {
		t.Sums = make(map[string]*table)
	}
	t.Sums[recipe] = sums
	if len(t.Rows) == 0 {
		t.Rows = rows
		return
	}
	for i, r := range rows {
		t.Rows[i].Results[recipe] = r.Results[recipe]
	}
}

// failed is what decides the exit status: how much the last recipe, the product's
// where both are run, lets through.
func (t *attackTable) failed() int {
	if len(t.Recipes) == 0 {
		return 0
	}
	return t.leaks(t.Recipes[len(t.Recipes)-1])
}

// leaks counts the attacks that got through under a recipe, and what does not
// hold over its whole run.
func (t *attackTable) leaks(recipe string) int {
	n := 0
	for _, r := range t.Rows {
		if r.Results[recipe].Leaks {
			n++
		}
	}
	if sums := t.Sums[recipe]; sums != nil {
		n += sums.failed()
	}
	return n
}

// writeText prints one line for each attack, then what is behind the lines of those
// that got through, and what holds over each run.
func (t *attackTable) writeText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(tw, "from\tattack\tframes")
	for _, r := range t.Recipes {
		fmt.Fprintf(tw, "\t\t%s: what gets through", r)
	}
	fmt.Fprintln(tw)
	for _, r := range t.Rows {
		fmt.Fprintf(tw, "%s\t%s\t%d", r.From, r.Attack, r.Frames)
		for _, recipe := range t.Recipes {
			verdict, res := "ok", r.Results[recipe]
			if res.Leaks {
				verdict = "LEAK"
			}
			fmt.Fprintf(tw, "\t%s\t%s", verdict, res)
		}
		fmt.Fprintln(tw)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, recipe := range t.Recipes {
		fmt.Fprintf(w, "\nIn detail, recipe %s:\n", recipe)
		for _, r := range t.Rows {
			list := r.Results[recipe].details()
			if !r.Results[recipe].Leaks || len(list) == 0 {
				continue
			}
			fmt.Fprintf(w, "  %s, %s\n", r.From, r.Attack)
			for _, d := range list {
				fmt.Fprintf(w, "    %s\n", d)
			}
		}
		fmt.Fprintf(w, "\nOver the whole run, recipe %s, %s provider, seed %d:\n", recipe, t.Provider, t.Seed)
		if err := t.Sums[recipe].writeText(w); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	for _, recipe := range t.Recipes {
		leaks := 0
		for _, r := range t.Rows {
			if r.Results[recipe].Leaks {
				leaks++
			}
		}
		if _, err := fmt.Fprintf(w, "Recipe %s: %d of %d attacks get through.\n", recipe, leaks, len(t.Rows)); err != nil {
			return err
		}
	}
	return nil
}

// writeJSON prints all of it.
func (t *attackTable) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(t)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
