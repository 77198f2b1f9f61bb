package ra

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// State is what hosts on the link were told and may still believe. It marshals
// to JSON and is a plain value: [Config.State] leads from one to the next, and
// [Config.Messages] takes back what is in it and no longer in the Config.
//
// A host may have missed every advertisement but the one it learned something
// from, so that what was withdrawn has to be taken back for as long as it was
// said to hold (RFC 9096, section 3.5, which asks for a record on stable
// storage).
type State struct {
	// Told is when the last advertisement was sent, as far as known. A router
	// that ended without a word has none, and is taken to have advertised until
	// it is asked.
	Told time.Time `json:"told,omitzero"`
	// Held is ordered by kind and what is held.
	Held []Held `json:"held,omitempty"`
}

// Held is one thing that hosts learned from this router.
type Held struct {
	Kind HeldKind `json:"kind"`
	// One of these, by Kind: Prefix for prefixes, NAT64 prefixes and routes.
	Prefix netip.Prefix `json:"prefix,omitzero"`
	Server netip.Addr   `json:"server,omitzero"`
	Domain string       `json:"domain,omitempty"`
	// OffLink and NoSLAAC are the flags of a prefix, which its withdrawal
	// repeats.
	OffLink bool `json:"off_link,omitempty"`
	NoSLAAC bool `json:"no_slaac,omitempty"`
	// Seconds is the lifetime that is advertised while it is not withdrawn.
	Seconds int64 `json:"seconds,omitempty"`
	// Until is when the last host has forgotten what it was told before, by
	// longer lifetimes than today's or before the withdrawal.
	Until time.Time `json:"until,omitzero"`
	// Withdrawn says that it is no longer advertised but to be taken back.
	Withdrawn bool `json:"withdrawn,omitempty"`
	// Valid is how long addresses from a withdrawn prefix last in hosts that
	// heard of it: two hours at most (RFC 4862, section 5.5.3 e).
	Valid time.Time `json:"valid,omitzero"`
}

// HeldKind says which option told of it.
type HeldKind string

// The kinds.
const (
	HeldPrefix HeldKind = "prefix"
	HeldRoute  HeldKind = "route"
	HeldRDNSS  HeldKind = "rdnss"
	HeldDNSSL  HeldKind = "dnssl"
	HeldPREF64 HeldKind = "pref64"
)

const (
	// longestHeld bounds how long something with an endless lifetime is taken
	// back: RFC 4861's default for a prefix, section 6.2.1.
	longestHeld = 30 * 24 * time.Hour
	// mostHeld bounds what is taken back. Beyond it what would be forgotten next
	// is forgotten at once.
	mostHeld = 256
)

// what is the key by which something is the same as before. Prefixes differ
// from NAT64 prefixes by kind.
func (h Held) what() Held {
	return Held{Kind: h.Kind, Prefix: h.Prefix, Server: h.Server, Domain: strings.ToLower(h.Domain)}
}

// lifetime is how long a host that is told now holds it.
func (h Held) lifetime() time.Duration {
	return min(time.Duration(h.Seconds)*time.Second, longestHeld)
}

// end is when the last host has forgotten it if the last one was told then.
func (h Held) end(told time.Time) time.Time {
	if h.Withdrawn {
		return h.Until
	}
	return later(h.Until, told.Add(h.lifetime()))
}

// held lists what an effective Config makes hosts hold.
func (c Config) held() []Held {
	var list []Held
	add := func(h Held, d time.Duration) {
		h.Seconds = int64(d / time.Second)
		// Of a server named twice the longer lifetime counts.
		for i := range list {
			if list[i].what() == h.what() {
				list[i].Seconds = max(list[i].Seconds, h.Seconds)
				return
			}
		}
		list = append(list, h)
	}
	for _, p := range c.Prefixes {
		add(Held{Kind: HeldPrefix, Prefix: p.Prefix, OffLink: p.OffLink, NoSLAAC: p.NoSLAAC}, p.Valid)
	}
	for _, r := range c.Routes {
		add(Held{Kind: HeldRoute, Prefix: r.Prefix}, r.Lifetime)
	}
	for _, r := range c.RDNSS {
		for _, a := range r.Servers {
			add(Held{Kind: HeldRDNSS, Server: a}, r.Lifetime)
		}
	}
	for _, d := range c.DNSSL {
		for _, name := range d.Domains {
			add(Held{Kind: HeldDNSSL, Domain: strings.TrimSuffix(name, ".")}, d.Lifetime)
		}
	}
	for _, p := range c.PREF64 {
		add(Held{Kind: HeldPREF64, Prefix: p.Prefix}, p.Lifetime)
	}
	return list
}

