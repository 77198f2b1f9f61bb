package bridge_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/plan"
)

// TestGuestsDespiteForwardDrop: with br_netfilter on and a FORWARD policy of
// DROP, two guests of the bridge don't find each other. The plan is the steps
// that let them, and can be taken back.
func TestGuestsDespiteForwardDrop(t *testing.T) {
	t.Parallel()
	r := newServer(t, "addr add 203.0.113.10/32 dev "+nic, "addr add 2001:db8:1:3::2/64 dev "+nic)
	cfg := bridge.Config{Uplink: nic}
	_, p := mustPlan(t, cfg, r.capture(t))
	r.run(t, p, plan.Apply)
	guests := []*netns.NS{nstest.NS(t), nstest.NS(t)}
	for i, g := range guests {
		batch(t, r.server, []string{
			fmt.Sprintf("link add vnet%d type veth peer name eth0 netns /proc/%d/fd/%d", i, os.Getpid(), g.File().Fd()),
			fmt.Sprintf("link set vnet%d master br0 up", i),
		})
		batch(t, g, []string{"link set eth0 up", fmt.Sprintf("addr add 2001:db8:1:3::a%d/64 dev eth0 nodad", i), fmt.Sprintf("addr add 192.0.2.%d/24 dev eth0", i+1)})
	}
	// As Docker does.
	const on = "net/bridge/bridge-nf-call-"
	nstest.Do(t, r.server, func() error {
		for _, what := range []string{"iptables", "ip6tables"} {
			if err := sysctl.Write(on+what, "1"); err != nil {
				return err
			}
		}
		return nil
	})
	nstest.Output(t, r.server, "iptables-nft", "-P", "FORWARD", "DROP")
	nstest.Output(t, r.server, "ip6tables-nft", "-P", "FORWARD", "DROP")
	answers := func(want bool) {
		t.Helper()
		for _, to := range []string{"2001:db8:1:3::a1", "192.0.2.2"} {
			patience := time.Second
			if want {
				patience = 5 * time.Second
			}
			a := probe.TryPing(context.Background(), guests[0], netip.MustParseAddr(to), patience)
			if got := a.Outcome == probe.Answered; got != want {
				t.Errorf("%s answers the other guest: %v, want %v (%v)", to, got, want, a)
			}
		}
	}
	answers(false)

	before := r.capture(t)
	_, p = mustPlan(t, cfg, before)
	var texts []string
	for _, s := range p.Steps {
		texts = append(texts, s.Text)
	}
	if diff := cmp.Diff([]string{"set " + on + "ip6tables to 0", "set " + on + "iptables to 0"}, texts); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "Docker") {
		t.Errorf("notes %q don't explain it", p.Notes)
	}
	r.run(t, p, plan.Apply)
	answers(true)

	back, err := bridge.Plan(r.capture(t), before)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Notes) > 0 {
		t.Errorf("the way back is commented: %q", back.Notes)
	}
	r.run(t, back, plan.Apply)
	if diff := cmp.Diff(before, r.capture(t), ignored()); diff != "" {
		t.Errorf("after the way back (-before +after):\n%s", diff)
	}
	answers(false)
}

// TestBridgeAttributeDoesNotHelp: the kernel asks the general parameter or the
// bridge's own, which is why the plan sets the general one.
func TestBridgeAttributeDoesNotHelp(t *testing.T) {
	t.Parallel()
	ns := nstest.NS(t)
	guests := []*netns.NS{nstest.NS(t), nstest.NS(t)}
	batch(t, ns, []string{"link add br0 type bridge nf_call_iptables 0 nf_call_ip6tables 0", "link set br0 up"})
	for i, g := range guests {
		batch(t, ns, []string{
			fmt.Sprintf("link add vnet%d type veth peer name eth0 netns /proc/%d/fd/%d", i, os.Getpid(), g.File().Fd()),
			fmt.Sprintf("link set vnet%d master br0 up", i),
		})
		batch(t, g, []string{"link set eth0 up", fmt.Sprintf("addr add 192.0.2.%d/24 dev eth0", i+1)})
	}
	nstest.Do(t, ns, func() error { return sysctl.Write("net/bridge/bridge-nf-call-iptables", "1") })
	nstest.Output(t, ns, "iptables-nft", "-P", "FORWARD", "DROP")
	ping := func(patience time.Duration) bool {
		return probe.TryPing(context.Background(), guests[0], netip.MustParseAddr("192.0.2.2"), patience).Outcome == probe.Answered
	}
	if ping(time.Second) {
		t.Error("with the general parameter on and the bridge's off, frames pass by the firewall: the plan could do with less")
	}
	nstest.Do(t, ns, func() error { return sysctl.Write("net/bridge/bridge-nf-call-iptables", "0") })
	if !ping(5 * time.Second) {
		t.Error("with both off, frames don't pass")
	}
}
