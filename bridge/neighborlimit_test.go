package bridge

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/slaac"
)

// ordinary is a host as providers hand it over.
func ordinary() State {
	s := State{
		Scope: Scope{Uplink: "eth0", Bridge: "br0"},
		Links: []Link{{Name: "eth0", Kind: "device", MAC: slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}, MTU: 1500, Up: true, Ethernet: true}},
		Addrs: []Addr{
			{Link: "eth0", Prefix: testPrefix("203.0.113.10/32"), Preferred: Forever, Valid: Forever},
			{Link: "eth0", Prefix: testPrefix("2001:db8:1:3::2/64"), Preferred: Forever, Valid: Forever},
		},
		Sysctls: map[string]string{forwardingKey("all"): "0"},
		Uptime:  1,
	}
	return s
}

func TestNeighborLimits(t *testing.T) {
	limits := func(one, two, three string) map[string]string {
		m := make(map[string]string)
		for _, family := range []string{"ipv4", "ipv6"} {
			for name, v := range map[string]string{"gc_thresh1": one, "gc_thresh2": two, "gc_thresh3": three} {
				m["net/"+family+"/neigh/default/"+name] = v
			}
		}
		return m
	}
	for _, tc := range []struct {
		name   string
		there  map[string]string
		guests int
		want   map[string]string // nil: nothing wanted
		note   bool
	}{
		{"the kernel's own, no guests", limits("128", "512", "1024"), 0, nil, false},
		{"the kernel's own", limits("128", "512", "1024"), 64, limits("256", "1024", "2048"), false},
		{"a full bridge", limits("128", "512", "1024"), 1023, limits("2174", "8696", "17392"), false},
		{"higher already", limits("9000", "30000", "40000"), 64, limits("9000", "30000", "40000"), false},
		{"partly higher", limits("128", "512", "40000"), 64, limits("256", "1024", "40000"), false},
		{"one family higher", func() map[string]string {
			m := limits("128", "512", "1024")
			m["net/ipv4/neigh/default/gc_thresh3"] = "5000"
			return m
		}(), 64, func() map[string]string {
			m := limits("256", "1024", "2048")
			m["net/ipv4/neigh/default/gc_thresh3"] = "5000"
			return m
		}(), false},
		{"in another namespace", nil, 64, nil, true},
		{"in another namespace, no guests", nil, 0, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			there := ordinary()
			for k, v := range tc.there {
				there.Sysctls[k] = v
			}
			cfg := Config{Uplink: "eth0", Guests: tc.guests}
			want, err := cfg.State(there)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]string
			for _, key := range neighborLimitKeys() {
				if v, ok := want.Sysctls[key]; ok {
					if got == nil {
						got = make(map[string]string)
					}
					got[key] = v
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			p, err := Plan(there, want)
			if err != nil {
				t.Fatal(err)
			}
			if noted := strings.Contains(strings.Join(p.Notes, " "), "neighbour tables"); noted != tc.note {
				t.Errorf("notes %q, want one: %v", p.Notes, tc.note)
			}
			for key, v := range got {
				steps := 0
				for _, s := range p.Steps {
					if s.Text == (setSysctl{key, v}).String() {
						steps++
					}
				}
				if raised := v != tc.there[key]; raised != (steps == 1) || steps > 1 {
					t.Errorf("%s from %s to %s has %d steps", key, tc.there[key], v, steps)
				}
			}
		})
	}
}

// What somebody else raised in the meantime stays, but the way back to what was
// captured is to what was captured.
func TestNeighborLimitsRaisedMeanwhile(t *testing.T) {
	key := neighborLimitKey("ipv6", "gc_thresh3")
	now := State{Sysctls: map[string]string{key: "9999"}}
	to := State{Sysctls: map[string]string{key: "2048"}}
	if c := changes(now, to); len(c) > 0 {
		t.Errorf("it would %q", c[0])
	}
	to.Uptime = 1
	if c := changes(now, to); len(c) != 1 {
		t.Errorf("%d changes lead back, want 1", len(c))
	}
	now.Sysctls[key] = "1024"
	to.Uptime = 0
	if c := changes(now, to); len(c) != 1 {
		t.Errorf("%d changes raise it, want 1", len(c))
	}
}

func testPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
