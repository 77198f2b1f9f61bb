package nft

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/slaac"
)

// SetType is the type of a set's elements, in nft's words.
type SetType string

// The types of sets.
const (
	EtherAddr SetType = "ether_addr"
	IPv4Addr  SetType = "ipv4_addr"
	IPv6Addr  SetType = "ipv6_addr"
	IfName    SetType = "ifname"
)

// Set is a named set.
type Set struct {
	Name string  `json:"name"`
	Type SetType `json:"type"`
	// Interval is set where elements are prefixes; only addresses have them.
	Interval bool `json:"interval,omitempty"`
	// Elements in text form: a MAC, a prefix (a single address is a prefix of
	// full length), an interface name. An interval that is no prefix, which
	// only Read makes, is "first-last".
	Elements []string `json:"elements,omitempty"`
}

// MACSet makes a set of hardware addresses.
func MACSet(name string, macs ...slaac.MAC) Set {
	s := Set{Name: name, Type: EtherAddr}
	for _, m := range macs {
		s.Elements = append(s.Elements, m.String())
	}
	s.tidy()
	return s
}

// NameSet makes a set of interface names.
func NameSet(name string, interfaces ...string) Set {
	s := Set{Name: name, Type: IfName, Elements: slices.Clone(interfaces)}
	s.tidy()
	return s
}

// PrefixSet makes an interval set of prefixes. typ says of which family, as
// prefixes may be empty. Host bits are cleared, and prefixes inside others
// left out, because the kernel refuses overlapping intervals.
func PrefixSet(name string, typ SetType, prefixes ...netip.Prefix) Set {
	s := Set{Name: name, Type: typ, Interval: true}
	for i, p := range prefixes {
		p = p.Masked()
		inside := func(q netip.Prefix) bool { return q.Bits() < p.Bits() && q.Contains(p.Addr()) }
		if !slices.ContainsFunc(prefixes[:i], inside) && !slices.ContainsFunc(prefixes[i+1:], inside) {
			s.Elements = append(s.Elements, p.String())
		}
	}
	s.tidy()
	return s
}

func (s *Set) tidy() {
	slices.Sort(s.Elements)
	s.Elements = slices.Compact(s.Elements)
}

// keyLen is the length of an element's key in octets.
func (t SetType) keyLen() int {
	switch t {
	case EtherAddr:
		return 6
	case IPv4Addr:
		return 4
	case IPv6Addr:
		return 16
	case IfName:
		return ifNameSize
	}
	return 0
}

// number is nft's number of the type, which the kernel only hands on; nft
// needs it to list the set.
func (t SetType) number() uint32 {
	switch t {
	case IPv4Addr:
		return 7
	case IPv6Addr:
		return 8
	case EtherAddr:
		return 9
	case IfName:
		return 41
	}
	return 0
}

func (s *Set) check() error {
	if s.Type.keyLen() == 0 {
		return fmt.Errorf("type %q: unknown", s.Type)
	}
	if s.Interval && s.Type != IPv4Addr && s.Type != IPv6Addr {
		return fmt.Errorf("type %s has no intervals", s.Type)
	}
	_, err := s.keys()
	return err
}

// element is one element as the kernel has it.
type element struct {
	key []byte
	end bool // of the interval that began before
}

// keys returns the elements as the kernel wants them: for an interval set the
// first address of each interval and, marked as end, the first behind it.
func (s *Set) keys() ([]element, error) {
	if s.Interval {
		return s.intervalKeys()
	}
	var out []element
	for _, e := range s.Elements {
		var key []byte
		switch s.Type {
		case EtherAddr:
			m, err := slaac.ParseMAC(e)
			if err != nil {
				return nil, err
			}
			key = m[:]
		case IfName:
			if !ValidIfName(e) {
				return nil, fmt.Errorf("element %q: not an interface name", e)
			}
			key = ifNameKey(e)
		case IPv4Addr, IPv6Addr:
			a, err := netip.ParseAddr(e)
			if err != nil {
				return nil, fmt.Errorf("element %q: %w", e, err)
			}
			key = a.AsSlice()
		}
		if len(key) != s.Type.keyLen() {
			return nil, fmt.Errorf("element %q: not of type %s", e, s.Type)
		}
		out = append(out, element{key: key})
	}
	slices.SortFunc(out, func(a, b element) int { return bytes.Compare(a.key, b.key) })
	return out, nil
}

