package guest

import (
	"fmt"
	"net/netip"
	"strings"
)

// TTL is the time in seconds that resolvers may keep a record. It is short
// because a mistake made while setting up a host should not last for a day.
const TTL = 300

// Record is one DNS record as plain values.
type Record struct {
	// Name is fully qualified and ends in a dot.
	Name string
	// Type is "A", "AAAA" or "PTR".
	Type string
	// TTL in seconds.
	TTL uint32
	// Value is an address, or a fully qualified name that ends in a dot.
	Value string
}

// String returns the record as one line of a zone file (RFC 1035, section 5.1),
// without the line's end.
func (r Record) String() string {
	return fmt.Sprintf("%s\t%d\tIN\t%s\t%s", r.Name, r.TTL, r.Type, r.Value)
}

// Text returns records as lines of a zone file.
func Text(records []Record) string {
	var b strings.Builder
	for _, r := range records {
		b.WriteString(r.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Records returns the guest's AAAA record below a domain ("example.com", with
// or without the final dot) and the PTR record that leads back. The error is a
// [*ConfigError] about the guest or, with Field "domain", the domain, or
// slaac.Addr's about the prefix.
func (g Guest) Records(domain string, prefix netip.Prefix) ([]Record, error) {
	a, err := g.Addr(prefix)
	if err != nil {
		return nil, err
	}
	name, err := fqdn(g.Name, domain)
	if err != nil {
		return nil, err
	}
	return []Record{
		{Name: name, Type: "AAAA", TTL: TTL, Value: a.String()},
		{Name: ReverseName(a), Type: "PTR", TTL: TTL, Value: name},
	}, nil
}

// ReverseName returns the name that an address's PTR record has: its nibbles
// from the last to the first below ip6.arpa (RFC 3596, section 2.5), or its
// octets below in-addr.arpa (RFC 1035, section 3.5). It is "" for the zero
// Addr.
func ReverseName(a netip.Addr) string {
	switch {
	case a.Is4():
		b := a.As4()
		return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa.", b[3], b[2], b[1], b[0])
	case a.Is6():
		const digits = "0123456789abcdef"
		b := a.As16()
		name := make([]byte, 0, 73)
		for i := len(b) - 1; i >= 0; i-- {
			name = append(name, digits[b[i]&0xf], '.', digits[b[i]>>4], '.')
		}
		return string(append(name, "ip6.arpa."...))
	}
	return ""
}

// fqdn joins a label and a domain.
func fqdn(label, domain string) (string, error) {
	if why := badDomain(strings.TrimSuffix(domain, ".")); why != "" {
		return "", &ConfigError{label, "domain", why}
	}
	name := label + "." + strings.TrimSuffix(domain, ".") + "."
	if len(name) > longestName {
		return "", &ConfigError{label, "domain", fmt.Sprintf("%q is too long below %q", strings.TrimSuffix(domain, "."), label)}
	}
	return name, nil
}

// longestName of the written form with the final dot: 255 octets, of which the
// first length octet and the root make two (RFC 1035, section 2.3.4).
const longestName = 254

// badDomain says what is wrong with a domain without the final dot, or "".
func badDomain(domain string) string {
	if domain == "" {
		return "is required"
	}
	for part := range strings.SplitSeq(domain, ".") {
		if part == "" {
			return fmt.Sprintf("%q has an empty label", domain)
		}
		if len(part) > 63 {
			return fmt.Sprintf("%q has a label of more than 63 octets", domain)
		}
		for _, c := range []byte(part) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return fmt.Sprintf("%q has the octet %#02x; names in other scripts stand here in their ASCII form", domain, c)
			}
		}
	}
	if len(domain)+1 > longestName {
		return fmt.Sprintf("%q is too long", domain)
	}
	return ""
}
