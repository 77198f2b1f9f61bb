package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/plan"
)

func sampleConfig() Config {
	return Config{Prefix: nat64.WellKnown(), Guests: netip.MustParsePrefix("2001:db8:1:3::/64")}
}

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name  string
		c     func(*Config)
		there State
		is    error
		says  string
	}{
		{"no prefix", func(c *Config) { c.Prefix = nat64.Prefix{} }, State{}, ErrPrefix, "NAT64 prefix: is missing"},
		{"no guests", func(c *Config) { c.Guests = netip.Prefix{} }, State{}, ErrGuests, "guests: want an IPv6 prefix"},
		{"prefix among guests", func(c *Config) { c.Guests = netip.MustParsePrefix("64:ff9b::/64") }, State{}, ErrPrefix, "overlaps"},
		{"IPv6 pool", func(c *Config) { c.Pool = c.Guests }, State{}, ErrPool, "pool: want an IPv4 prefix"},
		{"pool with host bits", func(c *Config) { c.Pool = netip.MustParsePrefix("10.0.0.1/16") }, State{}, ErrPool, "host bits"},
		{"tiny pool", func(c *Config) { c.Pool = netip.MustParsePrefix("10.0.0.0/30") }, State{}, ErrPool, "/29"},
		{"private under the well-known prefix", func(c *Config) { c.AllowPrivate = true }, State{}, ErrPrefix, "64:ff9b:1::/48"},
		{"device is the bridge", func(c *Config) { c.Device = "br0" }, State{}, ErrDevice, "br0"},
		{"bad name", func(c *Config) { c.Device = "a/b" }, State{}, ErrDevice, "device"},
		{"denied IPv6", func(c *Config) { c.Denied = prefixes("::/0") }, State{}, ErrPool, "denied"},
		{"known stranger", func(c *Config) { c.Known = []netip.Addr{netip.MustParseAddr("2001:db8::1")} }, State{}, ErrGuests, "2001:db8::1"},
		{"queues", func(c *Config) { c.Queues = 1000 }, State{}, ErrDevice, "1000"},
		{"pool in use", func(*Config) {}, State{InUse: []InUse{{netip.MustParsePrefix("10.64.3.0/24"), "docker0"}}}, ErrOverlap, "10.64.3.0/24 is already reached by docker0 here, which 10.64.0.0/16 overlaps"},
		{"prefix in use", func(*Config) {}, State{InUse: []InUse{{netip.MustParsePrefix("64:ff9b::/96"), "tayga"}}}, ErrOverlap, "NAT64 prefix: 64:ff9b::/96 is already reached by tayga"},
		{"device of another", func(*Config) {}, State{Link: &Link{Kind: kindTun, Tun: true, Persistent: true, MTU: 1500}}, ErrDevice, "device nat64: exists"},
	} {
		c := sampleConfig()
		tt.c(&c)
		tt.there.Scope = c.Scope()
		_, err := c.State(tt.there)
		var refusal *plan.Refusal
		if !errors.As(err, &refusal) || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestInTheWay(t *testing.T) {
	s := sampleConfig().Scope()
	for p, want := range map[string]bool{
		"0.0.0.0/0": false, "0.0.0.0/1": false, "10.0.0.0/8": true, "10.64.5.1/32": true, "10.65.0.0/16": false, "203.0.113.10/32": false,
		"::/0": false, "64:ff9b::/96": true, "64:ff9b::/64": false, "64:ff9b::808:808/128": true, "2001:db8:1:3::/64": false,
	} {
		if got := s.inTheWay(netip.MustParsePrefix(p)); got != want {
			t.Errorf("%s: %v", p, got)
		}
	}
}

func TestPlanText(t *testing.T) {
	c := sampleConfig()
	nothing := State{Scope: c.Scope(), Sysctls: map[string]string{"net/ipv4/conf/br0/forwarding": "0"}}
	want, err := c.State(nothing)
	if err != nil {
		t.Fatal(err)
	}
	// A state survives its journey through a file.
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var read State
	if err := json.Unmarshal(raw, &read); err != nil || !reflect.DeepEqual(read, want) {
		t.Errorf("%v\n%+v\n%+v", err, read, want)
	}
	text := func(from, to State) string {
		p, err := Plan(from, to)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := p.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got, want := text(nothing, want), `apply:
   1. gateway     put the gateway's rules in place (nftables table inet sixhost_nat64, 24 rules, in one transaction)
   2. gateway     put the gateway's rules in place (nftables table bridge sixhost_nat64, 1 rule, in one transaction)
   3. gateway     make the persistent TUN device nat64
   4. gateway     set sysctl net/ipv4/conf/nat64/forwarding = 1
   5. gateway     set sysctl net/ipv6/conf/nat64/addr_gen_mode = 1
   6. gateway     set sysctl net/ipv4/conf/br0/forwarding = 1
   7. gateway     set the MTU of nat64 to 1500
   8. gateway     set nat64 up
   9. gateway     route 10.64.0.0/16 to nat64 with MTU 1480
  10. gateway     route 64:ff9b::/96 to nat64
`; got != want {
		t.Errorf("got\n%s", got)
	}
	if got := text(want, want); !strings.HasPrefix(got, "Nothing to do") {
		t.Errorf("got\n%s", got)
	}
	if got, want := text(want, nothing), `apply:
   1. gateway     remove the device nat64
   2. gateway     set sysctl net/ipv4/conf/br0/forwarding = 0
   3. gateway     remove the gateway's rules (nftables table bridge sixhost_nat64)
   4. gateway     remove the gateway's rules (nftables table inet sixhost_nat64)
`; got != want {
		t.Errorf("got\n%s", got)
	}
	other := c
	other.Device = "other"
	if _, err := Plan(nothing, State{Scope: other.Scope()}); err == nil {
		t.Error("planned from one device to another")
	}
}

func TestFreePool(t *testing.T) {
	inUse := func(s ...string) (out []InUse) {
		for _, p := range prefixes(s...) {
			out = append(out, InUse{Prefix: p})
		}
		return out
	}
	route := []Route{{Dst: netip.MustParsePrefix("64:ff9b::/96")}, {Dst: netip.MustParsePrefix("10.70.0.0/16")}}
	for _, tt := range []struct {
		there State
		want  string
	}{
		{State{}, "10.64.0.0/16"},
		{State{InUse: inUse("10.64.3.0/24")}, "10.65.0.0/16"},
		{State{InUse: inUse("10.64.0.0/14", "10.68.0.1/32")}, "10.69.0.0/16"},
		{State{InUse: inUse("10.64.3.0/24"), Routes: route}, "10.70.0.0/16"}, // ours
		{State{InUse: inUse("10.0.0.0/8")}, ""},
		{State{InUse: inUse("10.64.0.0/11", "10.96.0.0/11")}, ""},
	} {
		tt.there.Pool = poolCandidates()
		got, err := freePool(tt.there)
		if tt.want == "" {
			var refusal *plan.Refusal
			if !errors.As(err, &refusal) || !errors.Is(err, ErrOverlap) {
				t.Errorf("%v: %s, %v", tt.there.InUse, got, err)
			}
		} else if err != nil || got.String() != tt.want {
			t.Errorf("%v: %s, %v, want %s", tt.there.InUse, got, err, tt.want)
		}
	}
}