func (s *Set) intervalKeys() ([]element, error) {
	type span struct{ first, last netip.Addr }
	var spans []span
	for _, e := range s.Elements {
		if first, last, ok := strings.Cut(e, "-"); ok {
			a, err1 := netip.ParseAddr(first)
			b, err2 := netip.ParseAddr(last)
			if err := errors.Join(err1, err2); err != nil {
				return nil, fmt.Errorf("element %q: %w", e, err)
			}
			spans = append(spans, span{a, b})
			continue
		}
		p, err := netip.ParsePrefix(e)
		if err != nil {
			return nil, fmt.Errorf("element %q: %w", e, err)
		}
		p = p.Masked()
		spans = append(spans, span{p.Addr(), lastAddr(p)})
	}
	for _, sp := range spans {
		if len(sp.first.AsSlice()) != s.Type.keyLen() || sp.last.BitLen() != sp.first.BitLen() || sp.last.Less(sp.first) {
			return nil, fmt.Errorf("element %s-%s: not of type %s", sp.first, sp.last, s.Type)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.first.Compare(b.first) })
	var out []element
	zero := make([]byte, s.Type.keyLen())
	for i, sp := range spans {
		if i > 0 && !spans[i-1].last.Less(sp.first) {
			return nil, fmt.Errorf("elements from %s and from %s overlap", spans[i-1].first, sp.first)
		}
		// nft closes the space below the first interval explicitly.
		if i == 0 && !bytes.Equal(sp.first.AsSlice(), zero) {
			out = append(out, element{key: zero, end: true})
		}
		out = append(out, element{key: sp.first.AsSlice()})
		// An interval up to the very last address has no end.
		if behind := sp.last.Next(); behind.IsValid() {
			out = append(out, element{key: behind.AsSlice(), end: true})
		}
	}
	return out, nil
}

// elementsOf is the way back from keys.
func elementsOf(typ SetType, interval bool, keys []element) ([]string, error) {
	var out []string
	for _, k := range keys {
		if len(k.key) != typ.keyLen() {
			return nil, fmt.Errorf("element key of %d octets in a set of type %s", len(k.key), typ)
		}
	}
	if interval {
		keys = slices.Clone(keys)
		slices.SortFunc(keys, func(a, b element) int {
			if c := bytes.Compare(a.key, b.key); c != 0 {
				return c
			}
			// At one address the old interval ends before the new one begins.
			switch {
			case a.end && !b.end:
				return -1
			case b.end && !a.end:
				return 1
			}
			return 0
		})
		for i, k := range keys {
			if k.end {
				continue
			}
			first, _ := netip.AddrFromSlice(k.key)
			last := lastAddr(netip.PrefixFrom(first, 0))
			if i+1 < len(keys) {
				behind, _ := netip.AddrFromSlice(keys[i+1].key)
				last = behind.Prev()
			}
			out = append(out, spanText(first, last))
		}
		slices.Sort(out)
		return out, nil
	}
	for _, k := range keys {
		switch typ {
		case EtherAddr:
			out = append(out, slaac.MAC(k.key).String())
		case IfName:
			out = append(out, strings.TrimRight(string(k.key), "\x00"))
		case IPv4Addr, IPv6Addr:
			a, _ := netip.AddrFromSlice(k.key)
			out = append(out, a.String())
		}
	}
	slices.Sort(out)
	return out, nil
}

// spanText is the prefix that covers exactly first to last, or the two of them.
func spanText(first, last netip.Addr) string {
	for bits := 0; bits <= first.BitLen(); bits++ {
		if p := netip.PrefixFrom(first, bits); p.Masked() == p && lastAddr(p) == last {
			return p.String()
		}
	}
	return first.String() + "-" + last.String()
}

// lastAddr returns the last address of a masked prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// ifNameSize is IFNAMSIZ, the terminating zero included.
const ifNameSize = 16

// ValidIfName reports whether Linux would take s as the name of an interface
// (dev_valid_name) and nft as a quoted string without a wildcard.
func ValidIfName(s string) bool {
	return s != "" && len(s) < ifNameSize && s != "." && s != ".." &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return r <= ' ' || r > '~' || r == '/' || r == ':' || r == '"' || r == '\\' || r == '*'
		})
}

func ifNameKey(s string) []byte {
	b := make([]byte, ifNameSize)
	copy(b, s)
	return b
}
