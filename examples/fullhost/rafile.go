package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/sixhost/sixhost/ra"
)

// raFile is the key "ra" of host.yaml: what router advertisements say beyond
// what follows from the host. Every key is optional.
type raFile struct {
	// MaxInterval and MinInterval bound the time between unsolicited ones; default
	// 600s, and a third of that.
	MaxInterval raTime `yaml:"max_interval"`
	MinInterval raTime `yaml:"min_interval"`
	// RouterLifetime is how long guests keep the default route; default three
	// times max_interval.
	RouterLifetime raTime `yaml:"router_lifetime"`
	// Preference among default routers: low, medium (default) or high.
	Preference raPreference `yaml:"preference"`
	// HopLimit for guests; default 64.
	HopLimit int `yaml:"hop_limit"`
	// Managed and Other say that DHCPv6 has addresses, or only other things.
	Managed bool `yaml:"managed"`
	Other   bool `yaml:"other"`
	// ReachableTime and RetransTimer are for neighbour detection; default open.
	ReachableTime raTime `yaml:"reachable_time"`
	RetransTimer  raTime `yaml:"retrans_timer"`
	// MTU for guests; default that of the bridge.
	MTU int `yaml:"mtu"`
	// NoSourceAddress leaves the host's MAC out.
	NoSourceAddress bool `yaml:"no_source_address"`
	// CaptivePortal is the URI of a portal's API.
	CaptivePortal string `yaml:"captive_portal"`

	// Prefixes adds to the host's own, and sets its lifetimes where it is named.
	Prefixes []raPrefix `yaml:"prefixes"`
	// RDNSS, DNSSL and PREF64, where any is given, take the place of what follows
	// from the host: its own name server, dns.domain, nat64.prefix.
	RDNSS  []raServers `yaml:"rdnss"`
	DNSSL  []raDomains `yaml:"dnssl"`
	PREF64 []raPREF64  `yaml:"pref64"`
	Routes []raRoute   `yaml:"routes"`
}

type raPrefix struct {
	Prefix         netip.Prefix `yaml:"prefix"`
	OffLink        bool         `yaml:"off_link"`
	NoSLAAC        bool         `yaml:"no_slaac"`
	Preferred      raTime       `yaml:"preferred"`
	Valid          raTime       `yaml:"valid"`
	PreferredUntil raDate       `yaml:"preferred_until"`
	ValidUntil     raDate       `yaml:"valid_until"`
}

type raServers struct {
	Servers  []netip.Addr `yaml:"servers"`
	Lifetime raTime       `yaml:"lifetime"`
}

type raDomains struct {
	Domains  []string `yaml:"domains"`
	Lifetime raTime   `yaml:"lifetime"`
}

type raPREF64 struct {
	Prefix   netip.Prefix `yaml:"prefix"`
	Lifetime raTime       `yaml:"lifetime"`
}

type raRoute struct {
	Prefix     netip.Prefix `yaml:"prefix"`
	Preference raPreference `yaml:"preference"`
	Lifetime   raTime       `yaml:"lifetime"`
}

// raTime is a length of time as package ra has it: 0s is ra.Zero, none is the
// default.
type raTime time.Duration

// UnmarshalText accepts 1800, 30m, 0 and infinity.
func (t *raTime) UnmarshalText(b []byte) error {
	text := string(b)
	if text == "infinity" {
		*t = raTime(ra.Infinity)
		return nil
	}
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		text = fmt.Sprint(n) + "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("want a length of time, like 30m, a number of seconds, or infinity, not %q", b)
	}
	*t = raTime(d)
	if d == 0 {
		*t = raTime(ra.Zero)
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (t raTime) MarshalText() ([]byte, error) {
	switch d := time.Duration(t); d {
	case ra.Infinity:
		return []byte("infinity"), nil
	case ra.Zero:
		return []byte("0s"), nil
	default:
		return []byte(d.String()), nil
	}
}

// raDate is a date in the form of RFC 3339.
type raDate struct{ time.Time }

// UnmarshalText accepts 2030-01-02T15:04:05Z.
func (d *raDate) UnmarshalText(b []byte) error {
	parsed, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return fmt.Errorf("want a date, like 2030-01-02T15:04:05Z, not %q", b)
	}
	d.Time = parsed
	return nil
}

