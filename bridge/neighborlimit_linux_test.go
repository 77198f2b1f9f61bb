package bridge

import (
	"context"
	"maps"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/plan"
)

// TestMachinesNeighborLimits raises the real limits by a little and takes that
// back. No link is touched.
func TestMachinesNeighborLimits(t *testing.T) {
	nstest.RequireRoot(t)
	before, err := Capture(context.Background(), Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := before.Sysctls[neighborLimitKey("ipv6", "gc_thresh3")]; !ok {
		t.Skip("needs the initial network namespace")
	}
	t.Cleanup(func() {
		for _, key := range neighborLimitKeys() {
			if err := sysctl.Write(key, before.Sysctls[key]); err != nil {
				t.Error(err)
			}
		}
	})
	want := before
	want.Uptime, want.Sysctls = 0, maps.Clone(before.Sysctls)
	want.wantNeighbors(before, 64)
	run := func(to State) State {
		now, err := Capture(context.Background(), Scope{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Plan(now, to)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Steps {
			t.Log(s.Text)
		}
		if err := p.Run(context.Background(), plan.Apply, nil); err != nil {
			t.Fatal(err)
		}
		if now, err = Capture(context.Background(), Scope{}); err != nil {
			t.Fatal(err)
		}
		return now
	}
	raised := run(want)
	for _, key := range neighborLimitKeys() {
		if raised.Sysctls[key] != want.Sysctls[key] {
			t.Errorf("%s is %s, want %s", key, raised.Sysctls[key], want.Sysctls[key])
		}
	}
	back := run(before)
	for _, key := range neighborLimitKeys() {
		if back.Sysctls[key] != before.Sysctls[key] {
			t.Errorf("%s is %s after the way back, was %s", key, back.Sysctls[key], before.Sysctls[key])
		}
	}
}
