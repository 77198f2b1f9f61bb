package macrewrite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nft"
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
	loadNft(t, ns, "", "flush chain bridge sixhost_edge leaving\n")
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

// A guest that comes or goes changes elements: counters go on, and so does the
// account of addresses that are in no list.
func TestGuestsComeAndGo(t *testing.T) {
	n := newNetwork(t, true, State{})
	n.up(t)
	pr := newProber(t, n)
	c := sample()
	c.Guests = guestsOf(n)
	if err := n.apply(must(t, c)); err != nil {
		t.Fatal(err)
	}
	m, private := n.mac[guest2], ip("2001:db8:1:3:1234:5678:9abc:def0")
	ping := eth(n.mac[host], m, v6, icmp(private, ip("2001:db8:2::9"), 128))
	stolen := eth(n.mac[host], m, v6, icmp(ip("2001:db8:1:3::aaaa"), ip("2001:db8:2::9"), 128))
	expect := func(all ...check) {
		t.Helper()
		wrong, err := pr.run(all)
		if err != nil || len(wrong) > 0 {
			t.Errorf("%s, %v", sentence(wrong), err)
		}
	}
	expect(check{name: "privacy address", from: guest2, frame: ping, arrives: []place{host}},
		check{name: "stolen address", from: guest2, frame: stolen, counted: one(SourceFromGuest)})

	seen := func() (found bool) {
		nstest.Do(t, n.ns[host], func() (err error) {
			found, err = nft.Contains(context.Background(), nft.Bridge, TableName, accountSeen(), nft.Tuple("vnet1", m, private))
			return err
		})
		return found
	}
	less := sample()
	less.Guests = c.Guests[1:]
	for i, next := range []Config{less, c, less} {
		before, err := n.readCounters()
		if err != nil {
			t.Fatal(err)
		}
		var p plan.Plan
		nstest.Do(t, n.ns[host], func() error {
			there, err := Capture(context.Background())
			if err != nil {
				return err
			}
			if p, err = Plan(there, must(t, next)); err != nil {
				return err
			}
			return p.Run(context.Background(), plan.Apply, nil)
		})
		if len(p.Steps) != 1 {
			t.Fatalf("change %d: %d steps", i, len(p.Steps))
		}
		after, err := n.readCounters()
		if err != nil {
			t.Fatal(err)
		}
		if after[SourceFromGuest] != before[SourceFromGuest] || after[SourceFromGuest] == 0 {
			t.Errorf("change %d: the counter went from %d to %d", i, before[SourceFromGuest], after[SourceFromGuest])
		}
		if !seen() {
			t.Errorf("change %d: the account of addresses was lost", i)
		}
	}
	// What nobody has any more may be taken.
	expect(check{name: "address that got free", from: guest2, frame: stolen, arrives: []place{host}})
}

// A kernel that refuses a part is told of by a typed error, and nothing changes.
func TestUnsupported(t *testing.T) {
	ns := nstest.NS(t)
	want := must(t, withGuests())
	// The bridge family has no routing to ask: so is it with any feature that a
	// kernel lacks.
	bad := must(t, withGuests())
	bad.Table.Chains[0].Rules = append(bad.Table.Chains[0].Rules, nft.NewRule("odd one", nft.Masquerade()))
	run := func(s State) error {
		return ns.Do(func() error {
			p, err := Plan(State{}, s)
			if err != nil {
				return err
			}
			return p.Run(context.Background(), plan.Apply, nil)
		})
	}
	if err := run(want); err != nil {
		t.Fatal(err)
	}
	err := run(bad)
	var typed *UnsupportedError
	if !errors.As(err, &typed) || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(typed.What, "odd one") {
		t.Errorf("what the kernel refuses is %v", err)
	}
	nstest.Do(t, ns, func() error {
		there, err := Capture(context.Background())
		if err == nil && !nft.Equal(there.Table, want.Table) {
			t.Error("the table changed")
		}
		return err
	})
}
