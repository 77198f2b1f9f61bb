package guest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Zone is what DNS is to know of a host and its guests.
type Zone struct {
	// Domain of host and guests, with or without the final dot. Required.
	Domain string
	// Host is the host's own name in it, one label. Required.
	Host string
	// Addrs are the host's own addresses, of both families.
	Addrs []netip.Addr
	// Rescue is the address that the provider's rescue system has, named as the
	// host with "-rescue"; the zero Addr leaves it out.
	Rescue netip.Addr
	// Prefix is the /64 that guests' addresses are in. Required with guests.
	Prefix netip.Prefix
	// Guests have names and addresses in it, and names that they serve.
	Guests []Guest
	// Known are guests whose addresses follow from nothing that is known here,
	// by their labels.
	Known map[string][]netip.Addr
}

// Section is the part of a [Zone]'s records that belongs into one zone file.
type Section struct {
	// Apex is the zone's name, with the final dot. Reverse zones of IPv4 are
	// those of the /24; a provider may have cut them otherwise. A served name
	// outside of the domain is put into the zone of its parent.
	Apex string
	// About says in a few words what the section holds.
	About string
	// Records in the order they are to be read.
	Records []Record
}

// Sections returns the records by zone: the domain, other domains that guests
// serve names of, the reverse zone of the /64, those of IPv4 addresses. The
// error is a [*ConfigError].
func (z Zone) Sections() ([]Section, error) {
	b := zoneBuilder{domain: strings.ToLower(strings.TrimSuffix(z.Domain, "."))}
	if why := badLabel(z.Host); why != "" {
		return nil, &ConfigError{"", "Host", why}
	}
	if err := b.host(z.Host, z.Addrs); err != nil {
		return nil, err
	}
	if z.Rescue.IsValid() {
		if err := b.host(z.Host+"-rescue", []netip.Addr{z.Rescue}); err != nil {
			return nil, err
		}
	}
	if _, err := Validate(z.Guests, [6]byte{}); err != nil {
		return nil, err
	}
	for _, g := range z.Guests {
		a, err := g.Addr(z.Prefix)
		if err != nil {
			return nil, err
		}
		if b.named(g.Name) || z.Known[g.Name] != nil {
			return nil, &ConfigError{g.Name, "Name", "is another machine's in the zone too"}
		}
		if err := b.host(g.Name, append([]netip.Addr{a}, g.ExtraIPv4...)); err != nil {
			return nil, err
		}
	}
	var labels []string
	for label := range z.Known {
		labels = append(labels, label)
	}
	slices.Sort(labels)
	for _, label := range labels {
		if b.named(label) {
			return nil, &ConfigError{label, "Name", "is another machine's in the zone too"}
		}
		if err := b.host(label, z.Known[label]); err != nil {
			return nil, err
		}
	}
	for _, g := range z.Guests {
		a, err := g.Addr(z.Prefix)
		if err != nil {
			return nil, err
		}
		v4 := g.ExtraIPv4
		if len(v4) == 0 {
			for _, h := range z.Addrs {
				if h.Is4() {
					v4 = append(v4, h)
				}
			}
		}
		for _, served := range g.Serve {
			b.serve(strings.ToLower(served)+".", append([]netip.Addr{a}, v4...))
		}
	}
	return b.sections(z.Prefix), nil
}

// zoneBuilder collects records, none of them twice.
type zoneBuilder struct {
	domain  string
	forward []Record
	reverse []Record
}

func (b *zoneBuilder) named(label string) bool {
	return slices.ContainsFunc(b.forward, func(r Record) bool { return r.Name == label+"."+b.domain+"." })
}

func (b *zoneBuilder) host(label string, addrs []netip.Addr) error {
	if why := badLabel(label); why != "" {
		return &ConfigError{label, "Name", why}
	}
	name, err := fqdn(label, b.domain)
	if err != nil {
		return err
	}
	b.serve(name, addrs)
	for _, a := range addrs {
		reverse := ReverseName(a)
		// The first name of an address is the one to lead back to.
		if !slices.ContainsFunc(b.reverse, func(r Record) bool { return r.Name == reverse }) {
			b.reverse = append(b.reverse, Record{reverse, "PTR", TTL, name})
		}
	}
	return nil
}

func (b *zoneBuilder) serve(name string, addrs []netip.Addr) {
	for _, a := range addrs {
		r := Record{name, "AAAA", TTL, a.String()}
		if a.Is4() {
			r.Type = "A"
		}
		if !slices.Contains(b.forward, r) {
			b.forward = append(b.forward, r)
		}
	}
}

func (b *zoneBuilder) sections(prefix netip.Prefix) []Section {
	list := []Section{{Apex: b.domain + ".", About: "names of the host and its guests"}}
	add := func(apex, about string, r Record) {
		i := slices.IndexFunc(list, func(s Section) bool { return s.Apex == apex })
		if i < 0 {
			i = len(list)
			list = append(list, Section{Apex: apex, About: about})
		}
		list[i].Records = append(list[i].Records, r)
	}
	for _, r := range b.forward {
		if apex := list[0].Apex; r.Name == apex || strings.HasSuffix(r.Name, "."+apex) {
			add(apex, "", r)
			continue
		}
		apex := r.Name
		// A name right below the root's children is taken for a zone itself.
		if _, parent, _ := strings.Cut(r.Name, "."); strings.Count(parent, ".") > 1 {
			apex = parent
		}
		add(apex, "names that guests serve elsewhere", r)
	}
	for _, r := range b.reverse {
		if apex, ok := strings.CutSuffix(r.Name, ".in-addr.arpa."); ok {
			_, apex, _ = strings.Cut(apex, ".")
			add(apex+".in-addr.arpa.", "the way back from IPv4 addresses", r)
			continue
		}
		// The /64's own zone is the last 16 nibbles.
		add(r.Name[32:], "the way back from addresses of the /64", r)
	}
	return list
}

// Text returns the sections as snippets of RFC 1035 zone files, each under a
// comment with its zone's name. All names are absolute, so that a snippet can be
// included anywhere in its zone.
func (z Zone) Text() (string, error) {
	sections, err := z.Sections()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "; The TTL is %d seconds while the host is being set up, so that a mistake lasts for five\n; minutes and not for a day. Raise it, to 3600 or more, once everything works.\n", TTL)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n; Zone %s: %s.\n", strings.TrimSuffix(s.Apex, "."), s.About)
		b.WriteString(Text(s.Records))
	}
	return b.String(), nil
}

// List returns the records as columns for a reader who enters them by hand:
// name, type and value, without final dots.
func (z Zone) List() (string, error) {
	sections, err := z.Sections()
	if err != nil {
		return "", err
	}
	width := 0
	for _, s := range sections {
		for _, r := range s.Records {
			width = max(width, len(r.Name)-1)
		}
	}
	var b strings.Builder
	for _, s := range sections {
		for _, r := range s.Records {
			fmt.Fprintf(&b, "%-*s  %-4s  %s\n", width, strings.TrimSuffix(r.Name, "."), r.Type, strings.TrimSuffix(r.Value, "."))
		}
	}
	return b.String(), nil
}
