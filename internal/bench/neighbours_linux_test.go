package main

import (
	"io"
	"testing"
)

// Every measurement that attaches guests has room for them in the neighbour table.
func TestNeighboursNeeded(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"-sizes", "1,500", "edge"}, 500 * entriesPerGuest},
		{[]string{"-sizes", "1,500", "guests"}, 500 * entriesPerGuest},
		{[]string{"-sizes", "1,500", "-most", "10", "edge"}, entriesPerGuest},
		{[]string{"-sizes", "1", "edge", "ra"}, raEntries},
		{[]string{"-sizes", "500", "plan"}, 0},
	} {
		o, err := parseOptions(tt.args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.neighbours(); got != tt.want {
			t.Errorf("%q wants %d entries, not %d", tt.args, got, tt.want)
		}
	}
}
