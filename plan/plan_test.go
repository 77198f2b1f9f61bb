package plan

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// noting returns a step that appends its text to done and fails with err.
func noting(done *[]string, ph Phase, text string, err error) Step {
	return Step{Phase: ph, Part: "test", Text: text, Do: func(context.Context) error {
		*done = append(*done, text)
		return err
	}}
}

func TestWriteText(t *testing.T) {
	nop := func(context.Context) error { return nil }
	for name, p := range map[string]Plan{
		"empty":       {},
		"empty-noted": {Notes: []string{"br_netfilter is loaded, and bridged guests pass iptables"}},
		"confirm-only": {Steps: []Step{
			{Phase: Confirm, Part: "bridge", Text: "remove 2001:db8:1:3::2/64 from br0", Do: nop},
		}},
		"full": {
			Steps: []Step{
				{Phase: Apply, Part: "macrewrite", Text: "load the nft table bridge sixhost_edge", Do: nop},
				{Phase: Confirm, Part: "bridge", Text: "remove 2001:db8:1:3::2/64 from br0", Do: nop},
				{Phase: Apply, Part: "bridge", Text: "create the bridge br0 with MAC 90:1b:0e:12:34:56", Do: nop},
				{Phase: Apply, Part: "averylongpart", Text: "put 203.0.113.10/32 on br0", Do: nop},
				{Phase: Confirm, Part: "persist", Text: "write /etc/netplan/50-sixhost.yaml", Do: nop},
			},
			Notes: []string{"networkd manages enp2s0", "the change is taken back after 2m0s unless confirmed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			if err := p.WriteText(&got); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got.String()), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// Every failing write comes back.
			for n := range strings.Count(got.String(), "\n") {
				if err := p.WriteText(&failAfter{n}); !errors.Is(err, io.ErrShortWrite) {
					t.Errorf("write %d fails, WriteText returns %v", n, err)
				}
			}
		})
	}
}

// failAfter is a writer that takes n writes.
type failAfter struct{ n int }

func (f *failAfter) Write(b []byte) (int, error) {
	if f.n == 0 {
		return 0, io.ErrShortWrite
	}
	f.n--
	return len(b), nil
}

func TestRun(t *testing.T) {
	var done, told []string
	p := Plan{Steps: []Step{
		noting(&done, Apply, "one", nil),
		noting(&done, Confirm, "last", nil),
		noting(&done, Apply, "two", fs.ErrPermission),
		noting(&done, Apply, "three", nil),
	}}
	before := func(n, of int, s Step) { told = append(told, fmt.Sprintf("%d/%d %s", n, of, s.Text)) }
	err := p.Run(context.Background(), Apply, before)
	var se *StepError
	if !errors.As(err, &se) || !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("Run returned %v, want a StepError with fs.ErrPermission", err)
	}
	if want := "step 2 of 3 (test: two): permission denied"; err.Error() != want {
		t.Errorf("error reads %q, want %q", err, want)
	}
	if diff := cmp.Diff([]string{"one", "two"}, done); diff != "" {
		t.Errorf("steps run (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1/3 one", "2/3 two"}, told); diff != "" {
		t.Errorf("steps announced (-want +got):\n%s", diff)
	}
	done = nil
	if err := p.Run(context.Background(), Confirm, nil); err != nil || len(done) != 1 || done[0] != "last" {
		t.Errorf("the confirm phase ran %q and returned %v", done, err)
	}
}

func TestRunStopsWithContext(t *testing.T) {
	var done []string
	ctx, cancel := context.WithCancel(context.Background())
	p := Plan{Steps: []Step{
		{Text: "cancel", Do: func(context.Context) error { cancel(); return nil }},
		noting(&done, Apply, "never", nil),
	}}
	err := p.Run(ctx, Apply, nil)
	var se *StepError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &se) || se.Number != 2 || len(done) != 0 {
		t.Errorf("Run returned %v and ran %q; want to stop ahead of step 2", err, done)
	}
}