// raPreference is low, medium or high.
type raPreference ra.Preference

// UnmarshalText accepts the three words.
func (p *raPreference) UnmarshalText(b []byte) error {
	switch string(b) {
	case "low":
		*p = raPreference(ra.Low)
	case "medium":
		*p = raPreference(ra.Medium)
	case "high":
		*p = raPreference(ra.High)
	default:
		return fmt.Errorf("want low, medium or high, not %q", b)
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (p raPreference) MarshalText() ([]byte, error) {
	switch ra.Preference(p) {
	case ra.Low:
		return []byte("low"), nil
	case ra.High:
		return []byte("high"), nil
	}
	return []byte("medium"), nil
}

// over puts the file's wishes over what follows from the host.
func (f raFile) over(c ra.Config) ra.Config {
	set := func(to *time.Duration, t raTime) {
		if t != 0 {
			*to = time.Duration(t)
		}
	}
	set(&c.MaxInterval, f.MaxInterval)
	set(&c.MinInterval, f.MinInterval)
	set(&c.RouterLifetime, f.RouterLifetime)
	set(&c.ReachableTime, f.ReachableTime)
	set(&c.RetransTimer, f.RetransTimer)
	c.ReachableTime, c.RetransTimer = max(0, c.ReachableTime), max(0, c.RetransTimer) // 0 leaves them open
	c.Preference = ra.Preference(f.Preference)
	c.HopLimit, c.Managed, c.Other = f.HopLimit, f.Managed, f.Other
	c.NoSourceLLA, c.CaptivePortal = f.NoSourceAddress, f.CaptivePortal
	if f.MTU != 0 {
		c.MTU = f.MTU
	}
	for _, p := range f.Prefixes {
		want := ra.Prefix{
			Prefix: p.Prefix, OffLink: p.OffLink, NoSLAAC: p.NoSLAAC, Preferred: time.Duration(p.Preferred), Valid: time.Duration(p.Valid),
			PreferredUntil: p.PreferredUntil.Time, ValidUntil: p.ValidUntil.Time,
		}
		own := false
		for i := range c.Prefixes {
			if c.Prefixes[i].Prefix == p.Prefix {
				// What the edge does not bridge is off-link whatever the file says.
				want.OffLink = want.OffLink || c.Prefixes[i].OffLink
				c.Prefixes[i], own = want, true
			}
		}
		if !own {
			c.Prefixes = append(c.Prefixes, want)
		}
	}
	if len(f.RDNSS) > 0 {
		c.RDNSS = nil
	}
	for _, r := range f.RDNSS {
		c.RDNSS = append(c.RDNSS, ra.RDNSS{Servers: r.Servers, Lifetime: time.Duration(r.Lifetime)})
	}
	if len(f.DNSSL) > 0 {
		c.DNSSL = nil
	}
	for _, d := range f.DNSSL {
		c.DNSSL = append(c.DNSSL, ra.DNSSL{Domains: d.Domains, Lifetime: time.Duration(d.Lifetime)})
	}
	if len(f.PREF64) > 0 {
		c.PREF64 = nil
	}
	for _, p := range f.PREF64 {
		c.PREF64 = append(c.PREF64, ra.PREF64{Prefix: p.Prefix, Lifetime: time.Duration(p.Lifetime)})
	}
	for _, r := range f.Routes {
		c.Routes = append(c.Routes, ra.Route{Prefix: r.Prefix, Preference: ra.Preference(r.Preference), Lifetime: time.Duration(r.Lifetime)})
	}
	return c
}
