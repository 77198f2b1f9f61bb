package macrewrite

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// sample is a host with everything: two addresses in the /64, one outside of
// it, IPv4, a gateway of each kind.
func sample() Config {
	return Config{
		Uplink: "enp2s0",
		MAC:    slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56},
		Prefix: netip.MustParsePrefix("2001:db8:1:3::/64"),
		NAT64:  []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96")},
		GuestDNS: []netip.AddrPort{
			netip.MustParseAddrPort("[2001:db8:1:3:921b:eff:fe12:3456]:53"),
			netip.MustParseAddrPort("203.0.113.10:53"),
		},
		Host: []netip.Addr{
			ip("2001:db8:1:3::2"), ip("2001:db8:1:3:921b:eff:fe12:3456"),
			ip("2001:db8:9::2"), ip("203.0.113.10"),
		},
		Gateways: []netip.Addr{ip("fe80::1"), ip("203.0.113.1"), ip("2001:db8:1:3::1"), ip("fe80::5054:ff:fe00:1")},
	}
}

func must(t testing.TB, c Config) State {
	t.Helper()
	s, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no uplink", func(c *Config) { c.Uplink = "" }, "uplink: is missing"},
		{"uplink is no name", func(c *Config) { c.Uplink = "a b" }, `uplink: "a b" is not a name an interface can have`},
		{"wildcard", func(c *Config) { c.Uplink = "eth*" }, "not a name"},
		{"quote", func(c *Config) { c.Uplink = `eth"` }, "not a name"},
		{"too long", func(c *Config) { c.Uplink = "abcdefghijklmnop" }, "not a name"},
		{"bridge is no name", func(c *Config) { c.Bridge = "a/b" }, `bridge: "a/b" is not a name`},
		{"same", func(c *Config) { c.Bridge = "enp2s0" }, "uplink: enp2s0 is named as the bridge too"},
		{"same by default", func(c *Config) { c.Uplink = "br0" }, "named as the bridge too"},
		{"no MAC", func(c *Config) { c.MAC = slaac.MAC{} }, "MAC: is missing"},
		{"group MAC", func(c *Config) { c.MAC[0] = 1 }, "MAC: 01:1b:0e:12:34:56 is a group address"},
		{"no prefix", func(c *Config) { c.Prefix = netip.Prefix{} }, "prefix: is missing"},
		{"/56", func(c *Config) { c.Prefix = netip.MustParsePrefix("2001:db8::/56") }, "not an IPv6 /64"},
		{"IPv4", func(c *Config) { c.Prefix = netip.MustParsePrefix("10.0.0.0/8") }, "not an IPv6 /64"},
		{"host bits", func(c *Config) { c.Prefix = netip.MustParsePrefix("2001:db8::1/64") }, "did you mean 2001:db8::/64?"},
		{"link-local", func(c *Config) { c.Prefix = netip.MustParsePrefix("fe80::/64") }, "not unicast space"},
		{"NAT64 of IPv4", func(c *Config) { c.NAT64 = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, "NAT64 prefix: 10.0.0.0/8"},
		{"NAT64 is the /64", func(c *Config) { c.NAT64 = []netip.Prefix{c.Prefix} }, "covers the guests'"},
		{"DNS", func(c *Config) { c.GuestDNS = []netip.AddrPort{{}} }, "guest DNS:"},
		{"host", func(c *Config) { c.Host = []netip.Addr{ip("::")} }, "host address: :: is not"},
		{"gateway", func(c *Config) { c.Gateways = []netip.Addr{ip("ff02::2")} }, "gateway: ff02::2 is not"},
		{"kind", func(c *Config) { c.Kind = "bridged" }, `provider: "bridged" is none of routed and on-link`},
		{"unlisted", func(c *Config) { c.Unlisted = "pass" }, `unlisted: "pass" is none of`},
		{"other port", func(c *Config) { c.OtherPorts = []string{"a/b"} }, `other port: "a/b"`},
		{"other port is the uplink", func(c *Config) { c.OtherPorts = []string{c.Uplink} }, "enp2s0 is the uplink"},
		{"MAC of no gateway", func(c *Config) { c.GatewayMACs = []Neighbor{{ip("fe80::9"), slaac.MAC{2}}} }, "fe80::9 is not among the gateways"},
		{"gateway with our MAC", func(c *Config) { c.GatewayMACs = []Neighbor{{ip("fe80::1"), c.MAC}} }, "is not that of another machine"},
		{"guest without MAC", func(c *Config) { c.Guests = []Guest{{Name: "web"}} }, "guest web: has no MAC"},
		{"guest with a group MAC", func(c *Config) { c.Guests = []Guest{{MAC: slaac.MAC{1}}} }, "is a group address"},
		{"guest with our MAC", func(c *Config) { c.Guests = []Guest{{MAC: c.MAC}} }, "is the host's own MAC"},
		{"guest with a gateway's MAC", func(c *Config) {
			c.GatewayMACs = []Neighbor{{ip("fe80::1"), slaac.MAC{2}}}
			c.Guests = []Guest{{MAC: slaac.MAC{2}}}
		}, "is a gateway's MAC"},
		{"guest's port", func(c *Config) { c.Guests = []Guest{{MAC: slaac.MAC{2}, Port: "a b"}} }, `"a b" is not a name`},
		{"guest on the uplink", func(c *Config) { c.Guests = []Guest{{MAC: slaac.MAC{2}, Port: c.Uplink}} }, "enp2s0 is not a port of a guest"},
		{"two with one MAC", func(c *Config) { c.Guests = []Guest{{Name: "a", MAC: slaac.MAC{2}}, {Name: "b", MAC: slaac.MAC{2}}} }, "guest b: has the MAC of a"},
		{"two with one port", func(c *Config) {
			c.Guests = []Guest{{Name: "a", MAC: slaac.MAC{2}, Port: "v"}, {Name: "b", MAC: slaac.MAC{4}, Port: "v"}}
		}, "guest b: has the port of a, v"},
		{"two with one address", func(c *Config) {
			c.Guests = []Guest{{Name: "a", MAC: slaac.MAC{2}, Addrs: []netip.Addr{ip("2001:db8:1:3::a")}}, {Name: "b", MAC: slaac.MAC{4}, Addrs: []netip.Addr{ip("2001:db8:1:3::a")}}}
		}, "guest b: has the address of a, 2001:db8:1:3::a"},
		{"guest with our address", func(c *Config) { c.Guests = []Guest{{MAC: slaac.MAC{2}, Addrs: []netip.Addr{ip("2001:db8:1:3::2")}}} }, "2001:db8:1:3::2 is the host's own address"},
		{"guest where the host answers DNS", func(c *Config) {
			c.GuestDNS = []netip.AddrPort{netip.MustParseAddrPort("[2001:db8:1:3::53]:53")}
			c.Guests = []Guest{{MAC: slaac.MAC{2}, Addrs: []netip.Addr{ip("2001:db8:1:3::53")}}}
		}, "is where the host answers DNS"},
		{"guest with a gateway's address", func(c *Config) { c.Guests = []Guest{{MAC: slaac.MAC{2}, Addrs: []netip.Addr{ip("2001:db8:1:3::1")}}} }, "is a gateway's address"},
		{"guest elsewhere", func(c *Config) { c.Guests = []Guest{{MAC: slaac.MAC{2}, Addrs: []netip.Addr{ip("2001:db8:4::2")}}} }, "is not in 2001:db8:1:3::/64"},
		{"guest with IPv4 for IPv6", func(c *Config) { c.Guests = []Guest{{MAC: slaac.MAC{2}, Addrs: []netip.Addr{ip("203.0.113.9")}}} }, "is not an IPv6 address"},
		{"guest with IPv6 for IPv4", func(c *Config) { c.Guests = []Guest{{MAC: slaac.MAC{2}, ExtraIPv4: []netip.Addr{ip("fe80::5")}}} }, "is not an IPv4 address"},
		{"guest with our IPv4", func(c *Config) { c.Guests = []Guest{{MAC: slaac.MAC{2}, ExtraIPv4: []netip.Addr{ip("203.0.113.10")}}} }, "is the host's own address"},
		{"gateway is the host", func(c *Config) { c.Gateways = []netip.Addr{ip("2001:db8:1:3::2")} }, "is the host's own address"},
		{"gateway is the host's link-local", func(c *Config) { c.Gateways = []netip.Addr{slaac.LinkLocal(c.MAC)} }, "is the host's own address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := sample()
			tt.change(&c)
			_, err := c.State()
			var refusal *plan.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("State: %v, want a refusal with %q", err, tt.want)
			}
		})
	}
}

