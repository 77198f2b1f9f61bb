package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSummarize(t *testing.T) {
	for _, tt := range []struct {
		samples []float64
		want    stats
	}{
		{[]float64{7}, stats{7, 7, 7}},
		{[]float64{3, 1, 2}, stats{2, 1, 3}},
		{[]float64{4, 1, 3, 2}, stats{2.5, 1, 4}},
		{[]float64{5, 5, 0, 100, 5}, stats{5, 0, 100}},
		{[]float64{-2, -1}, stats{-1.5, -2, -1}},
	} {
		given := slices.Clone(tt.samples)
		if got := summarize(tt.samples); got != tt.want {
			t.Errorf("summarize(%v) = %v, want %v", tt.samples, got, tt.want)
		}
		if !slices.Equal(tt.samples, given) {
			t.Errorf("summarize(%v) put its argument into the order %v", given, tt.samples)
		}
	}
	if got := summarize(nil); !math.IsNaN(got.Median) || !math.IsNaN(got.Min) || !math.IsNaN(got.Max) {
		t.Errorf("summarize(nil) = %v, want NaNs", got)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 3: "3", 1234: "1234", 1234.5: "1234", 99.94: "99.9", 12.345: "12.3",
		1.234: "1.23", 0.1234: "0.12", 0.00123: "0.0012", math.NaN(): "-",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func sampleReport() report {
	var r report
	r.note("%d CPUs", 2)
	r.Rows = []row{
		{Group: "one", What: "wait", Unit: unitSeconds, Samples: []float64{2, 1, 3}, Under: 15},
		{Group: "one", What: "lost", Unit: unitLost, Samples: []float64{4, 4}, Beside: &peer{"no change", []float64{0, 0}}},
		{Group: "two", What: "stall", Unit: unitMillis, Samples: []float64{200, 250, 300}, Beside: &peer{"ours", []float64{2, 2.5, 3}}, Under: 100},
	}
	return r
}

func TestWriteText(t *testing.T) {
	r := sampleReport()
	var b bytes.Buffer
	if err := r.writeText(&b); err != nil {
		t.Fatal(err)
	}
	want := `     figure  unit  median  min  max  runs  beside     median  ratio  goal
one  wait    s     2       1    3    3     -          -       -      under 15: met
     lost    lost  4       4    4    2     no change  0       -      -
two  stall   ms    250     200  300  3     ours       2.50    100x   under 100: MISSED
Note: 2 CPUs
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestWriteJSON(t *testing.T) {
	r := sampleReport()
	// A figure without runs has no number that JSON could hold.
	r.Rows = append(r.Rows, row{Group: "three", What: "nothing"})
	var b bytes.Buffer
	if err := r.writeJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Notes []string
		Rows  []struct {
			Group, What, Unit string
			Samples           []float64
			Median, Min, Max  float64
			Under             float64
			Beside            *struct {
				What   string
				Median float64
				Ratio  *float64
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	if len(got.Notes) != 1 || len(got.Rows) != 3 {
		t.Fatalf("%d notes and %d rows, want 1 and 3:\n%s", len(got.Notes), len(got.Rows), b.String())
	}
	if g := got.Rows[0]; g.What != "wait" || g.Median != 2 || g.Min != 1 || g.Max != 3 || len(g.Samples) != 3 || g.Under != 15 || g.Beside != nil {
		t.Errorf("first row is %+v", g)
	}
	if g := got.Rows[1].Beside; g == nil || g.What != "no change" || g.Ratio != nil {
		t.Errorf("second row is beside %+v, want no ratio to zero", g)
	}
	if g := got.Rows[2].Beside; g == nil || g.Median != 2.5 || g.Ratio == nil || *g.Ratio != 100 {
		t.Errorf("third row is beside %+v, want a ratio of 100", g)
	}
}

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-runs", "2", "-sizes", "3,30", "-most", "10", "-json", "-fullhost", "/x", "move", "plan"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.runs != 2 || !slices.Equal(o.sizes, []int{3, 30}) || !o.json || !o.wants(benchPlan) || o.wants(benchLab) {
		t.Errorf("got %+v", o)
	}
	if got := o.attached(); !slices.Equal(got, []int{3}) || len(o.sizes) != 2 {
		t.Errorf("attaches %v of %v, want those up to 10", got, o.sizes)
	}
	again, err := parseOptions(o.args(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	again.json = o.json // the outer half's alone
	if fmt.Sprint(again) != fmt.Sprint(o) {
		t.Errorf("the inner half understands %+v, want %+v", again, o)
	}
	if o, err := parseOptions(nil, io.Discard); err != nil || !slices.Equal(o.which, benches()) {
		t.Errorf("without arguments: %+v, %v; want all", o, err)
	}
	for _, bad := range [][]string{
		{"-runs", "0"}, {"-sizes", "0"}, {"-sizes", ""}, {"-sizes", "1,x"}, {"-sizes", "10,1"}, {"-sizes", "1,1"},
		{"-sizes", "1023"}, {"-most", "0"}, {"-nonsense"}, {"nonsense"},
	} {
		if _, err := parseOptions(bad, io.Discard); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestHostFile(t *testing.T) {
	got := hostFile("/srv", []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::53]:53")}, 2)
	want := `address: slaac
state_dir: /srv/state
persist:
  format: netplan
  root: /srv/root
dns:
  domain: example
  upstreams:
  - "[2001:db8::53]:53"
guests:
- name: guest1
  serve: [guest1.example]
- name: guest2
  serve: [guest2.example]
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("host.yaml (-want +got):\n%s", diff)
	}
}

func TestSplitLab(t *testing.T) {
	start := time.Unix(1000, 0)
	now := start
	out := &lineStamper{now: func() time.Time { return now }}
	say := func(after time.Duration, text string) {
		now = start.Add(after)
		if _, err := io.WriteString(out, text); err != nil {
			t.Fatal(err)
		}
	}
	say(0, "[  0.0 s] Note: something\n[  0.0 s] Building the pra")
	say(10*time.Millisecond, "ctice provider.\n")
	say(time.Second, "[  1.0 s] Counting pings\n")
	say(3*time.Second, "[  3.0 s] Moving the server\n          Starting [1/2] is no step of ours\n")
	say(5*time.Second, "[  5.0 s] Moved in 40 ms.\n[  5.0 s] Confirming\n")
	say(6*time.Second, "[  6.0 s] Starting 3 guests\n")
	if _, ok := splitLab(start, now, out.lines); ok {
		t.Error("half a run was taken for a whole one")
	}
	say(9*time.Second, "[  9.0 s] Checking\n")
	p, ok := splitLab(start, start.Add(13*time.Second), out.lines)
	want := labPhases{build: time.Second, control: 2 * time.Second, move: 2 * time.Second, serve: time.Second, guests: 3 * time.Second, check: 4 * time.Second}
	if !ok || p != want {
		t.Errorf("splitLab = %+v, %v, want %+v", p, ok, want)
	}
	if n := strings.Count(out.all.String(), "\n"); n != len(out.lines) || n != 9 {
		t.Errorf("%d lines, %d line ends, want 9", len(out.lines), n)
	}
}
