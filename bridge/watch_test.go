package bridge

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// moved is a server on its bridge, as captured and as wanted.
func moved(t testing.TB) (there, wanted State) {
	t.Helper()
	mac := slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	there = State{
		Scope: Scope{Uplink: "enp2s0", Bridge: "br0"},
		Links: []Link{
			{Name: "enp2s0", Kind: "device", MAC: mac, MTU: 1500, Up: true, Ethernet: true, Master: "br0", MasterKind: "bridge"},
			{Name: "br0", Kind: "bridge", MAC: mac, MTU: 1500, Up: true, Ethernet: true, GroupForward: forwardableGroups},
		},
		Addrs: []Addr{
			{Link: "br0", Prefix: netip.MustParsePrefix("203.0.113.10/32"), Label: "br0", Preferred: Forever, Valid: Forever},
			{Link: "br0", Prefix: netip.MustParsePrefix("2001:db8:1:3::2/64"), Preferred: Forever, Valid: Forever},
			{Link: "br0", Prefix: netip.MustParsePrefix("fe80::921b:eff:fe12:3456/64"), Scope: scopeLink, Preferred: Forever, Valid: Forever},
		},
		Routes: []Route{
			{Link: "br0", Family: 4, Table: mainTable, Type: 1, Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), OnLink: true, Protocol: 4},
			{Link: "br0", Family: 4, Table: mainTable, Type: 1, Dst: netip.MustParsePrefix("10.0.0.0/8"), Via: netip.MustParseAddr("203.0.113.1"), OnLink: true, Protocol: 4},
			{Link: "br0", Family: 6, Table: mainTable, Type: 1, Dst: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fe80::1"), Metric: 1024, Protocol: 4},
		},
		Neighbors: []Neighbor{{Link: "br0", IP: netip.MustParseAddr("203.0.113.9"), MAC: slaac.MAC{2, 0, 0, 0, 0, 9}, Permanent: true}},
		Sysctls:   map[string]string{"net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/enp2s0/rp_filter": "0"},
	}
	wanted, err := Config{Uplink: "enp2s0"}.State(there)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(there.Sysctls, wanted.Sysctls)
	there.sort()
	if list, err := deviations(there, wanted, nil); err != nil || len(list) > 0 {
		t.Fatalf("the model is not as wanted: %v, %v", list, err)
	}
	return there, wanted
}

func (s State) clone() State {
	s.Links, s.Addrs, s.Routes, s.Neighbors = slices.Clone(s.Links), slices.Clone(s.Addrs), slices.Clone(s.Routes), slices.Clone(s.Neighbors)
	s.Sysctls = maps.Clone(s.Sysctls)
	return s
}

func (s *State) linkAt(name string) *Link {
	for i := range s.Links {
		if s.Links[i].Name == name {
			return &s.Links[i]
		}
	}
	return nil
}

