package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// check is one line of a table, the lab's or doctor's: what must hold, whether it does, and
// what was measured.
type check struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Measured string `json:"measured"`
	// Note is something to know, which neither holds nor fails.
	Note bool `json:"note,omitempty"`
}

// table collects checks in the order they are shown.
type table struct {
	Checks []check `json:"checks"`
}

// failed counts the checks that don't hold.
func (t *table) failed() int {
	n := 0
	for _, c := range t.Checks {
		if !c.OK {
			n++
		}
	}
	return n
}

// writeText prints one line for each check and the sum.
func (t *table) writeText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range t.Checks {
		verdict := "ok"
		switch {
		case c.Note:
			verdict = "note"
		case !c.OK:
			verdict = "FAIL"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", verdict, c.Name, c.Measured)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	of := 0
	for _, c := range t.Checks {
		if !c.Note {
			of++
		}
	}
	if n := t.failed(); n > 0 {
		_, err := fmt.Fprintf(w, "%d of %d checks fail.\n", n, of)
		return err
	}
	_, err := fmt.Fprintf(w, "All %d checks hold.\n", of)
	return err
}

// writeJSON prints {"checks":[{"name","ok","measured"}, ...]}, and "note" where
// a line is one.
func (t *table) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(t)
}
