package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/nat64/gateway/fastpath"
)

type options struct {
	quick    bool
	rounds   int
	only     []string
	figures  []string // names, or how they begin; empty for all
	offloads []bool
}

func main() {
	var o options
	only := flag.String("only", "", "contenders, by commas; default all")
	offloads := flag.String("offloads", "both", "on, off or both")
	which := flag.String("figures", "", "what is measured, by commas and by how the names begin; default all")
	quick := flag.Bool("quick", false, "one round, with offloads on, and shorter")
	rounds := flag.Int("rounds", 5, "how often each figure is measured")
	isServer := flag.Bool("serve", false, "be the gateway's process (for its own use)")
	pins := flag.String("pins", "", "with -serve: where the fast path is pinned")
	flag.Parse()
	if *isServer {
		exit(serve(*pins))
	}
	o.quick, o.rounds, o.only, o.offloads = *quick, *rounds, contenders(), []bool{true, false}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	if *which != "" {
		o.figures = strings.Split(*which, ",")
	}
	switch {
	case *offloads == "on" || *quick && *offloads == "both":
		o.offloads = []bool{true}
	case *offloads == "off":
		o.offloads = []bool{false}
	}
	if *quick {
		o.rounds = 1
	}
	exit(measure(o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "nat64: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func signalContext() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}

// figure is one column of the table.
type figure struct {
	name string
	take func(s *stage, o options) (float64, error)
	// less says that less is better.
	less bool
}

func figures() []figure {
	length := func(o options) time.Duration {
		if o.quick {
			return 400 * time.Millisecond
		}
		return 600 * time.Millisecond
	}
	tcp := func(streams int, down bool) func(*stage, options) (float64, error) {
		return func(s *stage, o options) (float64, error) { return s.bulk(streams, down, length(o), 0) }
	}
	return []figure{
		{"round trip us", func(s *stage, o options) (float64, error) { return s.roundTrip(3000) }, true},
		{"TCP 1 up", tcp(1, false), false},
		{"1 down", tcp(1, true), false},
		{"4 up", tcp(4, false), false},
		{"4 down Gbit/s", tcp(4, true), false},
		{"UDP 64 B kpps", func(s *stage, o options) (float64, error) { return s.noDrop(length(o)/2, 8) }, false},
		{"conn/s", func(s *stage, o options) (float64, error) { return s.connections(length(o)) }, false},
		{"cores at 1 Gbit/s", func(s *stage, o options) (float64, error) { return s.cores(length(o)) }, true},
		{"ns a packet", func(s *stage, o options) (float64, error) { return s.perPacket(400) }, true},
		{"us a MiB up", func(s *stage, o options) (float64, error) { return s.perMiB(20, false) }, true},
		{"us a MiB down", func(s *stage, o options) (float64, error) { return s.perMiB(20, true) }, true},
	}
}

func measure(o options) (err error) {
	dir, err := os.MkdirTemp("", "sixhost-bench-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount a BPF file system: %w", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	ctx, stop := signalContext()
	defer stop()
	start := time.Now()
	for _, on := range o.offloads {
		results := make(map[string][][]float64)
		for r := range o.rounds {
			for _, who := range o.only {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				fmt.Fprintf(os.Stderr, "%4.0f s: offloads %v, round %d of %d, %s\n", time.Since(start).Seconds(), on, r+1, o.rounds, who)
				values, err := one(ctx, who, on, dir, o)
				if err != nil {
					return fmt.Errorf("%s: %w", who, err)
				}
				results[who] = append(results[who], values)
			}
		}
		print(on, o, results)
	}
	if slices.Contains(o.only, fast) && o.wants(figure{name: "mappings"}) {
		if err := many(ctx, dir, o); err != nil {
			return err
		}
	}
	fmt.Printf("%s, %d processors, %d rounds, %.0f s in all\n", kernel(), runtime.NumCPU(), o.rounds, time.Since(start).Seconds())
	return nil
}

func one(ctx context.Context, who string, offloads bool, dir string, o options) ([]float64, error) {
	s, err := newStage(who, offloads, dir)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var out []float64
	for _, f := range figures() {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !o.wants(f) {
			out = append(out, math.NaN())
			continue
		}
		v, err := f.take(s, o)
		if err != nil {
			fmt.Fprintf(os.Stderr, "      %s: %v\n", f.name, err)
			v = math.NaN()
		}
		out = append(out, v)
	}
	return out, nil
}

func (o options) wants(f figure) bool {
	return len(o.figures) == 0 || slices.ContainsFunc(o.figures, func(name string) bool { return strings.HasPrefix(f.name, name) })
}

// column is the median of one figure.
func column(rows [][]float64, i int) float64 {
	var all []float64
	for _, r := range rows {
		if !math.IsNaN(r[i]) {
			all = append(all, r[i])
		}
	}
	return median(all)
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

func print(on bool, o options, results map[string][][]float64) {
	fmt.Printf("Offloads %s, medians of %d; in brackets the ratio to %s\n", map[bool]string{true: "on", false: "off"}[on], o.rounds, plain6)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range figures() {
		fmt.Fprintf(w, "\t%s", f.name)
	}
	fmt.Fprintln(w)
	for _, who := range o.only {
		fmt.Fprint(w, who)
		for i := range figures() {
			v, base := column(results[who], i), column(results[plain6], i)
			if math.IsNaN(v) {
				fmt.Fprint(w, "\t-")
				continue
			}
			fmt.Fprintf(w, "\t%.3g", v)
			if who != plain6 && base > 0 {
				fmt.Fprintf(w, " (%.2f)", v/base)
			}
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	goals(results)
	fmt.Println()
}

// goals says which are met.
func goals(results map[string][][]float64) {
	say := func(what string, i int, who, beside string, factor float64) {
		a, b := column(results[who], i), column(results[beside], i)
		if math.IsNaN(a) || math.IsNaN(b) {
			return
		}
		verdict := "met"
		if a < factor*b {
			verdict = "MISSED"
		}
		fmt.Printf("goal: %s of %s at least %.3gx that of %s: %.2fx, %s\n", what, who, factor, beside, a/b, verdict)
	}
	for i, what := range []string{1: "TCP 1 up", 2: "TCP 1 down", 3: "TCP 4 up", 4: "TCP 4 down"} {
		if what == "" {
			continue
		}
		say(what, i, fast, plain6, 0.90)
		say(what, i, fast, byTayga, map[bool]float64{true: 12, false: 25}[i < 3])
		say(what, i, portable, plain6, 0.75)
	}
	say("UDP", 5, fast, plain6, 0.85)
	say("connections", 6, fast, plain4, 0.95)
}

// many gives the fast path more and more mappings.
func many(ctx context.Context, dir string, o options) error {
	fmt.Println("Fast path, by number of mappings")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "mappings\tTCP 1 up Gbit/s\tUDP 64 B kpps\tconn/s")
	for _, n := range []int{1, 100, 10000} {
		var rows [][]float64
		for range o.rounds {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			fmt.Fprintf(os.Stderr, "      %d mappings\n", n)
			s, err := newStage(fast, true, dir)
			if err != nil {
				return err
			}
			if err := fill(filepath.Join(dir, "nat64"), n-1); err != nil {
				s.close()
				return err
			}
			var row []float64
			for _, i := range []int{1, 5, 6} {
				v, err := figures()[i].take(s, o)
				if err != nil {
					v = math.NaN()
				}
				row = append(row, v)
			}
			rows = append(rows, row)
			s.close()
		}
		fmt.Fprintf(w, "%d\t%.3g\t%.3g\t%.5g\n", n, column(rows, 0), column(rows, 1), column(rows, 2))
	}
	return w.Flush()
}

// fill adds mappings that nobody uses.
func fill(pins string, n int) error {
	t, err := fastpath.Open(pins)
	if err != nil {
		return err
	}
	defer t.Close()
	for i := range n {
		guest := [16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, 3, 9, 14: byte(i >> 8), 15: byte(i)}
		pool := [4]byte{10, 64, byte(i >> 8), byte(i)}
		if err := t.Put(netip.AddrFrom16(guest), netip.AddrFrom4(pool)); err != nil {
			return err
		}
	}
	return nil
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "Linux"
	}
	return "Linux " + unix.ByteSliceToString(u.Release[:])
}
