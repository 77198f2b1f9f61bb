package nft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

func read(t *testing.T, ns *netns.NS, f Family, name string) *Table {
	t.Helper()
	var got *Table
	nstest.Do(t, ns, func() (err error) {
		got, err = Read(context.Background(), f, name)
		return err
	})
	return got
}

func replace(t *testing.T, ns *netns.NS, want *Table) {
	t.Helper()
	nstest.Do(t, ns, func() error { return Replace(context.Background(), want) })
}

// diff shows how two tables differ.
func diff(want, got *Table) string {
	if want == nil || got == nil {
		return fmt.Sprintf("want %v, got %v", want, got)
	}
	return cmp.Diff(want.canonical(), got.canonical(), cmpopts.EquateComparable(netip.Prefix{}))
}

// loadText gives text to the real nft.
func loadText(t *testing.T, ns *netns.NS, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.nft")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	nstest.Output(t, ns, "nft", "-f", file)
}

func list(t *testing.T, ns *netns.NS, f Family, name string) string {
	t.Helper()
	return nstest.Output(t, ns, "nft", "-s", "list", "table", string(f), name)
}

// What was written is read back as the same value, again after a replacement.
func TestReadAfterReplace(t *testing.T) {
	for _, want := range samples() {
		t.Run(string(want.Family)+" "+want.Name, func(t *testing.T) {
			ns := nstest.NS(t)
			if got := read(t, ns, want.Family, want.Name); got != nil {
				t.Fatalf("table in a fresh namespace: %v", got)
			}
			for range 2 {
				replace(t, ns, want)
				got := read(t, ns, want.Family, want.Name)
				if !Equal(got, want) {
					t.Fatalf("(-want +got)\n%s", diff(want, got))
				}
			}
			nstest.Do(t, ns, func() error { return Delete(context.Background(), want.Family, want.Name) })
			nstest.Do(t, ns, func() error { return Delete(context.Background(), want.Family, want.Name) })
			if got := read(t, ns, want.Family, want.Name); got != nil {
				t.Fatalf("after Delete: %v", got)
			}
		})
	}
}

// The judge is the real nft: it makes of our text what we make of the value.
func TestAgainstNft(t *testing.T) {
	for _, want := range samples() {
		t.Run(string(want.Family)+" "+want.Name, func(t *testing.T) {
			ours, theirs := nstest.NS(t), nstest.NS(t)
			replace(t, ours, want)
			loadText(t, theirs, want.Script())
			loadText(t, theirs, want.Script())
			if d := cmp.Diff(list(t, theirs, want.Family, want.Name), list(t, ours, want.Family, want.Name)); d != "" {
				t.Errorf("nft list (-loaded by nft +written by us)\n%s", d)
			}
			if got := read(t, theirs, want.Family, want.Name); !Equal(got, want) {
				t.Errorf("read of what nft loaded (-want +got)\n%s", diff(want, got))
			}
		})
	}
}

// Whatever somebody else does to the table makes it differ.
func TestDriftDiffers(t *testing.T) {
	want := samples()[1]
	for _, change := range []string{
		"add rule bridge t c-input meta length 5 drop",
		"add rule bridge t c-input meta cpu 0 drop",
		"add rule bridge t c-input counter drop",
		"add rule bridge t c-input meta l4proto { tcp, udp } drop",
		"add rule bridge t c-input numgen inc mod 2 0 drop",
		"add rule bridge t c-input accept",
		"add element bridge t macs { 52:54:00:00:00:09 }",
		"delete element bridge t macs { 52:54:00:00:00:01 }",
		"add element bridge t v6 { 2001:db8:9::1-2001:db8:9::4 }",
		"add set bridge t more { type inet_service; }",
		"add set bridge t more { type ether_addr; flags timeout; }",
		"add map bridge t more { type ether_addr : verdict; }",
		"add counter bridge t more",
		"add quota bridge t more { over 5 bytes }",
		"add chain bridge t more",
		"add table bridge t { flags dormant; }",
		"add chain bridge t c-input { policy accept; }",
		"flush chain bridge t c-forward",
		"flush set bridge t v4",
		"delete table bridge t",
	} {
		t.Run(change, func(t *testing.T) {
			ns := nstest.NS(t)
			replace(t, ns, want)
			loadText(t, ns, change+"\n")
			got := read(t, ns, want.Family, want.Name)
			if Equal(got, want) {
				t.Fatal("the table still equals the one wanted")
			}
			// And it can be repaired.
			replace(t, ns, want)
			if got := read(t, ns, want.Family, want.Name); !Equal(got, want) {
				t.Fatalf("after repair (-want +got)\n%s", diff(want, got))
			}
		})
	}
}

