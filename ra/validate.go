package ra

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// ConfigError says which field of a [Config] can't be advertised, and why.
type ConfigError struct {
	// Field as a Go expression below Config: "Interface", "Prefixes[0].Valid".
	Field string
	// Reason completes the sentence "Field: Reason".
	Reason string
}

// Error returns "Field: Reason".
func (e *ConfigError) Error() string { return e.Field + ": " + e.Reason }

// Validate returns a [*ConfigError] for the first field that is missing or out
// of range, or nil. It doesn't look at the system.
func (c Config) Validate() error {
	v := validator{}
	v.iface(c.Interface)
	e := c.effective()

	v.seconds("MaxInterval", e.MaxInterval, leastMaxInterval, longestRouter)
	v.seconds("MinInterval", e.MinInterval, leastMinInterval, e.MaxInterval*3/4)
	v.within("SolicitedDelay", e.SolicitedDelay, 0, maxRADelay)
	// RFC 4861, section 6.2.1: zero, or no less than MaxRtrAdvInterval.
	if e.RouterLifetime != 0 {
		v.seconds("RouterLifetime", e.RouterLifetime, e.MaxInterval, longestRouter)
	}
	v.preference("Preference", c.Preference)
	if e.HopLimit < 0 || e.HopLimit > 255 {
		v.fail("HopLimit", "%d is not within -1 to 255", e.HopLimit)
	}
	v.within("ReachableTime", e.ReachableTime, 0, longestReachable)
	v.within("RetransTimer", e.RetransTimer, 0, time.Duration(1<<32-1)*time.Millisecond)
	if e.MTU != 0 && (e.MTU < leastMTU || e.MTU > 1<<31-1) {
		v.fail("MTU", "%d is below 1280, the least that IPv6 allows", e.MTU)
	}
	v.portal(c.CaptivePortal)

	v.prefixes(c, e)
	for i, r := range e.RDNSS {
		field := fmt.Sprintf("RDNSS[%d]", i)
		v.seconds(field+".Lifetime", r.Lifetime, 0, Infinity)
		if len(r.Servers) == 0 {
			v.fail(field+".Servers", "names no server")
		}
		for j, a := range r.Servers {
			v.server(fmt.Sprintf("%s.Servers[%d]", field, j), a)
		}
	}
	for i, d := range e.DNSSL {
		field := fmt.Sprintf("DNSSL[%d]", i)
		v.seconds(field+".Lifetime", d.Lifetime, 0, Infinity)
		if len(d.Domains) == 0 {
			v.fail(field+".Domains", "names no domain")
		}
		for j, name := range d.Domains {
			if why := badDomain(name); why != "" {
				v.fail(fmt.Sprintf("%s.Domains[%d]", field, j), "%q %s", name, why)
			}
		}
	}
	seen := make(map[netip.Prefix]int)
	for i, p := range e.PREF64 {
		field := fmt.Sprintf("PREF64[%d]", i)
		v.within(field+".Lifetime", p.Lifetime, 0, longestPREF64)
		v.prefix(field+".Prefix", p.Prefix)
		v.pref64(field+".Prefix", p.Prefix)
		v.once(field+".Prefix", seen, p.Prefix, i)
	}
	seen = make(map[netip.Prefix]int)
	for i, r := range e.Routes {
		field := fmt.Sprintf("Routes[%d]", i)
		v.seconds(field+".Lifetime", r.Lifetime, 0, Infinity)
		v.preference(field+".Preference", r.Preference)
		v.prefix(field+".Prefix", r.Prefix)
		v.once(field+".Prefix", seen, r.Prefix, i)
	}
	return v.err()
}

// validator keeps the first complaint.
type validator struct{ first *ConfigError }

func (v *validator) err() error {
	if v.first == nil {
		return nil
	}
	return v.first
}

func (v *validator) fail(field, format string, args ...any) {
	if v.first == nil {
		v.first = &ConfigError{Field: field, Reason: fmt.Sprintf(format, args...)}
	}
}

func (v *validator) iface(name string) {
	// The kernel's rules for names: IFNAMSIZ with its final NUL, no "/", no
	// space, not "." or "..".
	switch {
	case name == "":
		v.fail("Interface", "is required")
	case len(name) > 15, name == ".", name == "..", strings.ContainsAny(name, "/: \t\n\v\f\r\x00"):
		v.fail("Interface", "%q is not the name of an interface", name)
	}
}

