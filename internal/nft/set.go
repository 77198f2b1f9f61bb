package nft

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sixhost/sixhost/slaac"
)

// SetType is the type of a set's elements, in nft's words.
type SetType string

// The types of sets. Several of them, joined by [Concat], make a set of tuples.
const (
	EtherAddr   SetType = "ether_addr"
	IPv4Addr    SetType = "ipv4_addr"
	IPv6Addr    SetType = "ipv6_addr"
	IfName      SetType = "ifname"
	INetProto   SetType = "inet_proto"
	INetService SetType = "inet_service"
	ICMPv6Types SetType = "icmpv6_type"
	// Those of fields that nft has no name for are called by their place.
	NDTargets   SetType = SetType(KindNDTarget)
	NDOptionMAC SetType = SetType(KindNDOption)
	RSOptionMAC SetType = SetType(KindRSOption)
	// EtherFrom is a hardware address and an ethertype behind it, written as
	// eight octets: see [From].
	EtherFrom SetType = SetType(KindEtherFrom)
	IP6From   SetType = SetType(KindIP6From)
)

// between joins the parts of tuples, in types as in elements.
const between = " . "

// Concat joins types to that of a tuple.
func Concat(types ...SetType) SetType {
	var words []string
	for _, t := range types {
		words = append(words, string(t))
	}
	return SetType(strings.Join(words, between))
}

// Tuple joins the parts of an element.
func Tuple(parts ...any) string {
	var words []string
	for _, p := range parts {
		words = append(words, fmt.Sprint(p))
	}
	return strings.Join(words, between)
}

// From is an element of [EtherFrom]: frames of an ethertype that m sent.
func From(m slaac.MAC, ethertype uint16) string {
	return net.HardwareAddr(append(m[:], byte(ethertype>>8), byte(ethertype))).String()
}

// parts takes a type apart.
func (t SetType) parts() []SetType {
	var out []SetType
	for w := range strings.SplitSeq(string(t), between) {
		out = append(out, SetType(w))
	}
	return out
}

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
	// Dynamic sets are filled by rules, see [Remember] and [OverPer], with at
	// most Size elements; what is in them is no part of the value.
	Dynamic bool   `json:"dynamic,omitempty"`
	Size    uint32 `json:"size,omitempty"`
	// Timeout, if not 0, is how long an element of a dynamic set stays after it
	// was last put there.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// NewSet makes a set of single values or tuples.
func NewSet(name string, typ SetType, elements ...string) Set {
	s := Set{Name: name, Type: typ, Elements: slices.Clone(elements)}
	s.tidy()
	return s
}

