package ra

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	p := netip.MustParsePrefix
	ok := func(fn func(*Config)) Config {
		c := Config{Interface: "br0"}
		if fn != nil {
			fn(&c)
		}
		return c
	}
	tests := []struct {
		name  string
		cfg   Config
		field string // "" for valid
	}{
		{"zero value and interface", ok(nil), ""},
		{"no interface", Config{}, "Interface"},
		{"long interface", Config{Interface: strings.Repeat("x", 16)}, "Interface"},
		{"interface with slash", Config{Interface: "a/b"}, "Interface"},
		{"least intervals", ok(func(c *Config) { c.MaxInterval, c.MinInterval = 4*time.Second, 3*time.Second }), ""},
		{"default MinInterval for least MaxInterval", ok(func(c *Config) { c.MaxInterval = 4 * time.Second }), ""},
		{"MaxInterval too short", ok(func(c *Config) { c.MaxInterval = 3 * time.Second }), "MaxInterval"},
		{"MaxInterval of RFC 8319", ok(func(c *Config) { c.MaxInterval = 65535 * time.Second }), ""},
		{"MaxInterval too long", ok(func(c *Config) { c.MaxInterval = 65536 * time.Second }), "MaxInterval"},
		{"MinInterval too short", ok(func(c *Config) { c.MinInterval = 2 * time.Second }), "MinInterval"},
		{"MinInterval above 0.75 of Max", ok(func(c *Config) { c.MinInterval = 451 * time.Second }), "MinInterval"},
		{"no delay", ok(func(c *Config) { c.SolicitedDelay = Zero }), ""},
		{"delay beyond MAX_RA_DELAY_TIME", ok(func(c *Config) { c.SolicitedDelay = time.Second }), "SolicitedDelay"},
		{"RouterLifetime zero", ok(func(c *Config) { c.RouterLifetime = Zero }), ""},
		{"RouterLifetime below MaxInterval", ok(func(c *Config) { c.RouterLifetime = 599 * time.Second }), "RouterLifetime"},
		{"RouterLifetime of RFC 8319", ok(func(c *Config) { c.RouterLifetime = 65535 * time.Second }), ""},
		{"RouterLifetime too long", ok(func(c *Config) { c.RouterLifetime = 65536 * time.Second }), "RouterLifetime"},
		{"negative RouterLifetime", ok(func(c *Config) { c.RouterLifetime = -time.Second }), "RouterLifetime"},
		{"reserved preference", ok(func(c *Config) { c.Preference = 2 }), "Preference"},
		{"hop limit", ok(func(c *Config) { c.HopLimit = 256 }), "HopLimit"},
		{"hop limit unspecified", ok(func(c *Config) { c.HopLimit = -1 }), ""},
		{"hop limit negative", ok(func(c *Config) { c.HopLimit = -2 }), "HopLimit"},
		{"reachable over an hour", ok(func(c *Config) { c.ReachableTime = time.Hour + 1 }), "ReachableTime"},
		{"negative retransmission", ok(func(c *Config) { c.RetransTimer = -5 }), "RetransTimer"},
		{"MTU", ok(func(c *Config) { c.MTU = 1280 }), ""},
		{"MTU too small", ok(func(c *Config) { c.MTU = 1279 }), "MTU"},
		{"MTU negative", ok(func(c *Config) { c.MTU = -1 }), "MTU"},
		{"portal", ok(func(c *Config) { c.CaptivePortal = "https://example.com/api" }), ""},
		{"portal no URI", ok(func(c *Config) { c.CaptivePortal = "not a URI" }), "CaptivePortal"},
		{"portal too long", ok(func(c *Config) { c.CaptivePortal = "https://" + strings.Repeat("x", 250) }), "CaptivePortal"},

		{"prefix", ok(func(c *Config) { c.Prefixes = []Prefix{{Prefix: p("2001:db8::/64")}} }), ""},
		{"prefix zero value", ok(func(c *Config) { c.Prefixes = []Prefix{{}} }), "Prefixes[0].Prefix"},
		{"prefix IPv4", ok(func(c *Config) { c.Prefixes = []Prefix{{Prefix: p("192.0.2.0/24")}} }), "Prefixes[0].Prefix"},
		{"prefix host bits", ok(func(c *Config) { c.Prefixes = []Prefix{{Prefix: p("2001:db8::1/64")}} }), "Prefixes[0].Prefix"},
		{"prefix link-local", ok(func(c *Config) { c.Prefixes = []Prefix{{Prefix: p("fe80::/64")}} }), "Prefixes[0].Prefix"},
		{"prefix multicast", ok(func(c *Config) { c.Prefixes = []Prefix{{Prefix: p("ff02::/64")}} }), "Prefixes[0].Prefix"},
		{"prefix no /64", ok(func(c *Config) { c.Prefixes = []Prefix{{Prefix: p("2001:db8::/56")}} }), "Prefixes[0].Prefix"},
		{"prefix no /64 without SLAAC", ok(func(c *Config) { c.Prefixes = []Prefix{{Prefix: p("2001:db8::/56"), NoSLAAC: true}} }), ""},
		{"prefix twice", ok(func(c *Config) { c.Prefixes = []Prefix{{Prefix: p("2001:db8::/64")}, {Prefix: p("2001:db8::/64")}} }), "Prefixes[1].Prefix"},
		{"preferred alone", ok(func(c *Config) { c.Prefixes = []Prefix{{Prefix: p("2001:db8::/64"), Preferred: 3 * time.Hour}} }), ""},
		{"valid alone", ok(func(c *Config) { c.Prefixes = []Prefix{{Prefix: p("2001:db8::/64"), Valid: time.Minute}} }), ""},
		{"preferred above valid", ok(func(c *Config) {
			c.Prefixes = []Prefix{{Prefix: p("2001:db8::/64"), Preferred: time.Hour, Valid: time.Minute}}
		}), "Prefixes[0].Preferred"},
		{"infinite", ok(func(c *Config) {
			c.Prefixes = []Prefix{{Prefix: p("2001:db8::/64"), Preferred: Infinity, Valid: Infinity}}
		}), ""},
		{"beyond infinite", ok(func(c *Config) {
			c.Prefixes = []Prefix{{Prefix: p("2001:db8::/64"), Valid: Infinity + time.Second}}
		}), "Prefixes[0].Valid"},

		{"RDNSS none", ok(func(c *Config) { c.RDNSS = []RDNSS{{}} }), "RDNSS[0].Servers"},
		{"RDNSS IPv4", ok(func(c *Config) { c.RDNSS = []RDNSS{{Servers: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}} }), "RDNSS[0].Servers[0]"},
		{"RDNSS mapped", ok(func(c *Config) { c.RDNSS = []RDNSS{{Servers: []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1")}}} }), "RDNSS[0].Servers[0]"},
		{"RDNSS zone", ok(func(c *Config) { c.RDNSS = []RDNSS{{Servers: []netip.Addr{netip.MustParseAddr("fe80::1%br0")}}} }), "RDNSS[0].Servers[0]"},
		{"RDNSS link-local", ok(func(c *Config) { c.RDNSS = []RDNSS{{Servers: []netip.Addr{netip.MustParseAddr("fe80::1")}}} }), ""},
		{"RDNSS zero Addr", ok(func(c *Config) { c.RDNSS = []RDNSS{{Servers: make([]netip.Addr, 1)}} }), "RDNSS[0].Servers[0]"},

		{"DNSSL none", ok(func(c *Config) { c.DNSSL = []DNSSL{{}} }), "DNSSL[0].Domains"},
		{"DNSSL", ok(func(c *Config) { c.DNSSL = []DNSSL{{Domains: []string{"example.com.", "xn--bcher-kva.example"}}} }), ""},
		{"DNSSL root", ok(func(c *Config) { c.DNSSL = []DNSSL{{Domains: []string{"."}}} }), "DNSSL[0].Domains[0]"},
		{"DNSSL empty label", ok(func(c *Config) { c.DNSSL = []DNSSL{{Domains: []string{"a..b"}}} }), "DNSSL[0].Domains[0]"},
		{"DNSSL long label", ok(func(c *Config) { c.DNSSL = []DNSSL{{Domains: []string{strings.Repeat("a", 64)}}} }), "DNSSL[0].Domains[0]"},
		{"DNSSL long", ok(func(c *Config) { c.DNSSL = []DNSSL{{Domains: []string{strings.Repeat("a.", 120) + "a"}}} }), "DNSSL[0].Domains[0]"},
		{"DNSSL script", ok(func(c *Config) { c.DNSSL = []DNSSL{{Domains: []string{"bücher.example"}}} }), "DNSSL[0].Domains[0]"},

		{"PREF64", ok(func(c *Config) { c.PREF64 = []PREF64{{Prefix: p("64:ff9b::/96")}} }), ""},
		{"PREF64 length", ok(func(c *Config) { c.PREF64 = []PREF64{{Prefix: p("2001:db8::/95")}} }), "PREF64[0].Prefix"},
		{"PREF64 bits", ok(func(c *Config) { c.PREF64 = []PREF64{{Prefix: p("2001:db8:1::/32")}} }), "PREF64[0].Prefix"},
		{"PREF64 longest", ok(func(c *Config) { c.PREF64 = []PREF64{{Prefix: p("64:ff9b::/96"), Lifetime: 65528 * time.Second}} }), ""},
		{"PREF64 too long", ok(func(c *Config) { c.PREF64 = []PREF64{{Prefix: p("64:ff9b::/96"), Lifetime: 65529 * time.Second}} }), "PREF64[0].Lifetime"},
		{"PREF64 twice", ok(func(c *Config) { c.PREF64 = []PREF64{{Prefix: p("64:ff9b::/96")}, {Prefix: p("64:ff9b::/96")}} }), "PREF64[1].Prefix"},

		{"route default", ok(func(c *Config) { c.Routes = []Route{{Prefix: p("::/0")}} }), ""},
		{"route bits", ok(func(c *Config) { c.Routes = []Route{{Prefix: p("2001:db8::1/127")}} }), "Routes[0].Prefix"},
		{"route preference", ok(func(c *Config) { c.Routes = []Route{{Prefix: p("::/0"), Preference: 2}} }), "Routes[0].Preference"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.cfg.Validate()
			if tt.field == "" {
				if err != nil {
					t.Fatalf("valid, but: %v", err)
				}
				m, err := tt.cfg.Messages(Link{MTU: 1500}, State{}, clockStart())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := marshalAll(m); err != nil {
					t.Errorf("valid, but can't be marshalled: %v", err)
				}
				return
			}
			var ce *ConfigError
			if !errors.As(err, &ce) || ce.Field != tt.field {
				t.Errorf("got %v, want a ConfigError about %s", err, tt.field)
			}
		})
	}
}
