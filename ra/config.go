package ra

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/mdlayher/ndp"
)

const (
	// Zero asks for a lifetime or delay of zero where the zero value asks for
	// the default.
	Zero time.Duration = -1
	// Infinity is the lifetime that never ends. RFC 9096, section 3.4, advises
	// against advertising it.
	Infinity = ndp.Infinity
)

// Preference orders default routers and routes (RFC 4191, section 2.1). The
// zero value is Medium.
type Preference = ndp.Preference

// The three preferences.
const (
	Medium = ndp.Medium
	High   = ndp.High
	Low    = ndp.Low
)

// Config says what to advertise, and when. Its zero value plus Interface
// advertises a default router without any prefix.
//
// Lifetimes are whole seconds; what is left over is cut off, but for PREF64
// where it is rounded up. Zero values mean the default named at the field;
// [Zero] means none.
type Config struct {
	// Interface to advertise on. Required.
	Interface string

	// Prefixes that guests make addresses from.
	Prefixes []Prefix
	// RDNSS lists recursive name servers.
	RDNSS []RDNSS
	// DNSSL lists domains to search.
	DNSSL []DNSSL
	// PREF64 lists NAT64 prefixes; one is usual.
	PREF64 []PREF64
	// Routes lists more specific routes through this router.
	Routes []Route
	// MTU all hosts on the link are to use, 1280 or more; 0 advertises none. A
	// value above the link's own MTU is an error, or, where the link's MTU
	// shrinks later, advertised as that.
	MTU int
	// CaptivePortal is the URI of a captive portal's API (RFC 8910), or
	// ndp.Unrestricted to say that there is none. "" advertises nothing.
	CaptivePortal string
	// NoSourceLLA leaves out the source link-layer address option.
	NoSourceLLA bool

	// RouterLifetime is how long guests keep the default route; default
	// 3 x MaxInterval, at most 65535 s (RFC 8319). Zero: no default router.
	RouterLifetime time.Duration
	// Preference among default routers. Advertised as medium while the router
	// lifetime is zero (RFC 4191, section 2.2).
	Preference Preference
	// HopLimit that guests put into packets; default 64, -1 for unspecified.
	HopLimit int
	// Managed and Other are the M and O flags: addresses, or only other
	// configuration, are to be had by DHCPv6.
	Managed, Other bool
	// ReachableTime and RetransTimer set guests' neighbour unreachability
	// detection, in milliseconds on the wire; default unspecified.
	ReachableTime, RetransTimer time.Duration

	// MaxInterval is the longest time between unsolicited multicast
	// advertisements, 4 s to 65535 s (RFC 8319); default 600 s.
	MaxInterval time.Duration
	// MinInterval is the shortest, 3 s to 0.75 x MaxInterval; default
	// 0.33 x MaxInterval, or 0.75 x MaxInterval where that is below 9 s.
	MinInterval time.Duration
	// SolicitedDelay is the upper bound of the random delay before a
	// solicitation is answered; default 500 ms (RFC 4861, section 6.2.6), at
	// most that. The delay keeps several routers on one link from answering at
	// once; a host that is the only router there can do with Zero.
	SolicitedDelay time.Duration
	// Greet has hosts that come up told before they ask. A host joins its groups
	// as soon as its link is up, from the unspecified address (RFC 4862, section
	// 5.4.2), and solicits when duplicate address detection is over, a second later.
	// With Greet the former is answered as if it were a solicitation from that
	// address, by multicast, and only if the 3 s between multicast advertisements
	// are over: who comes within them is left to its solicitation.
	//
	// RFC 4861 doesn't ask for it. Every host on the link hears it, which is nothing
	// to virtual machines, and something to telephones (RFC 7772).
	Greet bool

	// StateFile is where the server keeps what guests were told, so that what a
	// later Config leaves out is taken back also after a restart ([State]). It is
	// written when that changes, and at the end. Where the guests are to be spared
	// a reboot's forgetting too, it is not below /run. "" keeps it in memory only.
	StateFile string
	// Uplink tells whether the host has a way for what guests send; while it has
	// none the router lifetime is 0. Nil means that it always has.
	// [NewDefaultRoute] makes one that asks the kernel. The server doesn't close it.
	Uplink Uplink

	// Logger is told of changes of the link and of failures; nil discards.
	Logger *slog.Logger
}

// Prefix is a prefix information option (RFC 4861, section 4.6.2). The zero
// value's flags say on-link and autonomous.
type Prefix struct {
	// Prefix, without host bits. Guests make addresses only from a /64.
	Prefix netip.Prefix
	// OffLink clears the on-link flag: guests send to the router even what is
	// for a neighbour in the prefix.
	OffLink bool
	// NoSLAAC clears the autonomous flag: guests make no address from it.
	NoSLAAC bool
	// Preferred and Valid lifetimes; default 2700 s and 5400 s (RFC 9096,
	// section 3.4).
	Preferred, Valid time.Duration
	// PreferredUntil and ValidUntil are dates beyond which the prefix is not to
	// be used: the lifetimes count down to them (RFC 4861, section 6.2.1) from the
	// date's distance or from Preferred and Valid, whichever is less. The zero
	// time is no date.
	PreferredUntil, ValidUntil time.Time
}

