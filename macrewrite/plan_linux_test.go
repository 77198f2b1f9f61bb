package macrewrite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/plan"
)

// loadNft gives text to the real nft.
func loadNft(t *testing.T, ns *netns.NS, flag, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "edge.nft")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-f", file}
	if flag != "" {
		args = append([]string{flag}, args...)
	}
	nstest.Output(t, ns, "nft", args...)
}

// From nothing to the rules, nothing more to do then, drift seen and repaired,
// and back to nothing, with the rules of others untouched throughout.
func TestLifeOfTheTable(t *testing.T) {
	ns := nstest.NS(t)
	ctx := context.Background()
	loadNft(t, ns, "", "table bridge filter { chain forward { type filter hook forward priority 0; ip6 nexthdr 58 counter accept; }\n}\n")
	others := nstest.Output(t, ns, "nft", "list", "table", "bridge", "filter")
	want := must(t, sample())

	capture := func() (s State) {
		t.Helper()
		nstest.Do(t, ns, func() (err error) { s, err = Capture(ctx); return err })
		return s
	}
	to := func(s State) int {
		t.Helper()
		p, err := Plan(capture(), s)
		if err != nil {
			t.Fatal(err)
		}
		nstest.Do(t, ns, func() error { return p.Run(ctx, plan.Apply, nil) })
		if again, err := Plan(capture(), s); err != nil || !again.Empty() {
			t.Errorf("after the plan ran there is still something to do: %v %v", again, err)
		}
		return len(p.Steps)
	}

	before := capture()
	if before.Table != nil {
		t.Fatalf("captured in a fresh namespace: %s", before)
	}
	if n := to(want); n != 1 {
		t.Errorf("%d steps to the rules, want 1", n)
	}
	loadNft(t, ns, "", "insert rule bridge sixhost_edge forward accept\n")
	if n := to(want); n != 1 {
		t.Errorf("%d steps to repair a foreign accept, want 1", n)
	}
	loadNft(t, ns, "", "flush chain bridge sixhost_edge output\n")
	if n := to(want); n != 1 {
		t.Errorf("%d steps to repair a flushed chain, want 1", n)
	}

	captured, err := plan.Capture(Part, before)
	if err != nil {
		t.Fatal(err)
	}
	nstest.Do(t, ns, func() error { return plan.Restore(ctx, []plan.Captured{captured}, []plan.Restorer{Restorer()}) })
	if s := capture(); s.Table != nil {
		t.Errorf("after the way back: %s", s)
	}
	if n := to(State{}); n != 0 {
		t.Errorf("%d steps from nothing to nothing", n)
	}
	if now := nstest.Output(t, ns, "nft", "list", "table", "bridge", "filter"); now != others {
		t.Errorf("table of others changed:\n%s", now)
	}
	err = ns.Do(func() error { _, err := Counters(ctx); return err })
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Counters without the table = %v, want fs.ErrNotExist", err)
	}
}