func TestJoinAndPhase(t *testing.T) {
	var done []string
	a := Plan{Steps: []Step{noting(&done, Apply, "a1", nil), noting(&done, Confirm, "a2", nil)}, Notes: []string{"na"}}
	b := Plan{Steps: []Step{noting(&done, Apply, "b1", nil)}, Notes: []string{"nb"}}
	j := Join(a, Plan{}, b)
	text := func(p Plan) (s []string) {
		for _, st := range p.Steps {
			s = append(s, st.Text)
		}
		return append(s, p.Notes...)
	}
	for _, tc := range []struct {
		got  Plan
		want []string
	}{
		{j, []string{"a1", "a2", "b1", "na", "nb"}},
		{j.Phase(Apply), []string{"a1", "b1", "na", "nb"}},
		{j.Phase(Confirm), []string{"a2", "na", "nb"}},
		{a, []string{"a1", "a2", "na"}},
	} {
		if diff := cmp.Diff(tc.want, text(tc.got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if !Join().Empty() || j.Empty() || !b.Phase(Confirm).Empty() {
		t.Error("Empty is wrong")
	}
}

func TestPhaseText(t *testing.T) {
	for p, want := range map[Phase]string{Apply: "apply", Confirm: "confirm", 7: "phase 7"} {
		if b, err := p.MarshalText(); err != nil || string(b) != want {
			t.Errorf("phase %d: %q, %v; want %q", uint8(p), b, err, want)
		}
	}
}

func TestRefusal(t *testing.T) {
	sentinel := errors.New("not for print")
	err := fmt.Errorf("plan bridge: %w", &Refusal{Subject: "uplink wlp3s0", Reason: "wireless, which can't be bridged", Err: sentinel})
	var r *Refusal
	if !errors.As(err, &r) || !errors.Is(err, sentinel) {
		t.Fatalf("%v doesn't match", err)
	}
	if want := "uplink wlp3s0: wireless, which can't be bridged"; r.Error() != want {
		t.Errorf("reads %q, want %q", r, want)
	}
	if r := (&Refusal{Reason: "not root"}); r.Error() != "not root" || r.Unwrap() != nil {
		t.Errorf("without subject: %q", r)
	}
}

// hostState is the state of a pretended host: its values by name.
type hostState map[string]string

// host makes a restorer for a pretended host that notes each of its steps.
func host(part string, there hostState, done *[]string, fail error) Restorer {
	return RestorerOf(part,
		func(context.Context, hostState) (hostState, error) { return there, nil },
		func(from, to hostState) (Plan, error) {
			var p Plan
			for k := range to {
				if from[k] == to[k] {
					continue
				}
				p.Steps = append(p.Steps, Step{Part: part, Text: "set " + k, Do: func(context.Context) error {
					*done = append(*done, part+" "+k)
					if fail == nil {
						there[k] = to[k]
					}
					return fail
				}})
			}
			p.Steps = append(p.Steps, noting(done, Confirm, part+" tidied", nil))
			return p, nil
		})
}

func captured(t *testing.T, part string, state any) Captured {
	t.Helper()
	c, err := Capture(part, state)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRestore(t *testing.T) {
	var done []string
	a, b := hostState{"x": "changed"}, hostState{"y": "changed"}
	err := Restore(context.Background(),
		[]Captured{captured(t, "a", hostState{"x": "old"}), captured(t, "b", hostState{"y": "old"})},
		[]Restorer{host("a", a, &done, nil), host("b", b, &done, nil)})
	if err != nil {
		t.Fatal(err)
	}
	// Last captured first, and each with both phases.
	if diff := cmp.Diff([]string{"b y", "b tidied", "a x", "a tidied"}, done); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if a["x"] != "old" || b["y"] != "old" {
		t.Errorf("restored to %v %v", a, b)
	}
}

// What fails doesn't keep the rest from being restored.
func TestRestoreGoesOn(t *testing.T) {
	var done []string
	a := hostState{"x": "changed"}
	errBroken := errors.New("broken")
	err := Restore(context.Background(),
		[]Captured{
			captured(t, "a", hostState{"x": "old"}),
			captured(t, "nobody", 1),
			captured(t, "failing", hostState{"z": "old"}),
			captured(t, "unreadable", []int{1}),
			captured(t, "planless", 1),
			captured(t, "blind", 1),
		},
		[]Restorer{
			host("a", a, &done, nil),
			host("failing", hostState{}, &done, fs.ErrPermission),
			host("unreadable", hostState{}, &done, nil),
			RestorerOf("planless", func(context.Context, int) (int, error) { return 0, nil }, func(int, int) (Plan, error) { return Plan{}, errBroken }),
			RestorerOf("blind", func(context.Context, int) (int, error) { return 0, fs.ErrNotExist }, func(int, int) (Plan, error) { return Plan{}, nil }),
		})
	var (
		se *StepError
		ue *json.UnmarshalTypeError
	)
	if !errors.Is(err, ErrUnknownPart) || !errors.Is(err, fs.ErrPermission) || !errors.Is(err, errBroken) || !errors.Is(err, fs.ErrNotExist) ||
		!errors.As(err, &se) || !errors.As(err, &ue) {
		t.Errorf("errors are missing in: %v", err)
	}
	if a["x"] != "old" {
		t.Error("a was not restored")
	}
	if diff := cmp.Diff([]string{"failing z", "failing tidied", "a x", "a tidied"}, done); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestCaptureFails(t *testing.T) {
	if _, err := Capture("a", make(chan int)); err == nil || !strings.Contains(err.Error(), "captured state of a") {
		t.Errorf("a channel was captured, error %v", err)
	}
}

// Captured values travel by file.
func TestCapturedJSON(t *testing.T) {
	in := []Captured{captured(t, "a", hostState{"x": "old"})}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"part":"a","state":{"x":"old"}}]`; string(b) != want {
		t.Errorf("marshalled to %s, want %s", b, want)
	}
	var out []Captured
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
