package macrewrite

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// kept runs a watcher that repairs in a namespace until the test ends.
func kept(t *testing.T, ns *netns.NS, wanted State) *Watcher {
	t.Helper()
	var w *Watcher
	nstest.Do(t, ns, func() (err error) {
		w, err = NewWatcher(WatchConfig{Wanted: wanted, Handle: func(ctx context.Context, d Drift) (time.Duration, error) {
			if d.Err != nil {
				t.Error(d.Err)
			}
			for _, s := range d.Steps {
				if err := s.Do(ctx); err != nil {
					t.Errorf("%s: %v", s.Text, err)
				}
			}
			return 0, nil
		}})
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return w
}

// settles waits until the table is as wanted.
func settles(t *testing.T, ns *netns.NS, wanted State) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		var there State
		err := ns.Do(func() (err error) { there, err = Capture(context.Background()); return err })
		if err == nil {
			if p, err := Plan(there, wanted); err == nil && p.Empty() {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("not as wanted after 30 s: %v\n%s", err, cmp.Diff(wanted.String(), there.String()))
		}
	}
}

// Whatever somebody does to the table, it is put right again; what they do to
// others is theirs.
func TestWatch(t *testing.T) {
	ns := nstest.NS(t)
	want := must(t, withGuests())
	w := kept(t, ns, want)
	settles(t, ns, want) // it was not there at first
	const others = "table bridge filter {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n\t}\n}\n"
	for _, change := range []string{
		"flush ruleset\n" + others,
		"delete table bridge sixhost_edge",
		"insert rule bridge sixhost_edge forward accept",
		"flush chain bridge sixhost_edge from-guest",
		"delete element bridge sixhost_edge guest-ports { \"vnet0\" }",
		"add element bridge sixhost_edge other-ports { \"vnet0\" }",
		"flush set bridge sixhost_edge guest-sources",
		"add table bridge sixhost_edge { flags dormant; }",
	} {
		loadNft(t, ns, "", change+"\n")
		settles(t, ns, want)
	}
	if now := nstest.Output(t, ns, "nft", "list", "table", "bridge", "filter"); now != others {
		t.Errorf("table of others changed:\n%s", now)
	}

	// A guest goes, another comes.
	other := withGuests()
	other.Guests = append(other.Guests[1:], Guest{Port: "vnet7", MAC: [6]byte{2, 7}})
	w.Want(must(t, other))
	settles(t, ns, must(t, other))
}

// Each report once, a difference that stays again only if the handler asks for
// it, and its error ends all.
func TestWatchReports(t *testing.T) {
	ns := nstest.NS(t)
	want := must(t, sample())
	reports := make(chan Drift, 100)
	enough := errors.New("enough")
	var w *Watcher
	nstest.Do(t, ns, func() (err error) {
		n := 0
		w, err = NewWatcher(WatchConfig{Wanted: want, Handle: func(ctx context.Context, d Drift) (time.Duration, error) {
			reports <- d
			if n++; n == 3 {
				return 0, enough
			}
			return time.Millisecond, nil
		}})
		return err
	})
	if err := w.Run(context.Background()); !errors.Is(err, enough) {
		t.Errorf("Run = %v", err)
	}
	for range 3 {
		if d := <-reports; !d.Gone || len(d.Steps) != 1 || d.Since.IsZero() {
			t.Errorf("reported %+v", d)
		}
	}
	if err := w.events.Stop(); err == nil {
		t.Error("the socket is still open")
	}
	if _, err := NewWatcher(WatchConfig{}); err == nil {
		t.Error("a watcher without a handler")
	}
}

// A difference that is of a new wish is told apart from one that somebody made.
func TestWatchTellsWishes(t *testing.T) {
	ns := nstest.NS(t)
	want := must(t, withGuests())
	reports := make(chan Drift, 100)
	var w *Watcher
	nstest.Do(t, ns, func() (err error) {
		w, err = NewWatcher(WatchConfig{Wanted: want, Handle: func(ctx context.Context, d Drift) (time.Duration, error) {
			if len(d.Steps) > 0 {
				reports <- d
			}
			for _, s := range d.Steps {
				if err := s.Do(ctx); err != nil {
					return 0, err
				}
			}
			return 0, nil
		}})
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer cancel()
	wish := func(expected bool) {
		t.Helper()
		select {
		case d := <-reports:
			if d.Wish != expected {
				t.Errorf("it is of a new wish: %v, want %v", d.Wish, expected)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no report")
		}
	}
	wish(false) // there was no table
	settles(t, ns, want)
	for i := range 3 {
		c := withGuests()
		c.Guests = append(c.Guests, Guest{Port: "vnet7", MAC: [6]byte{2, 7, 0, 0, 0, byte(i)}})
		want = must(t, c)
		w.Want(want)
		wish(true)
		settles(t, ns, want)
	}
	w.Want(want) // nothing new
	loadNft(t, ns, "", "flush set bridge sixhost_edge guest-sources\n")
	wish(false)
	settles(t, ns, want)
}
