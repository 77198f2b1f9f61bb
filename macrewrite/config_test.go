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

// TestGolden shows every rule to the reader of a change. UPDATE_GOLDEN=1
// writes the file anew.
func TestGolden(t *testing.T) {
	const file = "testdata/edge.nft"
	got := must(t, sample()).String()
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
		"ip6 daddr 2001:db8:1:3::2 meta l4proto udp udp dport 5353",
		"ip6 daddr fe80::921b:eff:fe12:3456 meta l4proto tcp tcp dport 5353",
		"ip daddr 203.0.113.10 meta l4proto udp udp dport 5353",
		"ip6 daddr fe80::1 meta l4proto udp udp dport 53 ",
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

func TestStateJSON(t *testing.T) {
	for _, want := range []State{must(t, sample()), {}} {
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
	for _, c := range must(t, sample()).Table.Chains {
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