// withGuests is sample with one guest of each kind.
func withGuests() Config {
	c := sample()
	c.Guests = []Guest{
		{Name: "web", Port: "vnet0", MAC: slaac.MAC{0x52, 0x54, 0, 0, 0, 0x11}, Addrs: []netip.Addr{ip("2001:db8:1:3::aaaa")}, ExtraIPv4: []netip.Addr{ip("203.0.113.77")}},
		{Name: "desk", Port: "vnet1", MAC: slaac.MAC{0x52, 0x54, 0, 0, 0, 0x22}, Open: true},
		{Name: "off", MAC: slaac.MAC{0x52, 0x54, 0, 0, 0, 0x33}},
	}
	c.GatewayMACs = []Neighbor{{ip("2001:db8:1:3::1"), slaac.MAC{2, 0, 0, 0, 0, 1}}}
	return c
}

// onLink is the same host at the other kind of provider.
func onLink() Config {
	c := withGuests()
	c.Kind, c.Isolate, c.Unlisted, c.OtherPorts = OnLink, true, UnlistedDrop, []string{"docker7"}
	return c
}

// Every reason is told in words of its own.
func TestReasonTexts(t *testing.T) {
	of := map[string]Reason{}
	for _, r := range Reasons() {
		if other, taken := of[r.Text()]; taken || r.Text() == string(r) {
			t.Errorf("%s is told as %q, as %s is", r, r.Text(), other)
		}
		of[r.Text()] = r
	}
}

