package hostroute

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/plan"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

func TestRoutesComeAndGo(t *testing.T) {
	ns := nstest.NS(t)
	nstest.Output(t, ns, nstest.Tool(t, "ip"), "link", "add", "br0", "type", "bridge")
	nstest.Output(t, ns, "ip", "link", "set", "br0", "up")
	nstest.Output(t, ns, "ip", "route", "add", "192.0.2.9/32", "dev", "br0")
	a, b := netip.MustParseAddr("203.0.113.77"), netip.MustParseAddr("203.0.113.78")
	steps := func(want ...netip.Addr) (n int) {
		t.Helper()
		nstest.Do(t, ns, func() error {
			there, err := Capture(context.Background(), "br0")
			if err != nil {
				return err
			}
			to, err := Config{Bridge: "br0", Guests: want}.State(there)
			if err != nil {
				return err
			}
			p, err := Plan(there, to)
			if err != nil {
				return err
			}
			n = len(p.Steps)
			return p.Run(context.Background(), plan.Apply, nil)
		})
		return n
	}
	for _, s := range []struct {
		want  []netip.Addr
		steps int
		shown []string
	}{
		{[]netip.Addr{b, a}, 2, []string{"203.0.113.77", "203.0.113.78"}},
		{[]netip.Addr{a, b}, 0, []string{"203.0.113.77", "203.0.113.78"}},
		{[]netip.Addr{b}, 1, []string{"203.0.113.78"}},
		{nil, 1, nil},
	} {
		if n := steps(s.want...); n != s.steps {
			t.Errorf("%v: %d steps, want %d", s.want, n, s.steps)
		}
		table := nstest.Output(t, ns, "ip", "-4", "route")
		if got := strings.Count(table, "203.0.113."); got != len(s.shown) || !strings.Contains(table, "192.0.2.9") {
			t.Errorf("%v:\n%s", s.want, table)
		}
		for _, w := range s.shown {
			if !strings.Contains(table, w+" dev br0 proto 143 scope link") {
				t.Errorf("no route to %s in\n%s", w, table)
			}
		}
	}
}

func TestNoBridgeNoRoutes(t *testing.T) {
	nstest.Do(t, nstest.NS(t), func() error {
		s, err := Capture(context.Background(), "br0")
		if len(s.Routes) > 0 {
			t.Errorf("got %v", s)
		}
		return err
	})
}

func TestRefusals(t *testing.T) {
	host := []netip.Prefix{netip.MustParsePrefix("203.0.113.10/32"), netip.MustParsePrefix("198.51.100.2/25")}
	for _, tt := range []struct {
		addr     string
		answered bool
		ok       bool
	}{
		{"203.0.113.77", false, true}, {"203.0.113.10", false, false}, {"203.0.113.10", true, false},
		{"198.51.100.77", false, false}, {"198.51.100.77", true, true}, {"198.51.100.2", true, false},
		{"198.51.100.0", true, false}, {"198.51.100.127", true, false}, {"198.51.100.128", false, true},
	} {
		_, err := Config{Bridge: "br0", Guests: []netip.Addr{netip.MustParseAddr(tt.addr)}, Host: host, Answered: tt.answered}.State(State{})
		var r *plan.Refusal
		if tt.ok != (err == nil) || !tt.ok && !errors.As(err, &r) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
