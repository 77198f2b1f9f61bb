package macrewrite

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
)

// TestAnswererARP: a router that asks for a guest's own IPv4 address is answered
// with the host's MAC while the guest is there, and at no other time, whatever
// kind the provider's IPv6 is of.
func TestAnswererARP(t *testing.T) {
	for _, kind := range []Kind{OnLink, Routed} {
		t.Run(string(kind), func(t *testing.T) {
			n := newNetwork(t, false, State{})
			one, two := guestsOf(n)[0], guestsOf(n)[1]
			one.ExtraIPv4, two.ExtraIPv4 = nil, nil
			one.ExtraIPv4 = append(one.ExtraIPv4, ip("198.51.100.77"))
			c := onLinkConfig(n, one, two)
			if c.Kind = kind; kind == Routed {
				c.GatewayMACs = nil
			}
			if err := n.apply(must(t, c)); err != nil {
				t.Fatal(err)
			}
			n.onLinkLive(t)
			nstest.Output(t, n.ns[provider], "ip", "addr", "add", "198.51.100.1/24", "dev", n.iface[provider])
			n.up(t)
			asked := func(a string) string {
				t.Helper()
				nstest.Output(t, n.ns[provider], "ip", "neigh", "flush", "dev", n.iface[provider])
				// Nobody answers the ping itself: the question for it is the point.
				if err := n.ns[provider].Do(func() error {
					cmd := exec.Command(nstest.Tool(t, "ping"), "-c", "1", "-W", "1", a)
					if err := cmd.Run(); err != nil {
						if _, ended := err.(*exec.ExitError); !ended {
							return err
						}
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				return nstest.Output(t, n.ns[provider], "ip", "neigh", "show", a, "dev", n.iface[provider])
			}
			mac := n.mac[host].String()
			if got := asked("198.51.100.77"); strings.Contains(got, "lladdr") {
				t.Errorf("somebody answers already; the test has lost its sense: %s", got)
			}
			a := n.answering(t, c)
			if got := asked("198.51.100.77"); !strings.Contains(got, "lladdr "+mac) {
				t.Errorf("the router has %q, want %s", got, mac)
			}
			if got := asked("198.51.100.78"); strings.Contains(got, "lladdr") {
				t.Errorf("an address of nobody is answered for: %s", got)
			}
			c.Guests = []Guest{two}
			a.Guests(c)
			if got := asked("198.51.100.77"); strings.Contains(got, "lladdr") {
				t.Errorf("a guest that is gone is answered for: %s", got)
			}
		})
	}
}
