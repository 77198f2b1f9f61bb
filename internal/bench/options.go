package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// options is the command line, read by both halves of the program.
type options struct {
	runs     int
	sizes    []int
	most     int // guests that can be attached at once
	json     bool
	way      string // part of the names of the ways to move that are measured
	fullhost string // a built program; "" builds one
	raserve  string // the same
	rafloor  string // the same
	corerad  string // a built program; "" leaves it out
	which    []string
}

// Names of what can be measured, in the table's order.
const (
	benchLab     = "lab"
	benchPlan    = "plan"
	benchApply   = "apply"
	benchMemory  = "memory"
	benchGuests  = "guests"
	benchMove    = "move"
	benchRA      = "ra"
	benchRAPorts = "ra-ports"
	benchEdge    = "edge"
	benchAttack  = "attack"
)

func benches() []string {
	return []string{benchLab, benchPlan, benchApply, benchMemory, benchGuests, benchMove, benchRA, benchRAPorts, benchEdge, benchAttack}
}

// maxGuests is what a Linux bridge has room for beside the uplink.
const maxGuests = 1022

func parseOptions(args []string, help io.Writer) (options, error) {
	o := options{}
	var sizes string
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&o.runs, "runs", 5, "how often each figure is measured")
	fs.StringVar(&sizes, "sizes", "1,10,100", "numbers of guests, by commas, ascending")
	fs.IntVar(&o.most, "most", maxGuests, "most guests that are attached at once; larger sizes count for files only")
	fs.StringVar(&o.way, "way", "", "of the ways to move, measure only those with this in their `name`")
	fs.BoolVar(&o.json, "json", false, "print the table as JSON")
	fs.StringVar(&o.fullhost, "fullhost", "", "the `program` to measure; default: build examples/fullhost")
	fs.StringVar(&o.raserve, "raserve", "", "the `program` that sends router advertisements; default: build examples/raserve")
	fs.StringVar(&o.rafloor, "rafloor", "", "the `program` that does nothing but hold a socket; default: build internal/bench/rafloor")
	fs.StringVar(&o.corerad, "corerad", "", "a CoreRAD `program` to measure beside it; default: none")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(help, "usage: bench [flags] [%s ...]\n", strings.Join(benches(), "|"))
			fs.SetOutput(help)
			fs.PrintDefaults()
		}
		return options{}, err
	}
	if o.runs < 1 || o.runs > 1000 {
		return options{}, fmt.Errorf("-runs: want 1 to 1000, not %d", o.runs)
	}
	if o.most < 1 || o.most > maxGuests {
		return options{}, fmt.Errorf("-most: want 1 to %d, not %d", maxGuests, o.most)
	}
	for _, s := range strings.Split(sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxGuests {
			return options{}, fmt.Errorf("-sizes: want numbers from 1 to %d, not %q", maxGuests, s)
		}
		if len(o.sizes) > 0 && n <= o.sizes[len(o.sizes)-1] {
			return options{}, fmt.Errorf("-sizes: %d does not come after %d", n, o.sizes[len(o.sizes)-1])
		}
		o.sizes = append(o.sizes, n)
	}
	o.which = fs.Args()
	if len(o.which) == 0 {
		o.which = benches()
	}
	for _, w := range o.which {
		if !slices.Contains(benches(), w) {
			return options{}, fmt.Errorf("can't measure %q, only %s", w, strings.Join(benches(), ", "))
		}
	}
	return o, nil
}

// args is the command line that options came from, for the inner half.
func (o options) args() []string {
	var sizes []string
	for _, n := range o.sizes {
		sizes = append(sizes, strconv.Itoa(n))
	}
	return append([]string{"-runs", strconv.Itoa(o.runs), "-sizes", strings.Join(sizes, ","), "-most", strconv.Itoa(o.most), "-way", o.way, "-fullhost", o.fullhost, "-raserve", o.raserve, "-rafloor", o.rafloor, "-corerad", o.corerad}, o.which...)
}

// attached are the sizes that are attached at once.
func (o options) attached() []int {
	return slices.DeleteFunc(slices.Clone(o.sizes), func(n int) bool { return n > o.most })
}

func (o options) wants(name string) bool { return slices.Contains(o.which, name) }