// Other tables stay, and a refused table changes nothing.
func TestRefusedChangesNothing(t *testing.T) {
	ns := nstest.NS(t)
	nstest.Tool(t, "nft")
	loadText(t, ns, "table bridge other { chain c { type filter hook forward priority 0; }\n}\n")
	before := list(t, ns, Bridge, "other")
	good := &Table{Family: Bridge, Name: "t", Counters: []string{"hits"}, Chains: []Chain{
		{Name: "c", Type: "filter", Hook: "forward", Policy: "accept", Rules: []Rule{NewRule("", IIFName("eth0"), CountIn("hits"), Drop())}},
	}}
	replace(t, ns, good)
	bad := &Table{Family: Bridge, Name: "t", Chains: []Chain{{Name: "c", Type: "nat", Hook: "postrouting", Policy: "accept"}}}
	worse := &Table{Family: Bridge, Name: "t", Chains: []Chain{
		{Name: "c", Type: "filter", Hook: "forward", Policy: "accept", Rules: []Rule{NewRule("fine", Accept()), NewRule("odd one", Masquerade())}},
	}}
	for _, x := range []*Table{bad, worse} {
		err := ns.Do(func() error { return Replace(context.Background(), x) })
		var kerr *KernelError
		if !errors.As(err, &kerr) {
			t.Fatalf("Replace = %v, want a *KernelError", err)
		}
		t.Log(err)
	}
	err := ns.Do(func() error { return Replace(context.Background(), worse) })
	if !errors.Is(err, errors.ErrUnsupported) && !strings.Contains(err.Error(), "odd one") {
		t.Errorf("Replace = %v: names no rule", err)
	}
	if got := read(t, ns, Bridge, "t"); !Equal(got, good) {
		t.Errorf("after the refusal: %v", got)
	}
	if after := list(t, ns, Bridge, "other"); after != before {
		t.Errorf("other table changed:\n%s", after)
	}
}

func TestCounters(t *testing.T) {
	ns := nstest.NS(t)
	err := ns.Do(func() error { _, err := Counters(context.Background(), IP6, "t"); return err })
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Counters without a table = %v, want fs.ErrNotExist", err)
	}
	replace(t, ns, &Table{Family: IP6, Name: "t", Counters: []string{"pings", "none"}, Chains: []Chain{
		{Name: "c", Type: "filter", Hook: "output", Policy: "accept", Rules: []Rule{NewRule("", ICMPv6Type(EchoRequest6), CountIn("pings"))}},
	}})
	ping := exec.Command(nstest.Tool(t, "ping"), "-6", "-c", "3", "-i", "0.01", "-W", "2", "::1")
	if err := ns.Start(ping); err != nil {
		t.Fatal(err)
	}
	if err := ping.Wait(); err != nil {
		t.Fatalf("ping: %v", err)
	}
	var got []Counter
	nstest.Do(t, ns, func() (err error) { got, err = Counters(context.Background(), IP6, "t"); return err })
	want := []Counter{{Name: "none"}, {Name: "pings", Packets: 3, Bytes: 3 * (40 + 8 + 56)}}
	if !slices.Equal(got, want) {
		t.Errorf("Counters = %v, want %v", got, want)
	}
}

// A set larger than one netlink attribute, and a table larger than a socket's
// default buffer.
func TestLarge(t *testing.T) {
	ns := nstest.NS(t)
	big := &Table{Family: Bridge, Name: "t", Chains: []Chain{{Name: "c", Type: "filter", Hook: "forward", Policy: "accept"}}}
	var macs Set
	for i := range 3000 {
		macs.Elements = append(macs.Elements, strings.ToLower(macText(i)))
	}
	macs.Name, macs.Type = "macs", EtherAddr
	big.Sets = []Set{macs}
	for range 2000 {
		big.Chains[0].Rules = append(big.Chains[0].Rules, NewRule("", Invert(In(KindEtherSaddr, "macs")), Daddr(pfx("2001:db8::/64")), Drop()))
	}
	replace(t, ns, big)
	if got := read(t, ns, Bridge, "t"); !Equal(got, big) {
		t.Error("not read back as written")
	}
}

func macText(i int) string {
	const hexd = "0123456789abcdef"
	b := []byte("52:54:00:00:00:00")
	b[12], b[13], b[15], b[16] = hexd[i>>12&15], hexd[i>>8&15], hexd[i>>4&15], hexd[i&15]
	return string(b)
}

func TestContextEnded(t *testing.T) {
	ns := nstest.NS(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := ns.Do(func() error { return Replace(ctx, &Table{Family: Bridge, Name: "t"}) }); !errors.Is(err, context.Canceled) {
		t.Errorf("Replace = %v, want context.Canceled", err)
	}
}