func (v *validator) within(field string, d, least, most time.Duration) {
	if d < least || d > most {
		v.fail(field, "%s is not within %s to %s", d, least, most)
	}
}

// seconds is within for what is counted in seconds, where Infinity is a number
// that a reader would not recognise.
func (v *validator) seconds(field string, d, least, most time.Duration) {
	if d < least || d > most {
		if most == Infinity {
			v.fail(field, "%s is not a lifetime: want seconds from 0 to 2^32-1, the last for infinity", d)
			return
		}
		v.fail(field, "%s is not within %g to %g seconds", d, least.Seconds(), most.Seconds())
	}
}

func (v *validator) preference(field string, p Preference) {
	if p != Low && p != Medium && p != High {
		v.fail(field, "%d is none of Low, Medium, High", int(p))
	}
}

func (v *validator) prefix(field string, p netip.Prefix) {
	switch {
	case !p.IsValid():
		v.fail(field, "is missing or has no valid length")
	case !p.Addr().Is6() || p.Addr().Is4In6():
		v.fail(field, "%s is not an IPv6 prefix", p)
	case p != p.Masked():
		v.fail(field, "%s has bits set beyond its length; did you mean %s?", p, p.Masked())
	}
}

// pref64 is RFC 8781's rule, section 4.
func (v *validator) pref64(field string, p netip.Prefix) {
	switch p.Bits() {
	case 96, 64, 56, 48, 40, 32:
	default:
		v.fail(field, "%s must have length 96, 64, 56, 48, 40 or 32", p)
	}
}

func (v *validator) server(field string, a netip.Addr) {
	if !a.Is6() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		v.fail(field, "%s can't be the IPv6 address of a name server, without zone", a)
	}
}

func (v *validator) once(field string, seen map[netip.Prefix]int, p netip.Prefix, i int) {
	if first, twice := seen[p]; twice {
		v.fail(field, "%s stands in entry %d already", p, first)
		return
	}
	seen[p] = i
}

func (v *validator) prefixes(c, e Config) {
	seen := make(map[netip.Prefix]int)
	for i, p := range e.Prefixes {
		field := fmt.Sprintf("Prefixes[%d]", i)
		v.prefix(field+".Prefix", p.Prefix)
		switch {
		case p.Prefix.Addr().IsLinkLocalUnicast():
			// RFC 4861, section 4.6.2: a router SHOULD NOT send it and a host
			// SHOULD ignore it.
			v.fail(field+".Prefix", "%s is link-local, which hosts ignore", p.Prefix)
		case p.Prefix.Addr().IsMulticast():
			v.fail(field+".Prefix", "%s is multicast", p.Prefix)
		case !p.NoSLAAC && p.Prefix.Bits() != 64:
			// RFC 4862, section 5.5.3 d: hosts ignore a prefix whose length and
			// their interface identifier's don't make 128 bits.
			v.fail(field+".Prefix", "%s is no /64, so that hosts would make no address from it; set NoSLAAC if that is meant", p.Prefix)
		}
		v.once(field+".Prefix", seen, p.Prefix, i)
		v.seconds(field+".Valid", p.Valid, 0, Infinity)
		v.seconds(field+".Preferred", p.Preferred, 0, Infinity)
		if p.Preferred > p.Valid {
			v.fail(field+".Preferred", "%s is longer than the valid lifetime, %s", p.Preferred, p.Valid)
		}
	}
}

func (v *validator) portal(uri string) {
	if len(uri) > longestOption-2 {
		v.fail("CaptivePortal", "is %d octets long, more than %d", len(uri), longestOption-2)
	}
	for _, c := range []byte(uri) {
		if c <= ' ' || c > '~' {
			v.fail("CaptivePortal", "%q is not a URI: it has the octet %#02x", uri, c)
		}
	}
}

// badDomain says what is wrong with a domain name in ASCII form, or "". The
// limits are RFC 1035's, section 2.3.4; the alphabet is that of host names,
// with the underscore that some use.
func badDomain(name string) string {
	name = strings.TrimSuffix(name, ".")
	if name == "" {
		return "is not a domain"
	}
	// longestOption is what one option can hold and below the limit of 253.
	if len(name)+2 > longestOption-8 {
		return "is too long"
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return "has an empty label"
		}
		if len(label) > 63 {
			return "has a label of more than 63 octets"
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return fmt.Sprintf("has the octet %#02x; names in other scripts stand here in their ASCII form", c)
			}
		}
	}
	return ""
}