// make does in the model what the kernel does.
func (s *State) make(c change) error {
	if l := subjectOf(c); l != "" && s.linkAt(l) == nil {
		return fmt.Errorf("%s: no link %s", c, l)
	}
	switch c := c.(type) {
	case createBridge:
		l := c.Link
		l.Up = false
		s.Links = append(s.Links, l)
	case setMAC:
		s.linkAt(c.link).MAC = c.mac
	case setMTU:
		s.linkAt(c.link).MTU = c.mtu
	case setSnooping:
		s.linkAt(c.link).MulticastSnooping = c.on
	case setGroupForward:
		s.linkAt(c.link).GroupForward = c.mask
	case setUp:
		s.linkAt(c.link).Up = c.up
	case setMaster:
		s.linkAt(c.link).Master = c.master
	case setSysctl:
		s.Sysctls[c.key] = c.value
	case addAddr:
		if !s.linkAt(c.Addr.Link).Up {
			return fmt.Errorf("%s: the link is down", c)
		}
		if _, ok := find(s.Addrs, c.Addr); !ok {
			s.Addrs = append(s.Addrs, c.Addr)
		}
	case changeAddr:
		s.setAddr(c.Addr)
	case settleAddr:
		s.setAddr(c.Addr)
	case delAddr:
		s.Addrs = slices.DeleteFunc(s.Addrs, func(a Addr) bool { return a.id() == c.id() })
	case addNeighbor:
		s.Neighbors = slices.DeleteFunc(s.Neighbors, func(n Neighbor) bool { return n.Link == c.Link && n.IP == c.IP })
		s.Neighbors = append(s.Neighbors, c.Neighbor)
	case delNeighbor:
		s.Neighbors = slices.DeleteFunc(s.Neighbors, func(n Neighbor) bool { return n.Link == c.Link && n.IP == c.IP })
	case replaceRoute:
		if !s.linkAt(c.Route.Link).Up {
			return fmt.Errorf("%s: the link is down", c)
		}
		s.Routes = slices.DeleteFunc(s.Routes, func(r Route) bool { return r.id() == c.id() })
		s.Routes = append(s.Routes, c.Route)
	case delRoute:
		s.Routes = slices.DeleteFunc(s.Routes, func(r Route) bool { return r == c.Route })
	default:
		return fmt.Errorf("the model does not know %q", c)
	}
	s.sort()
	return nil
}

func (s *State) setAddr(a Addr) {
	s.Addrs = slices.DeleteFunc(s.Addrs, func(o Addr) bool { return o.id() == a.id() })
	s.Addrs = append(s.Addrs, a)
}

func subjectOf(c change) string {
	switch c := c.(type) {
	case setMAC:
		return c.link
	case setMTU:
		return c.link
	case setUp:
		return c.link
	case setMaster:
		return c.link
	case addAddr:
		return c.Link
	case replaceRoute:
		return c.Link
	case addNeighbor:
		return c.Link
	}
	return ""
}

