package bridge_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/plan"
)

// TestSpanningTreeDeadTime: with the spanning tree the host is dead for as long
// as the note says, and then answers. Switching it off and on again later, and
// the way back, work on the live bridge.
func TestSpanningTreeDeadTime(t *testing.T) {
	t.Parallel()
	r := newDynamic(t)
	batch(t, r.server, []string{"addr add 2001:db8:1:3::2/64 dev " + nic, "addr add 203.0.113.10/32 dev " + nic, "route add 203.0.113.1 dev " + nic})
	waitSettled(t, r.server)
	ctx := context.Background()
	pinger, err := probe.StartPinger(ctx, r.provider, probe.PingConfig{To: netip.MustParseAddr("203.0.113.10")})
	if err != nil {
		t.Fatal(err)
	}
	if err := pinger.WaitAnswer(ctx); err != nil {
		t.Fatal(err)
	}
	before := r.capture(t)
	cfg := bridge.Config{Uplink: nic, STP: true, AcceptDeadTime: true}
	_, p := mustPlan(t, cfg, before)
	if !strings.Contains(strings.Join(p.Notes, "\n"), "dead for 4s") {
		t.Errorf("notes %q", p.Notes)
	}
	pinger.Mark("dead")
	start := time.Now()
	r.run(t, p, plan.Apply)
	for probe.TryPing(ctx, r.provider, netip.MustParseAddr("203.0.113.10"), 200*time.Millisecond).Outcome != probe.Answered {
		if time.Since(start) > 20*time.Second {
			t.Fatal("the host stays dead")
		}
	}
	took := time.Since(start)
	t.Logf("answers again after %v; %d probes lost", took, pinger.Stop().Window("dead").Lost)
	if took < 3*time.Second || took > 10*time.Second {
		t.Errorf("dead for %v, the note says 4s", took)
	}
	moved := r.capture(t)
	if _, again := mustPlan(t, cfg, moved); !again.Empty() {
		t.Errorf("the second plan still wants to %q", again.Steps[0].Text)
	}
	_, off := mustPlan(t, bridge.Config{Uplink: nic}, moved)
	if len(off.Steps) != 1 || off.Steps[0].Text != "switch the spanning tree off for br0" {
		t.Errorf("switching it off is %v", off.Steps)
	}
	r.run(t, off, plan.Apply)
	if _, on := mustPlan(t, cfg, r.capture(t)); len(on.Steps) != 1 || len(on.Notes) > 1 {
		t.Errorf("switching it on again is %v, with the notes %q", on.Steps, on.Notes)
	} else {
		r.run(t, on, plan.Apply)
	}
	back, err := bridge.Plan(r.capture(t), before)
	if err != nil {
		t.Fatal(err)
	}
	r.run(t, back, plan.Apply)
	if diff := cmp.Diff(before, r.capture(t), ignored()); diff != "" {
		t.Errorf("after the way back (-before +after):\n%s", diff)
	}
}
