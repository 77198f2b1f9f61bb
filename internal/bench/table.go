package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"
)

// Units, as the table shows them.
const (
	unitSeconds = "s"
	unitMillis  = "ms"
	unitLost    = "lost"
	unitMB      = "MB" // 1,000,000 bytes
)

// row is one figure: what it is, and what each run gave.
type row struct {
	Group   string    `json:"group"`
	What    string    `json:"what"`
	Unit    string    `json:"unit"`
	Samples []float64 `json:"samples"`
	// Beside is what the figure is to be seen against, nil where there is nothing.
	Beside *peer `json:"beside,omitempty"`
	// Under is the value the median shall be below, 0 where there is no goal.
	Under float64 `json:"under,omitempty"`
}

// peer is another figure of the same unit.
type peer struct {
	What    string    `json:"what"`
	Samples []float64 `json:"samples"`
}

// report is all that a run of the program found.
type report struct {
	// Notes tell on which machine, and what was left out.
	Notes []string `json:"notes"`
	Rows  []row    `json:"rows"`
}

func (r *report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// writeText prints the table, aligned, and the notes below it.
func (r *report) writeText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\tfigure\tunit\tmedian\tmin\tmax\truns\tbeside\tmedian\tratio\tgoal")
	group := ""
	for _, f := range r.Rows {
		shown := f.Group
		if f.Group == group {
			shown = ""
		}
		group = f.Group
		s := summarize(f.Samples)
		beside, median, ratio, goal := "-", "-", "-", "-"
		if f.Beside != nil {
			p := summarize(f.Beside.Samples)
			beside, median, ratio = f.Beside.What, number(p.Median), ratioText(s.Median, p.Median)
		}
		if f.Under > 0 {
			verdict := "met"
			if !(s.Median < f.Under) {
				verdict = "MISSED"
			}
			goal = fmt.Sprintf("under %s: %s", number(f.Under), verdict)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n",
			shown, f.What, f.Unit, number(s.Median), number(s.Min), number(s.Max), len(f.Samples), beside, median, ratio, goal)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	for _, n := range r.Notes {
		if _, err := fmt.Fprintf(w, "Note: %s\n", n); err != nil {
			return fmt.Errorf("print the notes: %w", err)
		}
	}
	return nil
}

// writeJSON prints {"notes":[...],"rows":[...]}, each row with its statistics,
// and those of what it is beside.
func (r *report) writeJSON(w io.Writer) error {
	type jsonPeer struct {
		peer
		stats
		Ratio *float64 `json:"ratio,omitempty"`
	}
	type jsonRow struct {
		row
		stats
		Beside *jsonPeer `json:"beside,omitempty"`
	}
	out := struct {
		Notes []string  `json:"notes"`
		Rows  []jsonRow `json:"rows"`
	}{Notes: append([]string{}, r.Notes...), Rows: []jsonRow{}}
	for _, f := range r.Rows {
		if len(f.Samples) == 0 {
			continue // JSON knows no NaN
		}
		j := jsonRow{row: f, stats: summarize(f.Samples)}
		if f.Beside != nil && len(f.Beside.Samples) > 0 {
			j.Beside = &jsonPeer{peer: *f.Beside, stats: summarize(f.Beside.Samples)}
			if m := j.Beside.Median; m != 0 {
				ratio := j.Median / m
				j.Beside.Ratio = &ratio
			}
		}
		out.Rows = append(out.Rows, j)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("print the table as JSON: %w", err)
	}
	return nil
}

// number shows three significant digits, and whole numbers whole.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "-"
	case v == math.Trunc(v), a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}

// ratioText shows a as a multiple of b; nothing is a multiple of zero.
func ratioText(a, b float64) string {
	if b == 0 || math.IsNaN(a) || math.IsNaN(b) {
		return "-"
	}
	return number(a/b) + "x"
}
