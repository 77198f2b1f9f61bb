package bridge

import (
	"errors"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// renamed is the state with another name for the uplink.
func renamed(s State, name string, change func(*Link)) State {
	for i := range s.Addrs {
		s.Addrs[i].Link = name
	}
	s.Links[0].Name, s.Uplink = name, name
	change(&s.Links[0])
	return s
}

// TestKindsOfUplinks: what can be a port of a bridge is accepted, and the links
// it stands on are no concern of the plan; others are refused by name.
func TestKindsOfUplinks(t *testing.T) {
	for _, tc := range []struct {
		name    string
		uplink  string
		change  func(*Link)
		refused string // "" if accepted
		err     error
	}{
		{"device", "eth0", func(*Link) {}, "", nil},
		{"VLAN", "eth0.4000", func(l *Link) { l.Kind, l.Parent = "vlan", "eth0" }, "", nil},
		{"bond", "bond0", func(l *Link) { l.Kind = "bond" }, "", nil},
		{"VLAN on a bond", "bond0.4000", func(l *Link) { l.Kind, l.Parent = "vlan", "bond0" }, "", nil},
		{"port of a bond", "eth0", func(l *Link) { l.Master, l.MasterKind = "bond0", "bond" }, "uplink eth0: is already a port of the bond bond0", ErrEnslaved},
		{"port of a bridge", "eth0", func(l *Link) { l.Master, l.MasterKind = "virbr0", "bridge" }, "uplink eth0: is already a port of the bridge virbr0", ErrEnslaved},
		{"port of a team", "eth0", func(l *Link) { l.Master, l.MasterKind = "team0", "team" }, "uplink eth0: is already a port of the team team0", ErrEnslaved},
		{"in a VRF", "eth0", func(l *Link) { l.Master, l.MasterKind = "red", "vrf" }, "uplink eth0: is already a port of the vrf red", ErrEnslaved},
		{"macvlan", "mv0", func(l *Link) { l.Kind, l.Parent = "macvlan", "eth0" }, "uplink mv0: is a macvlan on eth0, and gets only what is for its own address, not what a bridge is for; name eth0", ErrNotEthernet},
		{"ipvlan", "iv0", func(l *Link) { l.Kind, l.Parent = "ipvlan", "eth0" }, "uplink iv0: is a ipvlan on eth0, and gets only what is for its own address, not what a bridge is for; name eth0", ErrNotEthernet},
		{"macvlan of another namespace", "mv0", func(l *Link) { l.Kind = "macvlan" }, "uplink mv0: is a macvlan, which can't be a port of a bridge", ErrNotEthernet},
		{"wireless", "wlp3s0", func(l *Link) { l.Wireless = true }, "uplink wlp3s0: is wireless", ErrWireless},
		{"WireGuard", "wg0", func(l *Link) { l.Kind, l.Ethernet, l.MAC = "wireguard", false, slaac.MAC{} }, "uplink wg0: is no Ethernet interface (wireguard)", ErrNotEthernet},
	} {
		t.Run(tc.name, func(t *testing.T) {
			there := renamed(ordinary(), tc.uplink, tc.change)
			want, err := Config{Uplink: tc.uplink}.State(there)
			if tc.refused != "" {
				var refusal *plan.Refusal
				if !errors.As(err, &refusal) || !errors.Is(err, tc.err) || !strings.HasPrefix(err.Error(), tc.refused) {
					t.Errorf("got  %v\nwant %s", err, tc.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range want.Links {
				if l.MAC != there.Links[0].MAC {
					t.Errorf("%s is to have the MAC %s, not the uplink's %s", l.Name, l.MAC, there.Links[0].MAC)
				}
			}
			// Kind and parent stay, so that the way back finds the same link.
			if up, _ := want.link(tc.uplink); up.Kind != there.Links[0].Kind || up.Parent != there.Links[0].Parent || up.Master != "br0" {
				t.Errorf("the uplink becomes %+v", up)
			}
			for _, way := range [][2]State{{there, want}, {want, there}} {
				for _, c := range changes(way[0], way[1]) {
					for _, parent := range []string{"eth0", "bond0"} {
						for _, word := range strings.FieldsFunc(c.String(), func(r rune) bool { return strings.ContainsRune(" ,/()", r) }) {
							if word == parent && parent != tc.uplink {
								t.Errorf("%q touches the parent", c)
							}
						}
					}
				}
			}
		})
	}
}