// State returns what hosts hold once the Config is advertised, where they held
// what before says: what is in the Config is held with its lifetimes, what was
// and is no longer is withdrawn as of now, and what nobody can hold any more is
// left out. The Config must be valid.
func (c Config) State(before State, now time.Time) State {
	now = now.Round(0) // dates are the wall clock's, and outlive the process
	told := before.told(now)
	next := State{Held: c.effective().held()}
	index := make(map[Held]int, len(next.Held))
	for i, h := range next.Held {
		index[h.what()] = i
	}
	for _, old := range before.Held {
		end := old.end(told)
		if !end.After(now) {
			continue
		}
		if i, still := index[old.what()]; still {
			// A longer lifetime of before outlasts the shorter one of today.
			if end.After(now.Add(next.Held[i].lifetime())) {
				next.Held[i].Until = end
			}
			continue
		}
		next.Held = append(next.Held, old.withdraw(told, now))
	}
	return next.bounded()
}

// Withdraw returns the state of a router that ceases to be one: everything in
// before is withdrawn as of now.
func (s State) Withdraw(now time.Time) State {
	now = now.Round(0)
	told := s.told(now)
	next := State{Told: now}
	for _, old := range s.Held {
		if old.end(told).After(now) {
			next.Held = append(next.Held, old.withdraw(told, now))
		}
	}
	return next.bounded()
}

// told is when the last advertisement can have been sent.
func (s State) told(now time.Time) time.Time {
	if s.Told.IsZero() || s.Told.After(now) {
		return now
	}
	return s.Told.Round(0)
}

func (h Held) withdraw(told, now time.Time) Held {
	if h.Withdrawn {
		return h
	}
	h.Until = h.end(told)
	h.Withdrawn, h.Seconds = true, 0
	if h.Kind == HeldPrefix {
		h.Valid = now.Add(twoHours)
		if h.Until.Before(h.Valid) {
			h.Valid = h.Until
		}
	}
	return h
}

// bounded orders what is held and limits what is withdrawn.
func (s State) bounded() State {
	if n := len(s.withdrawn(time.Time{})); n > mostHeld {
		slices.SortStableFunc(s.Held, func(a, b Held) int { return a.Until.Compare(b.Until) })
		s.Held = slices.DeleteFunc(s.Held, func(h Held) bool {
			drop := h.Withdrawn && n > mostHeld
			if drop {
				n--
			}
			return drop
		})
	}
	slices.SortStableFunc(s.Held, func(a, b Held) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Prefix.Addr().Compare(b.Prefix.Addr()),
			cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), a.Server.Compare(b.Server), cmp.Compare(a.Domain, b.Domain))
	})
	return s
}

// withdrawn lists what is to be taken back at a time.
func (s State) withdrawn(now time.Time) []Held {
	var list []Held
	for _, h := range s.Held {
		if h.Withdrawn && h.Until.After(now) {
			list = append(list, h)
		}
	}
	return list
}

// takeBack adds what is withdrawn to an effective Config, with lifetime 0:
// prefixes are deprecated, and valid for what is left of their two hours.
func (c Config) takeBack(s State, now time.Time) Config {
	var servers []netip.Addr
	var domains []string
	for _, h := range s.withdrawn(now) {
		switch h.Kind {
		case HeldPrefix:
			valid := max(0, h.Valid.Sub(now).Truncate(time.Second))
			c.Prefixes = append(c.Prefixes, Prefix{Prefix: h.Prefix, OffLink: h.OffLink, NoSLAAC: h.NoSLAAC, Valid: valid})
		case HeldRoute:
			c.Routes = append(c.Routes, Route{Prefix: h.Prefix})
		case HeldRDNSS:
			servers = append(servers, h.Server)
		case HeldDNSSL:
			domains = append(domains, h.Domain)
		case HeldPREF64:
			c.PREF64 = append(c.PREF64, PREF64{Prefix: h.Prefix})
		}
	}
	if len(servers) > 0 {
		c.RDNSS = append(c.RDNSS, RDNSS{Servers: servers})
	}
	if len(domains) > 0 {
		c.DNSSL = append(c.DNSSL, DNSSL{Domains: domains})
	}
	return c
}

// countsDown reports whether messages of the state change with the time alone.
func (c Config) countsDown(s State, now time.Time) bool {
	return len(s.withdrawn(now)) > 0 || slices.ContainsFunc(c.Prefixes, func(p Prefix) bool {
		return !p.PreferredUntil.IsZero() || !p.ValidUntil.IsZero()
	})
}