// perturb does something to the model that a byte and its follower choose.
func (s *State) perturb(what, which byte) {
	pick := func(n int) int { return int(which) % n }
	switch what % 17 {
	case 0:
		if len(s.Addrs) > 0 {
			s.Addrs = slices.Delete(s.Addrs, pick(len(s.Addrs)), pick(len(s.Addrs))+1)
		}
	case 1:
		if len(s.Routes) > 0 {
			s.Routes = slices.Delete(s.Routes, pick(len(s.Routes)), pick(len(s.Routes))+1)
		}
	case 2:
		s.Links[pick(len(s.Links))].MAC[5] = which
	case 3:
		s.Links[pick(len(s.Links))].MTU = 1000 + int(which)
	case 4: // a link down: its IPv6 addresses and all routes go
		l := &s.Links[pick(len(s.Links))]
		l.Up = false
		s.Addrs = slices.DeleteFunc(s.Addrs, func(a Addr) bool { return a.Link == l.Name && a.Prefix.Addr().Is6() })
		s.Routes = slices.DeleteFunc(s.Routes, func(r Route) bool { return r.Link == l.Name })
	case 5:
		s.linkAt("enp2s0").Master = []string{"", "virbr0"}[pick(2)]
	case 6: // the bridge deleted
		if s.linkAt("br0") == nil {
			return
		}
		s.Links = slices.DeleteFunc(s.Links, func(l Link) bool { return l.Name == "br0" })
		s.Addrs = slices.DeleteFunc(s.Addrs, func(a Addr) bool { return a.Link == "br0" })
		s.Routes = slices.DeleteFunc(s.Routes, func(r Route) bool { return r.Link == "br0" })
		s.Neighbors = nil
		maps.DeleteFunc(s.Sysctls, func(k, _ string) bool { return strings.Contains(k, "/br0/") })
		s.linkAt("enp2s0").Master = ""
	case 7:
		keys := slices.Sorted(maps.Keys(s.Sysctls))
		s.Sysctls[keys[pick(len(keys))]] = "7"
	case 8, 9: // an address on the bridge or the NIC, one that is wanted or another
		link := []string{"br0", "enp2s0"}[what%2]
		if s.linkAt(link) == nil || !s.linkAt(link).Up {
			return
		}
		p := []string{"203.0.113.10/32", "203.0.113.10/24", "198.51.100.9/32", "2001:db8:1:3::2/64", "2001:db8:1:3::9/64", "fe80::9/64"}[pick(6)]
		a := Addr{Link: link, Prefix: netip.MustParsePrefix(p), Preferred: Forever, Valid: Forever}
		if which > 200 {
			a.Preferred, a.Valid = 1e9, 100e9
		}
		if _, ok := find(s.Addrs, a); !ok {
			s.Addrs = append(s.Addrs, a)
		}
	case 10, 11: // the same with routes
		link := []string{"br0", "enp2s0"}[what%2]
		if s.linkAt(link) == nil || !s.linkAt(link).Up {
			return
		}
		r := Route{Link: link, Family: 4, Table: mainTable, Type: 1, Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.7"), Protocol: 3}
		switch pick(5) {
		case 1:
			r.Metric = 100
		case 2:
			r.Dst = netip.MustParsePrefix("192.0.2.0/24")
		case 3, 4: // a further next hop
			r = Route{Link: link, Family: 6, Table: mainTable, Type: 1, Dst: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fe80::7"), Metric: 1024, Protocol: []int{3, protocolRA}[which%2]}
		}
		if !slices.Contains(s.Routes, r) {
			s.Routes = append(s.Routes, r)
		}
	case 12:
		if len(s.Addrs) > 0 {
			s.Addrs[pick(len(s.Addrs))].Preferred = 0
		}
	case 13:
		s.Neighbors = nil
	case 14:
		if s.linkAt("br0") != nil {
			s.Neighbors = append(s.Neighbors, Neighbor{Link: "br0", IP: netip.AddrFrom4([4]byte{203, 0, 113, which}), MAC: slaac.MAC{2, 0, 0, 0, 0, 7}, Permanent: true})
		}
	case 15:
		s.Links[pick(len(s.Links))].MulticastSnooping = s.Links[pick(len(s.Links))].Kind == "bridge"
	case 16:
		if l := s.linkAt("br0"); l != nil {
			l.GroupForward = uint16(which) << 3
		}
	}
	s.sort()
}

// put runs the steps of deviations in the model: the changes are found by
// their sentences, as a step's function is for the kernel.
func (s *State) put(t *testing.T, list []Deviation, wanted State, vitalOnly bool) {
	t.Helper()
	wanted.Retiring = nil
	to := wanted.withMoved(*s)
	all := changes(s.withoutAdded(to), to)
	for _, v := range list {
		if vitalOnly && !v.Vital {
			continue
		}
		i := slices.IndexFunc(all, func(c change) bool { return c.String() == v.Step.Text && c.phase() == plan.Apply })
		if i < 0 {
			t.Fatalf("no change for %q", v.Step.Text)
		}
		if err := s.make(all[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzDeviations perturbs a server and takes the way back: all of it ends in no
// deviation, its vital part alone in no vital one, and what the owner added on
// the bridge is still there.
func FuzzDeviations(f *testing.F) {
	for i := range byte(17) {
		f.Add([]byte{i, 0, i, 1, i, 2})
		f.Add([]byte{i, 4, 6, 0, 9, i, 11, 3})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		there, wanted := moved(t)
		for ; len(data) >= 2; data = data[2:] {
			there.perturb(data[0], data[1])
		}
		list, err := deviations(there, wanted, nil)
		if err != nil {
			t.Fatal(err)
		}
		all, vital := there.clone(), there.clone()
		all.put(t, list, wanted, false)
		if rest, err := deviations(all, wanted, nil); err != nil || len(rest) > 0 {
			t.Errorf("after the way back it still wants to %v (%v)", sentences(rest), err)
		}
		for _, a := range wanted.Addrs {
			if have, ok := find(all.Addrs, a); !ok || !have.same(a) {
				t.Errorf("%s is not back", a.Prefix)
			}
		}
		for _, r := range wanted.Routes {
			if !slices.Contains(all.Routes, r) {
				t.Errorf("the route %s is not back", describeRoute(r))
			}
			if slices.ContainsFunc(all.Routes, func(o Route) bool { return o.id() == r.id() && o != r }) {
				t.Errorf("the route %s shares its place", describeRoute(r))
			}
		}
		for _, a := range there.Addrs {
			if _, ok := find(all.Addrs, a); a.Link == "br0" && !ok {
				t.Errorf("the owner's address %s is gone", a.Prefix)
			}
		}
		vital.put(t, list, wanted, true)
		rest, err := deviations(vital, wanted, nil)
		if err != nil {
			t.Error(err)
		}
		for _, v := range rest {
			if v.Vital {
				t.Errorf("after the vital steps there is still %q", v.Step.Text)
			}
		}
	})
}

func sentences(list []Deviation) (texts []string) {
	for _, v := range list {
		texts = append(texts, v.Step.Text)
	}
	return texts
}

// TestRetiringIsNobodysBusiness: the old address goes when somebody confirms.
func TestRetiringIsNobodysBusiness(t *testing.T) {
	there, wanted := moved(t)
	old := Addr{Link: "br0", Prefix: netip.MustParsePrefix("2001:db8:1:3::5/64"), Valid: Forever}
	wanted.Retiring = []Addr{old}
	for _, addrs := range [][]Addr{there.Addrs, append(slices.Clone(there.Addrs), old)} {
		there.Addrs = addrs
		if list, err := deviations(there, wanted, nil); err != nil || len(list) > 0 {
			t.Errorf("wants to %q (%v)", sentences(list), err)
		}
	}
}

// TestRules: a wanted one comes back, one that is added stays, and one that names
// the NIC is moved.
func TestRules(t *testing.T) {
	there, wanted := moved(t)
	rule := func(priority int, iif string) Rule {
		return Rule{Family: 4, Priority: priority, Action: actionLookup, Table: 100, Iif: iif, DSCP: -1, SuppressPrefixLength: -1, SuppressGroup: -1}
	}
	wanted.Rules = []Rule{rule(10, "br0")}
	there.Rules = []Rule{rule(20, "br0"), rule(30, "enp2s0")}
	list, err := deviations(there, wanted, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{addRule{rule(10, "br0")}.String(), addRule{rule(30, "br0")}.String(), delRule{rule(30, "enp2s0")}.String()}
	got := sentences(list)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("wants to\n%q, want\n%q", got, want)
	}
	there.Rules = []Rule{rule(10, "br0"), rule(20, "br0"), rule(30, "br0")}
	if list, err := deviations(there, wanted, nil); err != nil || len(list) > 0 {
		t.Errorf("afterwards it wants to %q (%v)", sentences(list), err)
	}
}

// TestMakerDoesNotMatter: a network manager that takes over what is there puts
// its own number on the routes.
func TestMakerDoesNotMatter(t *testing.T) {
	there, wanted := moved(t)
	for i := range there.Routes {
		there.Routes[i].Protocol = 11
	}
	if list, err := deviations(there, wanted, nil); err != nil || len(list) > 0 {
		t.Errorf("wants to %q (%v)", sentences(list), err)
	}
}

func TestSuspectString(t *testing.T) {
	for _, tc := range []struct {
		Suspect
		want string
	}{
		{Suspect{PID: 7}, "a process that has ended (pid 7)"},
		{Suspect{PID: 7, Name: "ip"}, "ip (pid 7)"},
		{Suspect{PID: 7, Name: "ip", Command: "ip addr flush dev br0", Parent: "bash", ParentPID: 5}, `ip (pid 7, "ip addr flush dev br0", started by bash, pid 5)`},
	} {
		if got := tc.String(); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.Suspect, got, tc.want)
		}
	}
}
