package nat64

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// WellKnownName is the name that has only IPv4 addresses, so that IPv6 ones in
// an answer were synthesised by a DNS64 (RFC 7050, section 8.1).
const WellKnownName = "ipv4only.arpa"

// ErrNoNAT64 means that the resolver was reached, and its answer shows that it
// synthesises no addresses.
var ErrNoNAT64 = errors.New("the resolver offers no NAT64 prefix")

// Discover finds the NAT64 prefixes of the network it is asked on (RFC 7050,
// section 3): it looks [WellKnownName] up and searches the IPv6 addresses of
// the answer for the well-known IPv4 addresses. The prefixes come in the
// answer's order, each once.
//
// lookup returns the addresses of a name, those of AAAA records at least; a
// [net.Resolver]'s LookupNetIP with network "ip6" fits. IPv4 addresses in its
// answer are ignored. An answer without synthesised addresses is [ErrNoNAT64],
// and so is a [*net.DNSError] that says the name has no such addresses; other
// errors of lookup are returned wrapped.
//
// The answer is as trustworthy as the resolver and the way to it (RFC 7050,
// section 3.1).
func Discover(ctx context.Context, lookup func(ctx context.Context, host string) ([]netip.Addr, error)) ([]Prefix, error) {
	answer, err := lookup(ctx, WellKnownName)
	if err != nil {
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			return nil, ErrNoNAT64
		}
		return nil, fmt.Errorf("look up %s: %w", WellKnownName, err)
	}
	found := prefixesIn(answer)
	if len(found) == 0 {
		return nil, ErrNoNAT64
	}
	return found, nil
}

// prefixesIn does the search in the answer.
func prefixesIn(answer []netip.Addr) []Prefix {
	var found []Prefix
	for _, a := range answer {
		a = a.WithZone("")
		if !a.Is6() || a.Is4In6() {
			continue
		}
		candidates := candidatesIn(a)
		if len(candidates) > 1 {
			// One of the two addresses can occur in the prefix by chance. The
			// right place is the one where both are found (section 3).
			candidates = slices.DeleteFunc(candidates, func(c candidate) bool {
				return !slices.Contains(answer, c.prefix.Embed(c.other))
			})
		}
		if len(candidates) != 1 {
			continue
		}
		if p := candidates[0].prefix; !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found
}

type candidate struct {
	prefix Prefix
	other  netip.Addr // the well-known address that was not the one found
}

// candidatesIn returns the places at which one of the two well-known addresses
// of RFC 7050, section 8.2, stands in an address.
func candidatesIn(a netip.Addr) []candidate {
	w0, w1 := netip.AddrFrom4([4]byte{192, 0, 0, 170}), netip.AddrFrom4([4]byte{192, 0, 0, 171})
	var all []candidate
	for _, bits := range []int{96, 64, 56, 48, 40, 32} {
		p, err := PrefixFrom(netip.PrefixFrom(a, bits).Masked())
		if err != nil {
			continue
		}
		switch v4, ok := p.Extract(a); {
		case ok && v4 == w0:
			all = append(all, candidate{p, w1})
		case ok && v4 == w1:
			all = append(all, candidate{p, w0})
		}
	}
	return all
}
