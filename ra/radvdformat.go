package ra

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/mdlayher/ndp"
)

// ConfigOf returns a Config that advertises on an interface what a message
// says, for a message whose options are all understood. Two things no message
// tells: the intervals, which are made to fit the router's lifetime, and dates.
// It need not pass [Config.Validate], as others may send what this package
// refuses to.
func ConfigOf(iface string, m *ndp.RouterAdvertisement) Config {
	c := Config{
		Interface:      iface,
		NoSourceLLA:    true,
		RouterLifetime: explicit(m.RouterLifetime),
		Preference:     m.RouterSelectionPreference,
		HopLimit:       int(m.CurrentHopLimit),
		Managed:        m.ManagedConfiguration,
		Other:          m.OtherConfiguration,
		ReachableTime:  m.ReachableTime,
		RetransTimer:   m.RetransmitTimer,
	}
	if c.HopLimit == 0 {
		c.HopLimit = -1
	}
	// RFC 4861, section 6.2.1: the lifetime is no less than the interval, and three
	// times that by default.
	if third := wholeSeconds(m.RouterLifetime / 3); m.RouterLifetime > 0 && third < defaultMaxInterval {
		c.MaxInterval = max(leastMaxInterval, third)
	}
	for _, o := range m.Options {
		switch o := o.(type) {
		case *ndp.LinkLayerAddress:
			if o.Direction == ndp.Source {
				c.NoSourceLLA = false
			}
		case *ndp.MTU:
			c.MTU = int(o.MTU)
		case *ndp.PrefixInformation:
			c.Prefixes = append(c.Prefixes, Prefix{
				Prefix: netip.PrefixFrom(o.Prefix, int(o.PrefixLength)), OffLink: !o.OnLink, NoSLAAC: !o.AutonomousAddressConfiguration,
				Preferred: explicit(o.PreferredLifetime), Valid: explicit(o.ValidLifetime),
			})
		case *ndp.RouteInformation:
			c.Routes = append(c.Routes, Route{Prefix: netip.PrefixFrom(o.Prefix, int(o.PrefixLength)), Preference: o.Preference, Lifetime: explicit(o.RouteLifetime)})
		case *ndp.RecursiveDNSServer:
			c.RDNSS = append(c.RDNSS, RDNSS{Servers: o.Servers, Lifetime: explicit(o.Lifetime)})
		case *ndp.DNSSearchList:
			c.DNSSL = append(c.DNSSL, DNSSL{Domains: o.DomainNames, Lifetime: explicit(o.Lifetime)})
		case *ndp.PREF64:
			c.PREF64 = append(c.PREF64, PREF64{Prefix: o.Prefix, Lifetime: explicit(o.Lifetime)})
		case *ndp.CaptivePortal:
			c.CaptivePortal = o.URI
		}
	}
	return c
}

// FormatRadvd returns the interface's block of a radvd.conf that says the same.
// NAT64 prefixes want radvd 2.20, captive portals later ones; radvd takes
// no intervals above 1800 s and no router lifetime above 9000 s, which its
// configuration check says. [ParseRadvd] reads it back.
func (c Config) FormatRadvd() (string, error) {
	if err := c.Validate(); err != nil {
		return "", err
	}
	return c.radvd(), nil
}

func (c Config) radvd() string {
	e := c.effective()
	var b strings.Builder
	line := func(depth int, format string, args ...any) {
		fmt.Fprintf(&b, "%s%s\n", strings.Repeat("\t", depth), fmt.Sprintf(format, args...))
	}
	line(0, "interface %s", c.Interface)
	line(0, "{")
	line(1, "AdvSendAdvert on;")
	// These come first: radvd's defaults of what follows depend on them.
	line(1, "MinRtrAdvInterval %g;", e.MinInterval.Seconds())
	line(1, "MaxRtrAdvInterval %g;", e.MaxInterval.Seconds())
	line(1, "AdvDefaultLifetime %d;", int64(e.RouterLifetime/time.Second))
	line(1, "AdvDefaultPreference %s;", radvdPreference(e.Preference))
	line(1, "AdvCurHopLimit %d;", e.HopLimit)
	line(1, "AdvManagedFlag %s;", onOff(e.Managed))
	line(1, "AdvOtherConfigFlag %s;", onOff(e.Other))
	line(1, "AdvReachableTime %d;", e.ReachableTime.Milliseconds())
	line(1, "AdvRetransTimer %d;", e.RetransTimer.Milliseconds())
	line(1, "AdvSourceLLAddress %s;", onOff(!e.NoSourceLLA))
	if e.MTU != 0 {
		line(1, "AdvLinkMTU %d;", e.MTU)
	}
	if e.CaptivePortal != "" {
		line(1, "AdvCaptivePortalAPI %q;", e.CaptivePortal)
	}
	for _, p := range e.Prefixes {
		line(1, "prefix %s", p.Prefix)
		line(1, "{")
		line(2, "AdvOnLink %s;", onOff(!p.OffLink))
		line(2, "AdvAutonomous %s;", onOff(!p.NoSLAAC))
		line(2, "AdvValidLifetime %s;", radvdLifetime(p.Valid))
		line(2, "AdvPreferredLifetime %s;", radvdLifetime(p.Preferred))
		line(2, "DeprecatePrefix on;")
		line(1, "};")
	}
	for _, r := range e.Routes {
		line(1, "route %s", r.Prefix)
		line(1, "{")
		line(2, "AdvRoutePreference %s;", radvdPreference(r.Preference))
		line(2, "AdvRouteLifetime %s;", radvdLifetime(r.Lifetime))
		line(1, "};")
	}
	for _, r := range e.RDNSS {
		for servers := r.Servers; len(servers) > 0; {
			n := min(3, len(servers)) // more than radvd takes in one block
			line(1, "RDNSS %s", strings.Trim(fmt.Sprint(servers[:n]), "[]"))
			line(1, "{")
			line(2, "AdvRDNSSLifetime %s;", radvdLifetime(r.Lifetime))
			line(1, "};")
			servers = servers[n:]
		}
	}
	for _, d := range e.DNSSL {
		line(1, "DNSSL %s", strings.Join(d.Domains, " "))
		line(1, "{")
		line(2, "AdvDNSSLLifetime %s;", radvdLifetime(d.Lifetime))
		line(1, "};")
	}
	for _, p := range e.PREF64 {
		line(1, "nat64prefix %s", p.Prefix)
		line(1, "{")
		line(2, "AdvValidLifetime %d;", int64(p.Lifetime/time.Second))
		line(1, "};")
	}
	line(0, "};")
	return b.String()
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func radvdPreference(p Preference) string {
	switch p {
	case Low:
		return "low"
	case High:
		return "high"
	}
	return "medium"
}

func radvdLifetime(d time.Duration) string {
	if d == Infinity {
		return "infinity"
	}
	return fmt.Sprint(int64(d / time.Second))
}
