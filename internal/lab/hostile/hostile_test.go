package hostile

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

func stage() Stage {
	a := netip.MustParseAddr
	return Stage{
		Attacker: wire.MAC{0x52, 0x54, 0, 1, 2, 3}, Victim: wire.MAC{0x52, 0x54, 0, 1, 2, 1}, Other: wire.MAC{0x52, 0x54, 0, 1, 2, 2},
		Server: wire.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}, Router: wire.MAC{0x00, 0x00, 0x5e, 0x00, 0x53, 0x01},
		Prefix: netip.MustParsePrefix("2001:db8:1:3::/64"), Host: a("2001:db8:1:3::2"), HostIPv4: a("203.0.113.10"),
		Gateway: a("fe80::1"), GatewayIPv4: a("203.0.113.1"),
		Outside: a("2001:db8:2::10"), Outside4: a("64:ff9b::cb00:720a"),
	}
}

func attacks() []Attack {
	s := stage()
	return append(FromGuest(s, 1), FromProvider(s, 1, s.Router)...)
}

// TestEveryAttackIsMarked: what has no mark can't be followed. A frame that is cut
// short has no room for one, and of a fragmented one some piece has it.
func TestEveryAttackIsMarked(t *testing.T) {
	numbers := map[uint8]string{}
	for _, a := range attacks() {
		if other, taken := numbers[a.Number()]; taken {
			t.Errorf("%q and %q have one number", a.Name, other)
		}
		numbers[a.Number()] = a.Name
		marked := 0
		for _, f := range a.Frames {
			if n, ok := MarkOf(f); ok && n == a.Number() {
				marked++
			}
		}
		if marked == 0 || marked < len(a.Frames)/3 {
			t.Errorf("%q: %d of %d frames are marked", a.Name, marked, len(a.Frames))
		}
		t.Logf("%3d %-50s %5d frames, %5d marked", a.Number(), a.Name, len(a.Frames), marked)
	}
}

func TestSeedDecides(t *testing.T) {
	s := stage()
	one, same, other := Random(s, 7, 500), Random(s, 7, 500), Random(s, 8, 500)
	equal := func(a, b Attack) bool {
		for i := range a.Frames {
			if !bytes.Equal(a.Frames[i], b.Frames[i]) {
				return false
			}
		}
		return len(a.Frames) == len(b.Frames)
	}
	if !equal(one, same) || equal(one, other) {
		t.Error("frames don't follow from the seed")
	}
}

// TestJudgeKnowsTheAttacks hands the frames to the judge as if the server had let
// them through with its own MAC, as the article's rewriting does.
func TestJudgeKnowsTheAttacks(t *testing.T) {
	s := stage()
	want := map[string]wire.Kind{
		"router advertisement": wire.RouterAdvertisement, "router advertisement behind extension headers": wire.RouterAdvertisement,
		"redirect": wire.Redirect, "fragmented neighbour discovery": wire.Opaque,
		"neighbour spoofing: other guests and the host": wire.ForeignInside, "neighbour spoofing: the gateway": wire.ForeignInside,
		"ARP spoofing": wire.ForeignInside, "DHCPv6 server answers": wire.ForeignInside, "DHCP server answers": wire.ForeignInside,
		"VLAN tags": wire.RouterAdvertisement, "stacked VLAN tags": wire.RouterAdvertisement,
		"LLDP, spanning tree, CDP and their like": wire.ForeignInside, "flood of router solicitations": wire.ForeignInside,
		"solicitations for absent hosts": wire.ForeignInside,
	}
	for _, a := range FromGuest(s, 1) {
		kind, listed := want[a.Name]
		if !listed {
			continue
		}
		j, err := wire.NewJudge(wire.Config{Server: s.Server, Provider: []wire.MAC{s.Router}, Prefix: s.Prefix, Host: []netip.Addr{s.Host, s.HostIPv4}, Gateways: []netip.Addr{s.Gateway, s.GatewayIPv4}})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Frames {
			if len(f) >= 12 {
				f = bytes.Clone(f)
				copy(f[6:], s.Server[:])
			}
			j.Frame(time.Time{}, f)
		}
		if r := j.Report(); r.Counts[kind] == 0 {
			t.Errorf("%q: no %v in %v", a.Name, kind, r.Counts)
		}
		delete(want, a.Name)
	}
	for name := range want {
		t.Errorf("there is no attack %q", name)
	}
}