// RDNSS is a recursive name server option (RFC 8106, section 5.1).
type RDNSS struct {
	// Servers are IPv6 addresses, link-local ones without a zone.
	Servers []netip.Addr
	// Lifetime; default 3 x MaxInterval.
	Lifetime time.Duration
}

// DNSSL is a DNS search list option (RFC 8106, section 5.2).
type DNSSL struct {
	// Domains, in ASCII (A-labels), with or without the final dot.
	Domains []string
	// Lifetime; default 3 x MaxInterval.
	Lifetime time.Duration
}

// PREF64 is a NAT64 prefix option (RFC 8781).
type PREF64 struct {
	// Prefix of length 96, 64, 56, 48, 40 or 32, without further bits.
	Prefix netip.Prefix
	// Lifetime, rounded up to 8 s, at most 65528 s; default 3 x MaxInterval
	// within that.
	Lifetime time.Duration
}

// Route is a route information option (RFC 4191, section 2.3).
type Route struct {
	// Prefix of any length, without host bits.
	Prefix netip.Prefix
	// Preference among routes to the same prefix.
	Preference Preference
	// Lifetime; default that of the router as configured, or 3 x MaxInterval
	// where that is zero.
	Lifetime time.Duration
}

// Limits and defaults.
const (
	// RFC 4861, section 6.2.1; the upper bounds are RFC 8319's.
	defaultMaxInterval = 600 * time.Second
	leastMaxInterval   = 4 * time.Second
	leastMinInterval   = 3 * time.Second
	longestRouter      = 65535 * time.Second
	longestReachable   = time.Hour
	defaultHopLimit    = 64

	// RFC 9096, section 3.4.
	defaultPreferred = 2700 * time.Second
	defaultValid     = 5400 * time.Second

	// RFC 8781, section 4: 13 bits in units of 8 seconds.
	pref64Unit    = 8 * time.Second
	longestPREF64 = 8191 * pref64Unit

	// RFC 8200, section 5.
	leastMTU = 1280
)

// effective resolves defaults: every duration in what it returns is a value
// for the wire or the timers, and Zero is 0.
func (c Config) effective() Config {
	if c.MaxInterval == 0 {
		c.MaxInterval = defaultMaxInterval
	}
	if c.MinInterval == 0 {
		c.MinInterval = max(leastMinInterval, c.MaxInterval*33/100)
		if c.MaxInterval < 9*time.Second {
			c.MinInterval = c.MaxInterval * 3 / 4
		}
	}
	c.SolicitedDelay = orDefault(c.SolicitedDelay, maxRADelay)
	thrice := 3 * c.MaxInterval
	c.RouterLifetime = orDefault(c.RouterLifetime, min(thrice, longestRouter))
	switch c.HopLimit {
	case 0:
		c.HopLimit = defaultHopLimit
	case -1:
		c.HopLimit = 0
	}
	c.Prefixes = mapped(c.Prefixes, func(p Prefix) Prefix {
		p.Valid = orDefault(p.Valid, max(defaultValid, p.Preferred))
		p.Preferred = orDefault(p.Preferred, min(defaultPreferred, p.Valid))
		return p
	})
	c.RDNSS = mapped(c.RDNSS, func(r RDNSS) RDNSS {
		r.Lifetime = orDefault(r.Lifetime, thrice)
		return r
	})
	c.DNSSL = mapped(c.DNSSL, func(d DNSSL) DNSSL {
		d.Lifetime = orDefault(d.Lifetime, thrice)
		return d
	})
	c.PREF64 = mapped(c.PREF64, func(p PREF64) PREF64 {
		p.Lifetime = orDefault(p.Lifetime, min(thrice, longestPREF64))
		// A client must not lose it before its time.
		p.Lifetime = (p.Lifetime + pref64Unit - 1) / pref64Unit * pref64Unit
		return p
	})
	c.Routes = mapped(c.Routes, func(r Route) Route {
		def := c.RouterLifetime
		if def == 0 {
			def = thrice
		}
		r.Lifetime = orDefault(r.Lifetime, def)
		return r
	})
	return c
}

// countedDown takes dates into account, in an effective Config.
func (c Config) countedDown(now time.Time) Config {
	c.Prefixes = mapped(c.Prefixes, func(p Prefix) Prefix {
		p.Valid = countDown(p.Valid, p.ValidUntil, now)
		p.Preferred = min(countDown(p.Preferred, p.PreferredUntil, now), p.Valid)
		return p
	})
	return c
}

func countDown(d time.Duration, until, now time.Time) time.Duration {
	if until.IsZero() {
		return d
	}
	return min(d, max(0, until.Sub(now).Truncate(time.Second)))
}

func orDefault(d, def time.Duration) time.Duration {
	switch d {
	case 0:
		return def
	case Zero:
		return 0
	}
	return d
}

// mapped leaves the caller's slice alone.
func mapped[T any](in []T, fn func(T) T) []T {
	out := make([]T, len(in))
	for i, v := range in {
		out[i] = fn(v)
	}
	return out
}
