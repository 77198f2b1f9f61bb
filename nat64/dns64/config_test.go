package dns64

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/plan"
)

func TestValidate(t *testing.T) {
	good := Config{
		Prefix:    nat64.WellKnown(),
		Listen:    []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::53]:53")},
		Upstreams: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")},
		Clients:   []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")},
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"dns64: prefix: is missing":                                               func(c *Config) { c.Prefix = nat64.Prefix{} },
		"dns64: listen: no address to listen on":                                  func(c *Config) { c.Listen = nil },
		"dns64: listen: want an address of the host's own, not [::]:53":           func(c *Config) { c.Listen[0] = netip.MustParseAddrPort("[::]:53") },
		"dns64: upstreams: no name server to ask":                                 func(c *Config) { c.Upstreams = nil },
		"dns64: upstreams: want an address with a port, not 192.0.2.53:0":         func(c *Config) { c.Upstreams[0] = netip.MustParseAddrPort("192.0.2.53:0") },
		"dns64: upstreams: [2001:db8::53]:53 is where this server itself listens": func(c *Config) { c.Upstreams[0] = c.Listen[0] },
		"dns64: clients: no prefix is allowed to ask":                             func(c *Config) { c.Clients = nil },
		"dns64: clients, no synthesis, exclude, special: an entry is no prefix":   func(c *Config) { c.Special = []netip.Prefix{{}} },
		`dns64: hosts: "a..b" has a label that is empty or too long`:              func(c *Config) { c.Hosts = []Host{{Name: "a..b"}} },
		"dns64: limits: must not be negative":                                     func(c *Config) { c.Timeout = -time.Second },
	} {
		c := good
		c.Listen = append([]netip.AddrPort(nil), good.Listen...)
		c.Upstreams = append([]netip.AddrPort(nil), good.Upstreams...)
		change(&c)
		_, err := New(c)
		var refusal *plan.Refusal
		if !errors.As(err, &refusal) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