// TestGolden shows every rule to the reader of a change. UPDATE_GOLDEN=1
// writes the files anew.
func TestGolden(t *testing.T) {
	golden(t, "testdata/edge.nft", withGuests())
	golden(t, "testdata/onlink.nft", onLink())
}

func golden(t *testing.T, file string, c Config) {
	t.Helper()
	got := must(t, c).String()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the table is no longer that of %s:\n%s", file, got)
	}
}

// A config with nothing but what is required works, and differs only in
// addresses.
func TestMinimalConfig(t *testing.T) {
	c := Config{Uplink: "eth0", MAC: sample().MAC, Prefix: sample().Prefix}
	text := must(t, c).String()
	for _, want := range []string{
		`oifname "eth0" counter name "guest-to-uplink" drop`,
		"ether saddr != 90:1b:0e:12:34:56",
		"fe80::921b:eff:fe12:3456",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestWildcardDNSListener(t *testing.T) {
	c := sample()
	c.GuestDNS = []netip.AddrPort{netip.MustParseAddrPort("[::]:5353"), netip.MustParseAddrPort("[fe80::1%br0]:53")}
	text := must(t, c).String()
	for _, want := range []string{
		"2001:db8:1:3::2 . 17 . 5353",
		"fe80::921b:eff:fe12:3456 . 6 . 5353",
		"203.0.113.10 . 17 . 5353",
		"fe80::1 . 17 . 53",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestPlan(t *testing.T) {
	other := sample()
	other.Host = other.Host[1:]
	a, b, none := must(t, sample()), must(t, other), State{}
	foreign := must(t, sample())
	foreign.Table.Unknown = []string{"object quota"}
	for _, tt := range []struct {
		name     string
		from, to State
		want     string
	}{
		{"nothing to nothing", none, none, ""},
		{"as wanted", a, must(t, sample()), ""},
		{"new", none, a, "put the edge rules in place (nftables table bridge sixhost_edge, "},
		{"changed", a, b, "replace the edge rules ("},
		{"drifted", foreign, a, "replace the edge rules ("},
		{"back to nothing", a, none, "remove the edge rules ("},
		{"a guest comes", a, must(t, func() Config { c := sample(); c.Guests = withGuests().Guests; return c }()), "tell the edge of its guests anew ("},
		{"a guest goes", must(t, func() Config { c := sample(); c.Guests = withGuests().Guests; return c }()), a, "tell the edge of its guests anew ("},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Plan(tt.from, tt.to)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.want == "" && !p.Empty():
				t.Errorf("planned %q", p.Steps[0].Text)
			case tt.want != "" && (len(p.Steps) != 1 || !strings.HasPrefix(p.Steps[0].Text, tt.want) || p.Steps[0].Phase != plan.Apply):
				t.Errorf("planned %+v, want one step %q", p.Steps, tt.want)
			}
		})
	}
	if _, err := Plan(a, foreign); err == nil || !strings.Contains(err.Error(), "object quota") {
		t.Errorf("Plan to what we can't write = %v", err)
	}
}

func TestStateKind(t *testing.T) {
	for want, s := range map[Kind]State{Routed: must(t, withGuests()), OnLink: must(t, onLink()), "": {}} {
		if got := s.Kind(); got != want {
			t.Errorf("kind %q, want %q", got, want)
		}
	}
}

func TestStateJSON(t *testing.T) {
	for _, want := range []State{must(t, withGuests()), must(t, onLink()), {}} {
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got State
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("JSON does not come back: %s", b)
		}
	}
}

// Every reason has a rule that counts it, and no rule drops uncounted.
func TestEveryReasonCounts(t *testing.T) {
	counted := map[Reason]bool{}
	for _, c := range append(must(t, sample()).Table.Chains, must(t, onLink()).Table.Chains...) {
		for _, r := range c.Rules {
			last := r.Exprs[len(r.Exprs)-1]
			if last.Kind != nft.KindDrop {
				continue
			}
			n := r.Exprs[len(r.Exprs)-2]
			if n.Kind != nft.KindCounter {
				t.Errorf("chain %s: a rule drops uncounted: %+v", c.Name, r)
			}
			counted[Reason(n.Name)] = true
		}
	}
	for _, r := range Reasons() {
		if !counted[r] {
			t.Errorf("reason %s is never counted", r)
		}
	}
}
