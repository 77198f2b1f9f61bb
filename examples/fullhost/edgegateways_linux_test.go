package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/slaac"
)

// TestGatewayInside: the edge follows the MAC of a gateway inside the /64, keeps it
// when the kernel forgets it, and a plan finds nothing to do about it.
func TestGatewayInside(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	s.stop(t)
	const gateway = "2001:db8:1:3::1"
	nstest.Output(t, s.ns, "ip", "-6", "route", "replace", "default", "via", gateway, "dev", "br0")
	s.again(t)
	gatewayIs := func(mac string) bool {
		return slices.Contains(edgeThere(t, s.ns).GatewayMACs(), macrewrite.Neighbor{Addr: netip.MustParseAddr(gateway), MAC: must(slaac.ParseMAC(mac))})
	}
	for _, mac := range []string{"02:00:00:00:00:01", "02:00:00:00:00:02"} {
		nstest.Output(t, s.ns, "ip", "neigh", "replace", gateway, "lladdr", mac, "dev", "br0", "nud", "stale")
		eventually(t, "the edge to know that the gateway is at "+mac, func() bool { return gatewayIs(mac) })
	}
	nstest.Output(t, s.ns, "ip", "neigh", "del", gateway, "dev", "br0")
	status, stdout, stderr := program(t, s.ns, nil, "plan", "-f", s.file)
	if status != 0 || strings.Contains(stdout, "edge") {
		t.Errorf("plan: status %d, %s%s", status, stdout, stderr)
	}
	if !gatewayIs("02:00:00:00:00:02") {
		t.Errorf("the edge has forgotten the gateway: %v", edgeThere(t, s.ns).GatewayMACs())
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// What is heard of a gateway is believed unless it is somebody's of here.
func TestHeardOfGateway(t *testing.T) {
	gw, other := netip.MustParseAddr("2001:db8:1:3::1"), netip.MustParseAddr("2001:db8:1:3::2")
	own, good, better := slaac.MAC{2, 5: 1}, slaac.MAC{2, 5: 2}, slaac.MAC{2, 5: 3}
	h := host{prefix: netip.MustParsePrefix("2001:db8:1:3::/64"), mac: own, wanted: bridge.State{Routes: []bridge.Route{{Via: gw}}}}
	for _, tt := range []struct {
		heard []neighbor
		isNew bool
		want  []macrewrite.Neighbor
	}{
		{nil, false, nil},
		{[]neighbor{{other, good}}, false, nil},
		{[]neighbor{{gw, good}}, true, []macrewrite.Neighbor{{Addr: gw, MAC: good}}},
		{[]neighbor{{other, own}, {gw, good}}, false, []macrewrite.Neighbor{{Addr: gw, MAC: good}}},
		{nil, false, []macrewrite.Neighbor{{Addr: gw, MAC: good}}},
		{[]neighbor{{gw, better}}, true, []macrewrite.Neighbor{{Addr: gw, MAC: better}}},
		{[]neighbor{{gw, own}}, true, nil},
	} {
		if got := h.heard(tt.heard); got != tt.isNew {
			t.Errorf("%v is new: %v", tt.heard, got)
		}
		if got := h.gatewayMACs(); !slices.Equal(got, tt.want) {
			t.Errorf("after %v: %v, want %v", tt.heard, got, tt.want)
		}
	}
}
