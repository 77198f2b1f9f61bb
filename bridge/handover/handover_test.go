package handover_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/bridge/handover"
	"github.com/sixhost/sixhost/plan"
)

func scope() bridge.Scope { return bridge.Scope{Uplink: "enp2s0", Bridge: "br0"} }

// steps are the sentences of the plan to what a configuration wants.
func steps(t *testing.T, c handover.Config, there handover.State) (handover.State, []string) {
	t.Helper()
	c.Scope = scope()
	want, err := c.State(there)
	if err != nil {
		t.Fatal(err)
	}
	p, err := handover.Plan(there, want)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, s := range p.Steps {
		texts = append(texts, s.Text)
	}
	if again, err := c.State(want); err != nil || again != want {
		t.Errorf("%+v wants %+v, then %+v, %v", c, want, again, err)
	}
	return want, texts
}

// TestLife follows a host from the provider's files to its own.
func TestLife(t *testing.T) {
	provider := handover.State{Scope: scope(), Networkd: true, Reachable: true, InCharge: true}
	if _, todo := steps(t, handover.Config{}, provider); todo != nil {
		t.Errorf("nothing is asked for, but %q planned", todo)
	}
	ahead, todo := steps(t, handover.Config{Ahead: true}, provider)
	if len(todo) != 1 || !strings.Contains(todo[0], "keep systemd-networkd off br0") || strings.Contains(ahead.Off, "enp2s0") || !ahead.InCharge {
		t.Errorf("before all else %q is planned, for %+v", todo, ahead)
	}
	during, todo := steps(t, handover.Config{Moving: true}, ahead)
	if len(todo) != 1 || !strings.Contains(todo[0], "take systemd-networkd off enp2s0 and br0") {
		t.Errorf("moving plans %q", todo)
	}
	for _, name := range append(bridge.TransientLinks(), "enp2s0", "br0") {
		if !strings.Contains(during.Off, " "+name) && !strings.Contains(during.Off, "="+name) {
			t.Errorf("networkd would have %s:\n%s", name, during.Off)
		}
	}
	// Applied, not confirmed: networkd's own note says that it is off.
	if _, todo := steps(t, handover.Config{}, during); todo != nil {
		t.Errorf("before the confirmation %q is planned", todo)
	}
	after, todo := steps(t, handover.Config{Settled: true, Netplan: true}, during)
	if len(todo) != 1 || !strings.Contains(todo[0], "have netplan generate its files, and give enp2s0 and br0 to systemd-networkd") {
		t.Errorf("settling plans %q", todo)
	}
	if _, todo := steps(t, handover.Config{Settled: true}, after); todo != nil {
		t.Errorf("settled, but %q is planned", todo)
	}
	// Its files change while it is in charge: it is told, and nothing else.
	changed := after
	changed.Stale = true
	if _, todo := steps(t, handover.Config{Settled: true}, changed); len(todo) != 1 || todo[0] != "give enp2s0 and br0 to systemd-networkd" {
		t.Errorf("new files, but %q is planned", todo)
	}
	back, err := handover.Plan(during, provider)
	if err != nil || len(back.Steps) != 1 || !strings.HasPrefix(back.Steps[0].Text, "give enp2s0 and br0 to") {
		t.Errorf("the way back: %v, %v", back.Steps, err)
	}
}

// TestNotOurs: where networkd does not run, or was told by its owner to leave
// the NIC alone, nothing is done about it.
func TestNotOurs(t *testing.T) {
	for _, there := range []handover.State{
		{Scope: scope()},
		{Scope: scope(), Networkd: true, Reachable: true},
		{Scope: scope(), Networkd: true, Reachable: true, Stale: true},
	} {
		for _, c := range []handover.Config{{Moving: true}, {Settled: true}} {
			if _, todo := steps(t, c, there); todo != nil {
				t.Errorf("%+v, %+v: %q is planned", there, c, todo)
			}
		}
	}
}

// TestStoppedManager: networkd has ended while it was kept off; what keeps the
// next one off goes all the same.
func TestStoppedManager(t *testing.T) {
	there := handover.State{Scope: scope(), Off: "[Link]"}
	if want, todo := steps(t, handover.Config{Settled: true}, there); want.Off != "" || len(todo) != 1 {
		t.Errorf("settled: %+v by %q", want, todo)
	}
	if back, err := handover.Plan(there, handover.State{Scope: scope(), Networkd: true, InCharge: true}); err != nil || len(back.Steps) != 1 {
		t.Errorf("the way back: %v, %v", back.Steps, err)
	}
}

func TestUnreachable(t *testing.T) {
	_, err := handover.Config{Scope: scope(), Moving: true}.State(handover.State{Scope: scope(), Networkd: true, InCharge: true})
	var refusal *plan.Refusal
	if !errors.As(err, &refusal) || !errors.Is(err, handover.ErrUnreachable) || !strings.Contains(refusal.Subject, "enp2s0") {
		t.Errorf("networkd without a bus: %v", err)
	}
	if _, err := handover.Plan(handover.State{}, handover.State{Scope: scope()}); err == nil {
		t.Error("a plan between states of different links")
	}
}

// A NIC that systemd-networkd manages, as the provider's installation left it,
// is about to be moved onto br0.
func Example() {
	c := handover.Config{Scope: bridge.Scope{Uplink: "enp2s0", Bridge: "br0"}, Moving: true}
	// Capture would read this.
	there := handover.State{Scope: c.Scope, Networkd: true, Reachable: true, InCharge: true}
	wanted, err := c.State(there)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := handover.Plan(there, wanted)
	if err != nil {
		fmt.Println(err)
		return
	}
	p.WriteText(os.Stdout)
	// Output:
	// apply:
	//    1. handover    take systemd-networkd off enp2s0 and br0 until confirmed (/run/systemd/network/00-sixhost-off.network)
}
