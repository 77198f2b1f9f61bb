package bridge_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/plan"
)

// TestRefusedSetUps: what can't be carried over is refused by its name.
func TestRefusedSetUps(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		commands []string
		raw      func() error
		want     string
	}{
		{"nexthop object in use", []string{"nexthop add id 7 via 203.0.113.1 dev enp2s0 onlink", "route add 100.64.0.0/24 nhid 7"}, nil, "100.64.0.0/24 via 203.0.113.1 dev enp2s0 onlink has what can't be carried over: nhid, a nexthop object"},
		{"nexthop object", []string{"nexthop add id 9 dev enp2s0"}, nil, "the nexthop object 9"},
		{"encapsulation", []string{"-6 route add 2001:db8:64::/64 encap seg6 mode inline segs 2001:db8:1::5 via fe80::1 dev enp2s0"}, nil, "encap, an encapsulation"},
		{"twins", []string{"route add 100.64.0.0/24 via 203.0.113.1 dev enp2s0 onlink", "route append 100.64.0.0/24 dev enp2s0"}, nil, "differ in nothing"},
		{"rule with a flow label", nil, func() error {
			// iproute2 of Debian 12 has no word for it.
			req := nl.NewNetlinkRequest(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
			req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET6, Table: 100, Type: 1}})
			req.AddData(nl.NewRtAttr(nl.FRA_PRIORITY, nl.Uint32Attr(500)))
			req.AddData(nl.NewRtAttr(nl.FRA_IIFNAME, nl.ZeroTerminated(nic)))
			req.AddData(nl.NewRtAttr(26, []byte{0, 0, 0, 5})) // FRA_FLOWLABEL
			req.AddData(nl.NewRtAttr(27, []byte{0, 0x0f, 0xff, 0xff}))
			_, err := req.Execute(unix.NETLINK_ROUTE, 0)
			return err
		}, `the routing rule "500: from all iif enp2s0 lookup 100" has a part that is not understood`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newServer(t, "addr add 203.0.113.10/32 dev "+nic, "addr add 2001:db8:1:3::2/64 dev "+nic)
			batch(t, r.server, tc.commands)
			if tc.raw != nil {
				nstest.Do(t, r.server, func() error {
					if err := tc.raw(); err != nil {
						return fmt.Errorf("set up: %w", err)
					}
					return nil
				})
			}
			_, err := bridge.Config{Uplink: nic}.State(r.capture(t))
			var refusal *plan.Refusal
			if !errors.As(err, &refusal) || !errors.Is(err, bridge.ErrUnsupportedSetup) || !strings.Contains(refusal.Reason, tc.want) {
				t.Errorf("got %v, want a refusal with %q", err, tc.want)
			}
		})
	}
}