// DynamicSet makes a set that rules fill.
func DynamicSet(name string, typ SetType, size uint32, timeout time.Duration) Set {
	return Set{Name: name, Type: typ, Dynamic: true, Size: size, Timeout: timeout}
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

// keyLen is the length of an element's key in octets: each part of a tuple
// takes whole registers of four.
func (t SetType) keyLen() int {
	parts := t.parts()
	if len(parts) == 1 {
		return t.partLen()
	}
	n := 0
	for _, p := range parts {
		if p.partLen() == 0 {
			return 0
		}
		n += wholeRegisters(p.partLen())
	}
	return n
}

func wholeRegisters(octets int) int { return (octets + 3) / 4 * 4 }

// partLen is that of a type that is no tuple.
func (t SetType) partLen() int {
	switch t {
	case EtherAddr, NDOptionMAC, RSOptionMAC:
		return 6
	case IPv4Addr:
		return 4
	case IPv6Addr, NDTargets, IP6From:
		return 16
	case EtherFrom:
		return 8
	case IfName:
		return ifNameSize
	case INetProto, ICMPv6Types:
		return 1
	case INetService:
		return 2
	}
	return 0
}

// number is nft's number of the type, which the kernel only hands on; nft
// needs it to list the set. That of a tuple has six bits for each part.
func (t SetType) number() uint32 {
	var n uint32
	for _, p := range t.parts() {
		n = n<<6 | p.partNumber()
	}
	return n
}

func (t SetType) partNumber() uint32 {
	switch t {
	case NDTargets, NDOptionMAC, RSOptionMAC, EtherFrom, IP6From:
		return 4
	case IPv4Addr:
		return 7
	case IPv6Addr:
		return 8
	case EtherAddr:
		return 9
	case INetProto:
		return 12
	case INetService:
		return 13
	case ICMPv6Types:
		return 29
	case IfName:
		return 41
	}
	return 0
}

// unnamed reports whether a part is a field that nft knows by its place alone.
func (t SetType) unnamed() bool {
	return slices.ContainsFunc(t.parts(), func(p SetType) bool { return strings.HasPrefix(string(p), "@") })
}

// alike reports whether two sets are the same but for their elements.
func (s Set) alike(t Set) bool {
	s.Elements, t.Elements = nil, nil
	return reflect.DeepEqual(s, t)
}

func (s *Set) check() error {
	switch {
	case s.Type.keyLen() == 0:
		return fmt.Errorf("type %q: unknown", s.Type)
	case s.Type.keyLen() > maxKey:
		return fmt.Errorf("type %s: longer than %d octets", s.Type, maxKey)
	case s.Interval && s.Type != IPv4Addr && s.Type != IPv6Addr:
		return fmt.Errorf("type %s has no intervals", s.Type)
	case s.Dynamic && (s.Interval || len(s.Elements) > 0 || s.Size == 0):
		return errors.New("a dynamic set has a size, no intervals and no elements of its own")
	case !s.Dynamic && (s.Size != 0 || s.Timeout != 0):
		return errors.New("only dynamic sets have a size and a timeout")
	case s.Timeout < 0 || s.Timeout%time.Second != 0:
		return fmt.Errorf("timeout %s is not of whole seconds", s.Timeout)
	}
	_, err := s.keys()
	return err
}

// maxKey is NFT_DATA_VALUE_MAXLEN.
const maxKey = 64

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
	types := s.Type.parts()
	for _, e := range s.Elements {
		parts := strings.Split(e, between)
		if len(parts) != len(types) {
			return nil, fmt.Errorf("element %q: not of type %s", e, s.Type)
		}
		var key []byte
		for i, p := range parts {
			k, err := types[i].key(p)
			if err != nil {
				return nil, fmt.Errorf("element %q: %w", e, err)
			}
			key = append(key, k...)
			for len(types) > 1 && len(key)%4 != 0 {
				key = append(key, 0)
			}
		}
		out = append(out, element{key: key})
	}
	slices.SortFunc(out, func(a, b element) int { return bytes.Compare(a.key, b.key) })
	return out, nil
}

// key is the kernel's form of one part of an element.
func (t SetType) key(s string) (key []byte, err error) {
	switch t {
	case EtherAddr, NDOptionMAC, RSOptionMAC:
		m, err := slaac.ParseMAC(s)
		if err != nil {
			return nil, err
		}
		key = m[:]
	case IfName:
		if !ValidIfName(s) {
			return nil, errors.New("not an interface name")
		}
		key = ifNameKey(s)
	case EtherFrom:
		if key, err = net.ParseMAC(s); err != nil {
			return nil, err
		}
	case IPv4Addr, IPv6Addr, NDTargets, IP6From:
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, err
		}
		key = a.AsSlice()
	case INetProto, ICMPv6Types:
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil {
			return nil, err
		}
		key = []byte{byte(n)}
	case INetService:
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			return nil, err
		}
		key = []byte{byte(n >> 8), byte(n)}
	}
	if len(key) != t.partLen() {
		return nil, fmt.Errorf("not of type %s", t)
	}
	return key, nil
}

// text is the way back from key, and as nft spells it.
func (t SetType) text(key []byte) string {
	switch t {
	case EtherAddr, NDOptionMAC, RSOptionMAC:
		return slaac.MAC(key).String()
	case EtherFrom:
		return net.HardwareAddr(key).String()
	case IfName:
		return strings.TrimRight(string(key), "\x00")
	case INetProto, ICMPv6Types:
		return strconv.Itoa(int(key[0]))
	case INetService:
		return strconv.Itoa(int(key[0])<<8 | int(key[1]))
	}
	a, _ := netip.AddrFromSlice(key)
	return a.String()
}

// nftText spells an element for nft, which takes the fields that it has no name
// for as numbers.
func (t SetType) nftText(element string) string {
	types := t.parts()
	var words []string
	for i, p := range strings.Split(element, between) {
		switch key, err := types[i].key(p); {
		case err != nil:
		case types[i] == IfName:
			p = `"` + p + `"`
		case strings.HasPrefix(string(types[i]), "@"):
			p = "0x" + hex.EncodeToString(key)
		}
		words = append(words, p)
	}
	return strings.Join(words, between)
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
	types := typ.parts()
	for _, k := range keys {
		var words []string
		rest := k.key
		for _, t := range types {
			words = append(words, t.text(rest[:t.partLen()]))
			if len(types) > 1 {
				rest = rest[wholeRegisters(t.partLen()):]
			}
		}
		out = append(out, strings.Join(words, between))
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
